"""A cluster in which probes can start, and the proxies that they ask."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio

from meshinstall.engine.probe import probe_objects
from meshinstall.engine.probe.prober import probes
from meshinstall.errors import ClusterError
from meshinstall.model.mesh import Place
from meshinstall.model.release import Manifest
from meshinstall.model.wire import PROBE_LABEL, PROBE_PREFIX, Answer, Probe, Probing, Seen, WireTarget
from meshinstall.ports import Dial, Heard, Stream, Talk
from tests.fake_kube import FakeKube, vouch
from tests.fakes import FakePods, FakeWire, World

WEB = WireTarget(Place("shop", "web-1"), "10.0.0.7", 8080)

OWN = "spiffe://cluster.local/ns/meshinstall-probe/sa/probe"

CERTS = {"certificates": [{"ca_cert": [], "cert_chain": [{"subject_alt_names": [{"uri": OWN}]}]}]}

LABELS = {PROBE_LABEL: "namespace"}

UNCALLABLE = 'failed calling webhook "validation.istio.io": failed to call webhook: dial tcp 10.0.0.1:443: connect: connection refused'


class Nodes(FakeKube):
    """A cluster with an injector, a kubelet and an istiod that gives roots; ``status`` is what becomes of pods, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.image = "docker.io/istio/proxyv2:1.31.0"
        self.roots = True
        self.env: list[Manifest] = []
        self.status: dict[str, Manifest] = {}
        self.refused: Counter[str] = Counter()
        self.refusal = UNCALLABLE

    async def create(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create, and let the controllers do their part; ``refused`` counts the times that one of a kind is not admitted."""
        kind = path.rpartition("/")[2]
        if self.refused[kind]:
            self.refused[kind] -= 1
            self.calls.append(f"CREATE {path}")
            raise ClusterError(self.refusal)
        item = json.loads(json.dumps(body))
        if item["kind"] == "Pod":
            item["status"] = self.status.get(item["metadata"]["name"], {"phase": "Running"})
            for container in item["spec"]["containers"]:
                container |= {"image": self.image, "env": self.env}
        made = await super().create(path, item, dry_run=dry_run)
        if item["kind"] == "Namespace" and self.roots:
            self.give_roots(item["metadata"]["name"])
        return made

    def give_roots(self, namespace: str) -> None:
        """What istiod's leader does for a new namespace."""
        metadata = {"name": "istio-ca-root-cert", "namespace": namespace}
        self.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"root-cert.pem": "ROOT"}})

    async def delete(self, path: str, *, uid: str = "") -> None:
        """Delete, and with a namespace all that is in it."""
        await super().delete(path, uid=uid)
        for inside in [one for one in self.objects if one.startswith(f"{path}/") or f"{path.removeprefix('/api/v1')}/" in one]:
            del self.objects[inside]

    def of_kind(self, kind: str) -> list[str]:
        """Names of the objects of a kind."""
        return [item["metadata"]["name"] for item in self.objects.values() if item["kind"] == kind]


class Proxies(FakePods):
    """Proxies that are ready from ``ready`` on and know ``certs``; ``talks`` counts streams that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = 1.0
        self.certs: object = CERTS
        self.refusal: ClusterError | None = None
        self.most = 0
        self._open = 0

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """Ready, or not yet."""
        assert namespace.startswith(PROBE_PREFIX)
        if self.refusal:
            raise self.refusal
        if anyio.current_time() < self.ready:
            raise ClusterError(f"pod {pod} refuses {path} on {port}: HTTP 503")
        if path != "/certs":
            return b""
        return self.certs if isinstance(self.certs, bytes) else json.dumps(self.certs).encode()

    async def talk(self, namespace: str, pod: str, port: int, talk: Callable[[Stream], Any]) -> Any:
        """Talk for 0.1 s."""
        assert pod == "client"
        assert port == probe_objects.LISTENER
        assert namespace.startswith(PROBE_PREFIX)
        self._open += 1
        self.most = max(self.most, self._open)
        try:
            await anyio.sleep(0.1)
            return talk(None)  # type: ignore[arg-type]
        finally:
            self._open -= 1


class Cluster(World):
    """A cluster with an istiod."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = self.kube = Nodes()
        self.proxies = self.pods = Proxies()
        self.wire = wire()
        self.said: list[str] = []
        labels = {"app": "istiod", "istio.io/rev": "default"}
        self.put_istiod("istiod", labels)

    def put_istiod(self, name: str, labels: dict[str, str], *, ready: bool = True) -> None:
        """A Deployment of istiod."""
        metadata = {"name": name, "namespace": "istio-system", "labels": labels}
        status = {"readyReplicas": 1 if ready else 0}
        spec = {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "discovery"}]}}}
        plane = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": status}
        self.kube.put(plane)
        vouch(self.kube, plane)

    def is_clean(self) -> bool:
        """Whether nothing of probes is left."""
        return not [path for path in self.nodes.objects if PROBE_PREFIX in path]


GOOD = {
    Probe.PLAINTEXT: Answer.REFUSED,
    Probe.ANONYMOUS: Answer.REFUSED,
    Probe.FOREIGN: Answer.REFUSED,
    Probe.MESHED: Answer.SERVED,
}


def wire(heard: dict[Probe, Heard] | None = None, tried: list[tuple[WireTarget, Probe]] | None = None) -> FakeWire:
    """A wire on which everything is well but for what was ``heard``; keeps what was ``tried``."""

    def dialled(roots: str, identity: str) -> Dial:
        assert roots == "ROOT"
        assert identity == OWN

        def dial(target: WireTarget, probe: Probe) -> Talk:
            def talk(_: Stream) -> Heard:
                if tried is not None:
                    tried.append((target, probe))
                return (heard or {}).get(probe) or Heard(Seen(probe, GOOD[probe]))

            return talk

        return dial

    return FakeWire(dialled)


async def probed(cluster: Cluster, *targets: WireTarget, dialling: FakeWire | None = None) -> Probing:
    """One round of probes."""
    cluster.wire = dialling or wire()
    async with probes(cluster.session(), cluster.said.append) as prober:
        return await prober.probe(targets)
