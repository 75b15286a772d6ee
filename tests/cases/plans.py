"""The case folders of plan/: each differs from plan/mesh.yaml by its case.yaml; ``python -m tests.cases.plans`` rewrites the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from meshinstall.cli.output.printers import dump, plan_json, plan_text
from meshinstall.engine.mesh.kube_objects import peer_policy
from meshinstall.engine.planning import decide
from meshinstall.model.cluster import Cloud, ClusterRef
from meshinstall.model.desired import Desired, DesiredNamespace, Policy, Release
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.plan import Plan
from meshinstall.model.release import ChartRef, Component, ReleaseKey, ReleaseRecord, ReleaseStatus
from meshinstall.model.stack import ValuesStack, leaves
from meshinstall.model.values import Layer, LayerKind, Origin

FOLDER = Path(__file__).parent / "plan"
_SOURCE = "oci://registry.example/charts"
_ORIGIN = Origin(LayerKind.ENVIRONMENT, "meshinstall.yaml", 12, 7)


@dataclass(frozen=True, slots=True)
class Case:
    """What is wanted, what is there, and the day on which it is judged."""

    desired: Desired
    facts: Facts
    today: date

    def plan(self) -> Plan:
        """What the planner makes of it."""
        return decide(self.desired, self.facts, self.today)


def names() -> list[str]:
    """Names of all cases."""
    return sorted(file.parent.name for file in FOLDER.glob("*/case.yaml"))


def load(name: str) -> Case:
    """A case by the name of its folder."""
    return make(yaml.safe_load((FOLDER / name / "case.yaml").read_text()) or {})


def make(differs: Mapping[str, Any]) -> Case:
    """The mesh of mesh.yaml with differences."""
    found = patched(_mesh(), differs)
    return Case(_desired(found["desired"]), _facts(found["facts"]), found["today"])


def rendered(found: Plan) -> dict[str, str]:
    """The golden files of a plan, by name."""
    return {"plan.txt": plan_text(found) + "\n", "plan.json": dump(plan_json(found)) + "\n"}


def patched(below: Any, above: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(above, Mapping):
        return above
    under = below if isinstance(below, Mapping) else {}
    merged = {key: patched(under.get(key), above[key]) if key in above else under[key] for key in dict.fromkeys((*under, *above))}
    return {key: value for key, value in merged.items() if value is not None}


@cache
def _mesh() -> Any:
    return yaml.safe_load((FOLDER / "mesh.yaml").read_text())


def _key(text: str) -> ReleaseKey:
    return ReleaseKey(*text.split("/"))


def _desired(told: Mapping[str, Any]) -> Desired:
    return Desired(
        environment="dev",
        cloud=Cloud.LOCAL,
        cluster=ClusterRef(Cloud.LOCAL, name="kind-dev"),
        profile=told["profile"],
        istio_version=told["istioVersion"],
        mesh_namespace="istio-system",
        namespaces=tuple(DesiredNamespace(name, labels) for name, labels in told["namespaces"].items()),
        releases=tuple(_release(_key(name), release) for name, release in told["releases"].items()),
        policies=tuple(Policy(manifest, _ORIGIN) for manifest in told["policies"]),
    )


def _release(key: ReleaseKey, told: Mapping[str, Any]) -> Release:
    chart = ChartRef(told["component"], told["version"], _SOURCE)
    layers = tuple(_layer(source, layer) for source, layer in told["layers"].items())
    return Release(key, Component(told["component"]), chart, ValuesStack(layers), tuple(map(_key, told.get("needs", ()))))


def _layer(source: str, told: Mapping[str, Any]) -> Layer:
    """A layer whose ``deletes`` are dotted paths that it sets to null, which a merge patch cannot say."""
    values = patched({}, told["values"])
    for dotted in told.get("deletes", ()):
        *parents, last = dotted.split(".")
        inner = values
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = None
    return Layer(LayerKind[told["kind"]], source, values, dict.fromkeys(leaves(values), (told["line"], 1)))


def _facts(told: Mapping[str, Any]) -> Facts:
    releases = told["releases"]
    live = {key_of(manifest): manifest for manifest in told["live"].values()}
    return Facts(
        kubernetes=told["kubernetes"],
        namespaces={name: told["namespaces"].get(name) for name in ("istio-system", "istio-ingress")},
        releases={_key(name): _record(_key(name), record) for name, record in releases.items()},
        charts={name: _chart(name, *text.split()) for name, text in told["charts"].items()},
        owned={_key(name): tuple(record["objects"].values()) for name, record in releases.items()},
        live=live,
        policies={key_of(manifest): manifest for manifest in told["policies"].values()},
        control_planes=tuple(told["controlPlanes"].values()),
        crds=told["crds"],
        missing_crds=tuple(told["missingCrds"]),
        istiods=tuple(_record(_key(name), record) for name, record in releases.items() if record["chart"] == "istiod"),
        peers=tuple(map(peer_policy, told.get("peers", {}).values())),
        peers_unseen=told.get("peersUnseen", ""),
    )


def _chart(name: str, version: str, letter: str) -> ChartRef:
    return ChartRef(name, version, _SOURCE, f"sha256:{letter * 64}")


def _record(key: ReleaseKey, told: Mapping[str, Any]) -> ReleaseRecord:
    return ReleaseRecord(
        key=key,
        revision=told["revision"],
        status=ReleaseStatus(told["status"]),
        chart=told["chart"],
        version=told["version"],
        app_version=told["version"],
        values=told["values"],
        manifest="",
        description=told.get("said") or f"meshinstall: environment dev, profile default, chart sha256:{told['installed'] * 64}",
        updated="2026-11-20T10:00:00Z",
    )


def _rewrite() -> None:
    for name in names():
        for file, text in rendered(load(name).plan()).items():
            (FOLDER / name / file).write_text(text)


if __name__ == "__main__":
    _rewrite()
