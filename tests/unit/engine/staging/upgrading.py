"""An upgrade from 1.30.4 without revisions to 1.31.0 by canary, driven as a caller without a terminal does, with gates that a test sets."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import anyio

from meshinstall.engine.events import Event, GateJudged, StageEnded, StageStarted
from meshinstall.engine.gates.snapshot import Since
from meshinstall.engine.session import Session
from meshinstall.engine.staging import upgrade as engine
from meshinstall.engine.staging.judging import Judges
from meshinstall.engine.staging.planned import Planned, Resolve
from meshinstall.engine.staging.probing import SharedProbes
from meshinstall.engine.staging.terms import Callbacks, Result, Terms
from meshinstall.engine.upgrade.pieces import Piece
from meshinstall.model.desired import Desired, DesiredNamespace, Release
from meshinstall.model.gate import GateCheck, GateOutcome, Moved, Snapshot
from meshinstall.model.ownership import audit_labels
from meshinstall.model.release import Component
from meshinstall.model.upgrade import Stage, UpgradePlan
from meshinstall.model.values import Layer, LayerKind
from meshinstall.model.verdict import Verdict
from tests.cases import plans
from tests.fake_kube import now
from tests.fakes import World
from tests.unit.engine import revisioned, stages
from tests.unit.engine.staging import living
from tests.unit.engine.staging.living import INJECTORS, LivingKube

OLD, NEW = "1.30.4", "1.31.0"
# That 1.31.0 lacks a fix is told of every such upgrade.
ALLOWED = frozenset({"missing-fix"})
PASS, FAIL, NOT_PROVEN = GateOutcome.PASS, GateOutcome.FAIL, GateOutcome.NOT_PROVEN


def files(version: str | None = None, revisions: bool | None = None) -> Desired:  # noqa: FBT001 - as Resolve has it
    """What the files say: 1.30.4 without revisions, unless asked otherwise."""
    version = version or OLD
    found = plans.load("fresh").desired
    releases = tuple(replace(one, chart=replace(one.chart, version=version, digest="")) for one in found.releases)
    if revisions:
        found = revisioned.desired(revision="-".join(version.split(".")[:2]), version=version)
        releases = found.releases
    releases = tuple(_with_value(one, version) if one.component is Component.GATEWAY else one for one in releases)
    spaces = tuple(DesiredNamespace(space.name) for space in found.namespaces)
    return replace(found, istio_version=version, releases=releases, namespaces=spaces, policies=())


# What ``up`` made: objects, and records of releases.
_INSTALLED: list[tuple[dict[str, Any], dict[Any, Any]]] = []


def _with_value(gateway: Release, version: str) -> Release:
    """A gateway with a value that differs from version to version."""
    layer = Layer(LayerKind.PROJECT, "meshinstall.yaml", {"written": version})
    return replace(gateway, values=replace(gateway.values, layers=(*gateway.values.layers, layer)))


async def start(*, has_tenants: bool = True) -> World:
    """A mesh at 1.30.4 as ``up`` installs it; with tenants: a workload of the tag ``canary``, and one of istio-injection=enabled."""
    there, kube = living.world()
    if _INSTALLED:
        objects, records = deepcopy(_INSTALLED[0])
        kube.fill(objects)
        there.releases.records = records
    else:
        await stages.up(there, files(), [])
        _INSTALLED.append(deepcopy((kube.objects, there.releases.records)))
    spaces = (("lab", {"istio.io/rev": "canary"}), ("shop", {"istio-injection": "enabled"})) if has_tenants else ()
    if has_tenants:
        there.kube.put(*tag("canary"))
    for name, labels in spaces:
        there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        living.workload(there, name, "web")
    return there


def tag(name: str) -> tuple[dict[str, Any], ...]:
    """A tag of ours that leads to the istiod without a revision."""
    made = deepcopy(revisioned.tag_objects(name, "default"))
    for item in made:
        item["metadata"]["labels"] |= audit_labels(files())
        for hook in item.get("webhooks", ()):
            hook["clientConfig"]["service"]["name"] = "istiod"
    return made


def restart(there: World, space: str) -> None:
    """What the owner of a workload does."""
    path = f"/apis/apps/v1/namespaces/{space}/deployments/web"
    live = deepcopy(there.kube.objects[path])
    notes = live["spec"]["template"].setdefault("metadata", {}).setdefault("annotations", {})
    notes["restarted"] = str(len(there.kube.calls))
    there.kube.put({"apiVersion": "apps/v1", "kind": "Deployment", **live})


@dataclass
class Gates:
    """Judges that say PASS but where ``says`` names another outcome, by ``STAGE WHAT``; ``asked`` is what they were asked."""

    says: dict[str, GateOutcome] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    stage: str = ""

    def judges(self) -> Judges:
        """All of them."""
        return Judges(self._look, self._judge, self._scouts, self._own_pods, self._before, self._after, start=None)

    def _check(self, what: str) -> GateCheck:
        asked = f"{self.stage} {what}"
        self.asked.append(asked)
        return GateCheck(what, self.says.get(asked, PASS), f"as the test says of {what}")

    async def _look(self, session: Session, desired: Desired, emit: object, *, since: Since | None = None) -> Snapshot:  # noqa: ARG002
        return Snapshot(now(), Verdict(now(), session.cluster, ()))

    def _judge(self, start: Snapshot, now: Snapshot, moved: Moved, *, require_pass: bool) -> tuple[GateCheck, ...]:  # noqa: ARG002
        places = [*moved.gateways, *moved.workloads, *(plane.revision for plane in moved.planes), *moved.namespaces, *moved.gone]
        return (self._check(" ".join(map(str, places)) or "rest"),)

    async def _scouts(self, session: Session, planned: Planned, stage: Stage, tell: object) -> tuple[GateCheck, ...]:  # noqa: ARG002
        self.asked.append(asked := f"{stage.name} scouts")
        return (GateCheck("scouts", self.says.get(asked, PASS), "as the test says of scouts"),)

    async def _own_pods(self, shared: SharedProbes, revision: str) -> tuple[GateCheck, ...]:  # noqa: ARG002
        return (self._check("own pods"),)

    async def _before(self, session: Session, planned: Planned, piece: Piece) -> tuple[GateCheck, ...]:  # noqa: ARG002
        return (self._check(f"before {piece.name}"),) if piece.gateway else ()

    async def _after(self, session: Session, planned: Planned, piece: Piece) -> tuple[GateCheck, ...]:  # noqa: ARG002
        return (self._check(f"injection {piece.name}"),) if piece.tags else ()


def nothing(_: Event) -> None:
    """What a test does at an event, by default."""


async def agree(_: UpgradePlan) -> None:
    """Whoever is asked says yes."""


@dataclass
class Upgrade:
    """One person's commands on a mesh; ``at`` is called with every event, ``ask`` when the plan was shown."""

    there: World
    gates: Gates = field(default_factory=Gates)
    events: list[Event] = field(default_factory=list)
    shown: list[UpgradePlan] = field(default_factory=list)
    at: Callable[[Event], None] = nothing
    ask: Callable[[UpgradePlan], Any] = agree
    who: str = "ann@laptop/7-1"
    files: Resolve = files

    async def to(self, version: str = NEW, **terms: Any) -> Result:
        """``upgrade --to``."""
        return await engine.upgrade(self.files, self.there.session(self.who), self._terms(terms), self._callbacks, version)

    async def back(self, to: str | None = None, **terms: Any) -> Result:
        """``upgrade rollback``."""
        return await engine.rollback(self.files, self.there.session(self.who), self._terms(terms), self._callbacks, to)

    def _terms(self, told: dict[str, Any]) -> Terms:
        return Terms(**{"allow": ALLOWED, "judges": self.gates.judges(), **told})

    @property
    def _callbacks(self) -> Callbacks:
        return Callbacks(self.shown.append, self.ask, self._hear)

    def _hear(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StageStarted):
            self.gates.stage = event.stage
        self.at(event)

    @property
    def begun(self) -> list[str]:
        """The stages that were begun."""
        return [event.stage for event in self.events if isinstance(event, StageStarted)]

    @property
    def ended(self) -> dict[str, str]:
        """How they ended."""
        return {event.stage: event.end for event in self.events if isinstance(event, StageEnded)}

    @property
    def judged(self) -> dict[str, GateOutcome]:
        """What the gates said."""
        return {event.gate.stage: event.gate.outcome for event in self.events if isinstance(event, GateJudged)}


async def killed(upgrade: Upgrade, when: Callable[[Event], bool], *, is_back: bool = False) -> bool:
    """Run it and end it as a SIGKILL does at the first such event; whether it came."""
    kube = upgrade.there.kube
    assert isinstance(kube, LivingKube)
    with anyio.CancelScope() as scope:

        def at(event: Event) -> None:
            if when(event):
                kube.is_dead = True
                scope.cancel()

        upgrade.at = at
        await (upgrade.back() if is_back else upgrade.to())
    was_killed, kube.is_dead, upgrade.at = kube.is_dead, False, nothing
    upgrade.there.dead.add(upgrade.who)
    upgrade.who = f"{upgrade.who}+"
    return was_killed


def number(wanted: int) -> Callable[[Event], bool]:
    """The event of this number, from one."""
    left = count(1)
    return lambda _: next(left) == wanted


def state(there: World) -> dict[str, Any]:
    """What the mesh is: releases, injectors, tags, proxies and gateways, without what differs from run to run."""
    objects = there.kube.objects
    found: dict[str, Any] = {str(key): (one.version, one.values, one.status) for key, one in there.releases.records.items()}
    for path, item in objects.items():
        if path.startswith(INJECTORS):
            found[path] = (item["metadata"]["labels"].get("istio.io/rev"), [_without_ca(hook) for hook in item["webhooks"]])
        elif path.endswith("/istiod-default-validator"):
            found[path] = item["metadata"]["labels"]["istio.io/rev"]
        elif of := item["metadata"].get("labels", {}).get("of"):
            name = f"pods of {item['metadata']['namespace']}/{of}"
            image = item["spec"]["containers"][0]["image"].rpartition(":")[2]
            found.setdefault(name, []).append((item["metadata"]["labels"]["istio.io/rev"], image))
        elif "/deployments/" in path:
            found[path] = item["spec"].get("minReadySeconds") or 0
    return found


def _without_ca(hook: dict[str, Any]) -> dict[str, Any]:
    client = {name: value for name, value in hook["clientConfig"].items() if name != "caBundle"}
    return {**{name: value for name, value in hook.items() if value is not None}, "clientConfig": client}


def proxies(there: World) -> dict[str, list[tuple[str, str]]]:
    """Revision and version of every proxy, by workload."""
    return {name.removeprefix("pods of "): value for name, value in state(there).items() if isinstance(value, list)}
