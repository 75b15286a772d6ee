"""A mesh with objects of every sort, of which snapshots are taken with the real folder and the real keys."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import trustme

from meshinstall.adapters.charts.archive import read_members
from meshinstall.adapters.recovery.draft import drafting
from meshinstall.engine.snapshot.take import Taken, Terms, take
from meshinstall.model.release import ChartRef, Manifest
from tests.cases import plans
from tests.contracts.servers import packed
from tests.fakes import FakeCharts, World
from tests.unit.engine import stages
from tests.unit.engine.installed import ISTIOD, world

DESIRED = plans.load("fresh").desired
# In the key of the CA, of a gateway, and in the kubeconfig of another cluster.
PLANTED = "hunter2planted"
SYSTEM = "/api/v1/namespaces/istio-system"


class PackedCharts(FakeCharts):
    """Charts whose archives are files of ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    async def resolve(self, chart: ChartRef) -> ChartRef:
        """The chart with the digest of its archive."""
        await super().resolve(chart)
        return replace(chart, digest=f"sha256:{hashlib.sha256((await self.fetch(chart)).read_bytes()).hexdigest()}")

    async def fetch(self, chart: ChartRef) -> Path:
        """The archive."""
        await super().fetch(chart)
        path = self.folder / f"{chart.name}-{chart.version}.tgz"
        if not path.exists():
            path.write_bytes(packed(chart.name, chart.version))
        return path


@cache
def authority() -> trustme.CA:
    """The root of the mesh."""
    return trustme.CA()


def root_pem() -> str:
    """Its certificate."""
    return authority().cert_pem.bytes().decode()


async def mesh(folder: Path) -> World:
    """A cluster after ``up``, with the objects of its tenants."""
    there = world()
    there.charts = PackedCharts(folder)
    await stages.up(there, DESIRED, [])
    secret("cacerts", **{"ca-cert.pem": root_pem(), "ca-key.pem": f"key {PLANTED}"}).into(there)
    secret("remote", labels={"istio/multiCluster": "true"}, notes={"networking.istio.io/cluster": "west"}, west=PLANTED).into(there)
    secret("shop-tls", namespace="istio-ingress", **{"tls.crt": root_pem(), "tls.key": PLANTED}).into(there)
    there.kube.objects[f"{SYSTEM}/configmaps/istio-ca-root-cert"] = _named("istio-ca-root-cert", "istio-system") | {
        "data": {"root-cert.pem": root_pem()}
    }
    there.kube.put(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio-injection": "enabled", "team": "a"}}}
    )
    there.kube.put(*OBJECTS)
    return there


class secret:  # noqa: N801 - reads as what it makes
    """A Secret with these texts."""

    def __init__(self, name: str, namespace: str = "istio-system", labels: Any = None, notes: Any = None, **texts: str) -> None:
        self.path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
        self.made = _named(name, namespace)
        self.made["metadata"] |= {"labels": labels or {}, "annotations": notes or {}}
        self.made["data"] = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}

    def into(self, there: World) -> None:
        """Put it into a cluster."""
        there.kube.objects[self.path] = self.made


def _named(name: str, namespace: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}}


def istio(kind: str, name: str, spec: Any, group: str = "networking.istio.io/v1", **metadata: Any) -> Manifest:
    """An object of the namespace shop as the API server has it."""
    cluster = {"uid": f"uid-{name}", "generation": 3, "managedFields": [{"manager": "kubectl"}], "finalizers": ["example.com/keep"]}
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", **cluster, **metadata},
        "spec": spec,
        "status": {"conditions": [{"type": "Reconciled"}]},
    }


TLS = {"servers": [{"port": {"number": 443}, "tls": {"mode": "SIMPLE", "credentialName": "shop-tls"}}]}
LAST = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team.example/owner": "a"}
OBJECTS = (
    istio("Gateway", "web", TLS),
    istio("VirtualService", "web", {"hosts": ["shop.example"]}, annotations=LAST),
    istio("VirtualService", "argo", {"hosts": ["a"]}, annotations={"argocd.argoproj.io/tracking-id": "shop:networking.istio.io/x"}),
    istio("VirtualService", "owned", {"hosts": ["b"]}, ownerReferences=[{"kind": "Rollout", "name": "web", "controller": True}]),
    istio("AuthorizationPolicy", "web", {"rules": [{}]}, "security.istio.io/v1"),
)


async def taken(there: World, target: Path, **terms: Any) -> Taken:
    """Take a snapshot at ``target``."""
    given = Terms(**{"files": {"meshinstall.yaml": "apiVersion: meshinstall.dev/v1\n"}, "unpack": read_members, **terms})
    with drafting(target) as draft:
        return await take(DESIRED, there.session(), draft, given)


def document(folder: Path, name: str) -> Any:
    """A JSON document of a snapshot."""
    return json.loads((folder / name).read_text())


def lines(folder: Path, name: str) -> list[Any]:
    """Those of a file of lines."""
    return [json.loads(one) for one in (folder / name).read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files(folder)}


def files(folder: Path) -> Iterator[Path]:
    """Every file."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def folders(of: Path) -> list[str]:
    """What was begun and not finished, or finished."""
    return sorted(path.name for path in of.iterdir() if path.is_dir())


def put_release_value(there: World, **values: Any) -> None:
    """Values of istiod's release as somebody gave them to helm."""
    there.releases.records[ISTIOD] = replace(there.releases.records[ISTIOD], values=values)
