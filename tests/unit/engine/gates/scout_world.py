"""A cluster with a gateway, two istiods beside each other, and a kubelet that starts scouts."""

import json
from collections.abc import Iterable
from typing import Any

import anyio

from meshinstall.engine.gates.scout import scout
from meshinstall.engine.mesh.gateway_config import PATHS
from meshinstall.engine.mesh.gateway_pods import GatewayPod
from meshinstall.model.desired import Release
from meshinstall.model.gate import GateCheck
from meshinstall.model.mesh import Place
from meshinstall.model.release import Manifest
from tests.cases import plans
from tests.fake_kube import FakeKube, vouch
from tests.fakes import FakeCertificates, World
from tests.unit.engine.installed import PUBLIC
from tests.unit.engine.mesh.gateway_dumps import Dump, info, read_roots, shop
from tests.unit.engine.revisioned import deployment
from tests.unit.engine.upgrade.gateway_chart import workload

SPACE = "istio-ingress"
LIVE = Place(SPACE, "public-1")
SCOUT = Place(SPACE, "public-scout-1")
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{SPACE}/deployments"
PODS = f"/api/v1/namespaces/{SPACE}/pods"
ISTIOD = "istiod-1-31-1"
RELEASE: Release = next(release for release in plans.load("fresh").desired.releases if release.key == PUBLIC)
SENT = {"sent": "7", "acked": "7", "sentTime": "2026-11-21T12:00:00Z"}


class Nodes(FakeKube):
    """A cluster whose kubelet makes a scout's pod: Ready, unless ``status`` says otherwise, and injected by ``revision``."""

    def __init__(self) -> None:
        super().__init__()
        self.revision = ""
        self.starts = True
        self.status: dict[str, Any] = {}
        self.made: list[Manifest] = []

    async def create(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create, and let the controllers do their part."""
        if path != DEPLOYMENTS:
            return await super().create(path, body, dry_run=dry_run)
        done = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": int(self.starts)}
        made = await super().create(path, {**body, "status": done}, dry_run=dry_run)
        self.made.append(body)
        labels = body["spec"]["template"]["metadata"]["labels"]
        self.objects[f"{PODS}/{SCOUT.name}"] = pod(SCOUT, labels, self.revision or labels["istio.io/rev"], **self.status)
        return made

    async def delete(self, path: str, *, uid: str = "") -> None:
        """Delete, and with a Deployment its pods."""
        await super().delete(path, uid=uid)
        if path.startswith(f"{DEPLOYMENTS}/"):
            self.objects.pop(f"{PODS}/{path.rpartition('/')[2]}-1", None)


class Words(FakeCertificates):
    """Certificates that are words."""

    read_roots = staticmethod(read_roots)


class Cluster(World):
    """``live`` and ``scout`` are what the Envoys of the two say."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = self.kube = Nodes()
        self.certificates = Words()
        self.told: list[str] = []
        self.kube.objects["/version"] = {"metadata": {"name": "version"}, "gitVersion": "v1.36.3"}
        manifest = workload("public")
        self.helm.renders[PUBLIC] = lambda values: ({"kind": "Service", **_named("s")}, _with_revision(manifest, values))
        self.kube.put({**manifest, "status": {"observedGeneration": 1}})
        self.kube.objects[f"{PODS}/{LIVE.name}"] = pod(LIVE, manifest["spec"]["template"]["metadata"]["labels"], "1-30")
        for revision in ("1-30", "1-31"):
            plane = deployment(revision)
            self.kube.put(plane)
            vouch(self.kube, plane)
            metadata = {"name": f"istiod-{revision}-1", "namespace": "istio-system", "labels": plane["metadata"]["labels"]}
            self.kube.objects[f"/api/v1/namespaces/istio-system/pods/{metadata['name']}"] = {"metadata": metadata}
        self.live, self.scout = shop(), shop()
        self.istiod.records = {ISTIOD: [synced(SCOUT)]}

    def says(self) -> None:
        """Put the two dumps where they are asked for."""
        for place, dump in ((LIVE, self.live), (SCOUT, self.scout)):
            self.answer(place, Dump(info(GatewayPod(place, "10.0.0.9")), dump.listeners, dump.tables, dump.secrets))

    def answer(self, place: Place, dump: Dump) -> None:
        """What the Envoy of a pod says."""
        self.pods.answers |= {(*place, 15000, path): one for path, one in zip(PATHS, dump.answers(), strict=True)}

    def gateways(self, *selectors: dict[str, str]) -> None:
        """Gateways of a namespace of their own."""
        self._objects("networking.istio.io/v1", "shop", "gateways", ({"selector": one} for one in selectors))

    def services(self, *specs: dict[str, Any]) -> None:
        """Services beside the gateway."""
        self._objects("v1", SPACE, "services", specs)

    def filters(self, *selectors: dict[str, str]) -> None:
        """EnvoyFilters beside the gateway."""
        specs = ({"workloadSelector": {"labels": one}} for one in selectors)
        self._objects("networking.istio.io/v1alpha3", SPACE, "envoyfilters", specs)

    def api_gateways(self, *addresses: str) -> None:
        """Gateways of the Gateway API that name addresses."""
        specs = ({"addresses": [{"type": "Hostname", "value": one}]} for one in addresses)
        self._objects("gateway.networking.k8s.io/v1", SPACE, "gateways", specs)

    def _objects(self, version: str, namespace: str, plural: str, specs: Iterable[dict[str, Any]]) -> None:
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        for number, spec in enumerate(specs):
            metadata = {"name": f"{plural}-{number}", "namespace": namespace}
            self.kube.objects[f"{root}/namespaces/{namespace}/{plural}/{metadata['name']}"] = {"metadata": metadata, "spec": spec}

    async def scouted(self) -> GateCheck:
        """The check."""
        self.says()
        return await scout(self.session(), RELEASE, RELEASE.chart, "1-31", self.told.append)

    async def cancelled(self, seconds: float) -> None:
        """The check, which somebody ends."""
        with anyio.move_on_after(seconds):
            await self.scouted()

    @property
    def scouts(self) -> list[str]:
        """Paths of what is left of scouts."""
        return [path for path in self.kube.objects if "scout" in path]


def pod(place: Place, labels: Manifest, revision: str, **status: Any) -> dict[str, Any]:
    """A pod of a gateway."""
    metadata = {
        "name": place.name,
        "namespace": place.namespace,
        "labels": {**labels},
        "annotations": {"sidecar.istio.io/status": json.dumps({"revision": revision})},
    }
    ready = {"phase": "Running", "podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
    container = {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.31.0"}
    return {"metadata": metadata, "spec": {"serviceAccountName": "public", "containers": [container]}, "status": {**ready, **status}}


def synced(place: Place, **more: str) -> dict[str, Any]:
    """What istiod says of a proxy that has all that was sent."""
    return {
        "proxy": f"{place.name}.{place.namespace}",
        "resources": {"type.googleapis.com/envoy.config.listener.v3.Listener": {**SENT, **more}},
    }


def _with_revision(manifest: Manifest, values: Manifest) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(manifest))
    made["spec"]["template"]["metadata"]["labels"]["istio.io/rev"] = values["revision"]
    return made


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}
