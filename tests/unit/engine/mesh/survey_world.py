"""A mesh in objects of the API server, with proxies and istiods that answer."""

from pathlib import Path
from typing import Any

import anyio

from meshinstall.adapters.certificates import read_roots
from meshinstall.engine.mesh.client_dump import ADDRESSES, CLUSTERS, ENDPOINTS, LISTENER
from meshinstall.engine.mesh.envoy import dump_path, read_dump
from meshinstall.engine.mesh.survey import survey
from meshinstall.model.istio import ENVOY_ADMIN_PORT
from meshinstall.model.mesh import MeshFacts, Place
from meshinstall.model.paths import object_path
from tests.fake_kube import vouch
from tests.fakes import FakePods, World
from tests.unit.engine.mesh.kube_worlds import ENTRY, ISTIOD, POLICY, RULE, SERVICE, metadata, pod, proxy

RECORDED = (Path(__file__).parent / "envoy_dump.json").read_bytes()

RECORDED_NODE = read_dump(RECORDED).node.encode()

ROOT = read_dump(RECORDED).roots.decode()

WEB = Place("shop", "web")

EDGE = Place("edge", "gate")

BRAIN = Place("istio-system", "istiod-1")

CLIENT_KINDS = ("sidecars", "workloadentries", "virtualservices")


def of(place: Place, data: bytes) -> bytes:
    """What was recorded, as the Envoy of some pod says it."""
    return data.replace(RECORDED_NODE, f"{place.name}.{place.namespace}".encode())


class Asked(FakePods):
    """Keeps what was asked; ``hanging`` pods never answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Place, str]] = []
        self.at: set[tuple[Place, int]] = set()
        self.hanging: set[str] = set()

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """The body that was put there."""
        self.asked.append((Place(namespace, pod), path))
        self.at.add((Place(namespace, pod), port))
        if pod in self.hanging:
            await anyio.sleep_forever()
        return await super().get(namespace, pod, port, path)


def record(name: str = "web.shop", acked: str = "b", sent: str = "b") -> dict[str, Any]:
    """What an istiod says of a proxy."""
    return {"proxy": name, "istio_version": "1.30.2", "resources": {"Listener": {"sent": sent, "acked": acked}, "Never": {}}}


class Mesh(World):
    """istiod, a sidecar and a gateway."""

    def __init__(self) -> None:
        super().__init__()
        self.pods = self.asked = Asked()
        self.istiod.records["istiod-1"] = [record()]
        plane = {"metadata": {**ISTIOD["metadata"], "labels": {"app": "istiod", "istio.io/rev": "canary"}}, "spec": ISTIOD["spec"]}
        self.add("apps/v1", "deployments", plane)
        vouch(self.kube, plane)
        brain = pod(inits=[], containers=[{"name": "discovery"}], name=BRAIN.name, namespace=BRAIN.namespace, labels={"app": "istiod"})
        gate = pod(inits=[], containers=[proxy("router")], name=EDGE.name, namespace=EDGE.namespace)
        self.add("v1", "pods", brain, gate, pod(labels={"app": "web"}))
        self.add("v1", "namespaces", *({"metadata": {"name": name, "labels": {"in": name}}} for name in ("shop", "edge", "istio-system")))
        self.add("v1", "services", SERVICE)
        self.configure("trustDomain: corp\nrootNamespace: istio-system")
        for space in ("shop", "istio-system"):
            self.trust(space, ROOT)
        self.serves("security.istio.io/v1", peerauthentications=POLICY)
        empty = {"metadata": metadata("none", "nowhere"), "spec": {}}
        self.serves("networking.istio.io/v1", destinationrules=RULE, serviceentries=ENTRY, **dict.fromkeys(CLIENT_KINDS, empty))
        self.serves("networking.istio.io/v1alpha3", envoyfilters=empty)
        for place in (WEB, EDGE):
            self.says(place, RECORDED)

    def add(self, group_version: str, plural: str, *items: dict[str, Any]) -> None:
        """Put objects into the cluster."""
        for item in items:
            where = object_path(group_version, plural, item["metadata"].get("namespace", ""), item["metadata"]["name"])
            self.kube.objects[where] = item

    def serves(self, group_version: str, **kinds: dict[str, Any]) -> None:
        """Let the cluster know these kinds, each with an object."""
        self.kube.objects[f"/apis/{group_version}"] = {"metadata": {"name": "x"}, "resources": [{"name": plural} for plural in kinds]}
        for plural, item in kinds.items():
            self.add(group_version, plural, item)

    def configure(self, mesh: str) -> None:
        """What istiod was told."""
        self.add("v1", "configmaps", {"metadata": metadata("istio-canary", "istio-system"), "data": {"mesh": mesh}})

    def trust(self, namespace: str, pem: str) -> None:
        """The roots that a namespace has."""
        self.add("v1", "configmaps", {"metadata": metadata("istio-ca-root-cert", namespace), "data": {"root-cert.pem": pem}})

    def says(self, place: Place, data: bytes) -> None:
        """What the Envoy of a pod answers."""
        self.pods.answers[(*place, ENVOY_ADMIN_PORT, dump_path())] = of(place, data)

    def sends(self, place: Place) -> None:
        """The Envoy of a pod knows no Service."""
        for path in (CLUSTERS, ENDPOINTS, LISTENER, ADDRESSES):
            self.pods.answers[(*place, ENVOY_ADMIN_PORT, path)] = b"{}"
        self.pods.answers[(*place, ENVOY_ADMIN_PORT, CLUSTERS)] = b'{"configs": [{"cluster": {"name": "BlackHoleCluster"}}]}'

    async def look(self, *namespaces: str) -> MeshFacts:
        """Survey it."""
        return await survey(self.session(), namespaces or None)


ROOT_FACTS = read_roots(ROOT.encode())[0]


FOREIGN = (Path(__file__).parent / "foreign_root.pem").read_text()
