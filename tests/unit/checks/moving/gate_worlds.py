"""Observations of a mesh of two tenants, a gateway and two istiods, before and after a stage of an upgrade."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from meshinstall.checks.gate import judge_gate
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.gate import (
    GateCheck,
    GateOutcome,
    Moved,
    NamespaceSeen,
    PlaneMoved,
    PlaneSeen,
    ProxiesSeen,
    Snapshot,
    WebhookSeen,
    WorkloadSeen,
    worst_of,
)
from meshinstall.model.health import CheckResult
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh import Dataplane, SyncState
from meshinstall.model.place import Place
from meshinstall.model.verdict import Evidence, Outcome, PortVerdict, Source, Verdict, worst

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
OLD, NEW = IstioVersion(1, 30, 4), IstioVersion(1, 31, 0)
ROOT, OTHER_ROOT = "a" * 64, "b" * 64
WEB, PAY, GATE = Place("shop", "Deployment web"), Place("bank", "Deployment pay"), Place("edge", "Deployment gate")
LOANS = Place("loan", "Deployment loans")
TENANTS = (WEB, PAY, LOANS)
EVERYTHING = (*TENANTS, GATE)
READY, CONNECTED, ROOTS, WEBHOOKS, HEALTH, MTLS = (
    "readiness and restarts",
    "NACKs and connected revision",
    "roots and trust domain",
    "webhooks by version",
    "checks of the control plane",
    "mTLS of what the stage changed and of its clients",
)
PASS, FAIL, UNPROVEN = GateOutcome.PASS, GateOutcome.FAIL, GateOutcome.NOT_PROVEN


def plane(revision: str = "default", version: str = "1.30.4", **more: Any) -> PlaneSeen:
    name = "istiod" if revision == "default" else f"istiod-{revision}"
    given = {"trust_domain": "corp", "wanted": 1, "ready": 1, "roots": (ROOT,)}
    return PlaneSeen(Place("istio-system", name), revision, version, **{**given, **more})


def proxies(revision: str = "default", version: str = "1.30.4", sync: SyncState = SyncState.SYNCED, **more: Any) -> ProxiesSeen:
    return ProxiesSeen(revision, version, sync, **{"count": 2, "example": "pod-1", **more})


def workload(*some: ProxiesSeen, **more: Any) -> WorkloadSeen:
    given = {"pods": 2, "ready": 2, "restarts": 0, "wanted": 2, "recipes": frozenset("r"), "labelled": frozenset("l")}
    return WorkloadSeen(**{"dataplane": Dataplane.SIDECAR, **given, "proxies": some or (proxies(),), **more})


def evidence(outcome: Outcome, source: Source = Source.PROXY, where: str = "") -> Evidence:
    return Evidence(source, outcome, f"{source} is {outcome}", where)


def row(place: Place, *some: Evidence, port: int = 8080, **more: Any) -> PortVerdict:
    found = (evidence(Outcome.PASS), evidence(Outcome.PASS, Source.CLIENT), *some)
    outcome = worst(one.outcome for one in found) or Outcome.PASS
    return PortVerdict(place.namespace, place.name, port, Dataplane.SIDECAR, outcome, found, **more)


def bad(place: Place, outcome: Outcome = Outcome.FAIL, source: Source = Source.PROXY, where: str = "", **more: Any) -> PortVerdict:
    return row(place, evidence(outcome, source, where), **more)


def verdict(*rows: PortVerdict) -> Verdict:
    return Verdict(NOON, "test", rows)


def check(code: str = "CHK001", outcome: Outcome = Outcome.PASS, *findings: Finding, reason: str = "") -> CheckResult:
    return CheckResult(code, "control plane", "istiod is there", outcome, findings, reason)


def error(code: str, title: str = "it is broken", where: str = "") -> Finding:
    return Finding(code, Severity.ERROR, title, object=where)


def start(**more: Any) -> Snapshot:
    """Before anything was moved; everything is sound."""
    spaces = {name: NamespaceSeen("default", (ROOT,)) for name in ("istio-system", "shop", "bank", "loan", "edge")}
    given = {
        "verdict": verdict(*(row(place) for place in EVERYTHING)),
        "checks": (check(), check("CHK013")),
        "planes": (plane(),),
        "workloads": {**{place: workload() for place in TENANTS}, GATE: workload(dataplane=Dataplane.GATEWAY)},
        "namespaces": spaces,
        "webhooks": (WebhookSeen("default", "1.30.4"),),
    }
    return Snapshot(NOON, **{**given, **more})


def moved_to_new(seen: Snapshot, *places: Place) -> Snapshot:
    """The same when a second istiod is there, and these belong to it."""
    new = (proxies("1-31", "1.31.0"),)
    found = {place: replace(one, proxies=new) if place in places else one for place, one in seen.workloads.items()}
    planes, hooks = (plane(), plane("1-31", "1.31.0")), (*seen.webhooks, WebhookSeen("1-31", "1.31.0"))
    return replace(seen, workloads=found, planes=planes, webhooks=hooks)


def with_workload(seen: Snapshot, place: Place, **changes: Any) -> Snapshot:
    return replace(seen, workloads={**seen.workloads, place: replace(seen.workloads.get(place, workload()), **changes)})


def without_workload(seen: Snapshot, place: Place) -> Snapshot:
    """Its pods, and its rows with them."""
    kept = {key: one for key, one in seen.workloads.items() if key != place}
    rows = (port for port in seen.verdict.ports if (port.namespace, port.workload) != place)
    return replace(seen, workloads=kept, verdict=verdict(*rows))


def with_rows(seen: Snapshot, *rows: PortVerdict) -> Snapshot:
    """These in the place of those of the same workload and port."""
    new = {(one.namespace, one.workload, one.port) for one in rows}
    kept = (one for one in seen.verdict.ports if (one.namespace, one.workload, one.port) not in new)
    return replace(seen, verdict=verdict(*kept, *rows))


def with_space(seen: Snapshot, name: str, **changes: Any) -> Snapshot:
    return replace(seen, namespaces={**seen.namespaces, name: replace(seen.namespaces.get(name, NamespaceSeen()), **changes)})


PLANE = Moved(planes=(PlaneMoved("1-31", NEW),))
IN_PLACE = Moved(planes=(PlaneMoved("default", NEW),))


def moving(*workloads: Place, gateways: Iterable[Place] = (), **more: Any) -> Moved:
    return Moved(workloads=workloads, gateways=tuple(gateways), revision="1-31", version=NEW, **more)


def gate(before: Snapshot, after: Snapshot, moved: Moved, *, require_pass: bool = False) -> dict[str, GateCheck]:
    return {one.name: one for one in judge_gate(before, after, moved, require_pass=require_pass)}


def outcome(before: Snapshot, after: Snapshot, moved: Moved, *, require_pass: bool = False) -> GateOutcome:
    return worst_of(one.outcome for one in gate(before, after, moved, require_pass=require_pass).values())


START = start()
MOVED_WEB = moved_to_new(START, WEB)
MOVED_GATE = moved_to_new(START, GATE)


def in_place() -> Snapshot:
    """The only istiod has another version."""
    return replace(START, planes=(plane(version="1.31.0"),), webhooks=(WebhookSeen("default", "1.31.0"),))


def only(found: dict[str, GateCheck], name: str) -> GateCheck:
    """The check, when it is the only one that does not pass."""
    assert [one.name for one in found.values() if one.outcome is not PASS] == [name]
    return found[name]
