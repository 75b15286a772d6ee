"""Scouts of several namespaces run side by side, those of one after the other, and what had no room is tried again alone."""

from collections import Counter
from dataclasses import replace

import anyio
import pytest

from meshinstall.engine.session import Session
from meshinstall.engine.staging import judging
from meshinstall.engine.staging.planned import Planned
from meshinstall.model.desired import Release
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import Carrier, MeshPosition, Proxied
from meshinstall.model.place import Place
from meshinstall.model.release import ChartRef, Component, ReleaseKey
from meshinstall.model.upgrade import Move, Part, Stage, StageName, Strategy, UpgradePlan, Way
from tests.fakes import World
from tests.unit.engine import revisioned

pytestmark = pytest.mark.anyio

GATEWAYS = (ReleaseKey("one", "a"), ReleaseKey("one", "b"), ReleaseKey("two", "c"))


class Scouts:
    """Stands in for the scouts: each lasts until another namespace has one too, and has the next outcome of its gateway."""

    def __init__(self, **outcomes: list[GateOutcome]) -> None:
        self.ran: Counter[str] = Counter()
        self.words = "the scout cannot start: no room"
        self.most = 0
        self.crowded: list[str] = []
        self._outcomes = outcomes
        self._running: list[str] = []
        self._together = anyio.Event()

    async def scout(self, _: Session, gateway: Release, chart: ChartRef, revision: str, tell: object) -> GateCheck:
        """As engine/gates/scout.py has it."""
        assert chart.digest
        assert revision == "1-31"
        assert tell
        name, namespace = gateway.key.name, gateway.key.namespace
        self.crowded += [namespace] if namespace in self._running else []
        self._running.append(namespace)
        self.most = max(self.most, len(self._running))
        if len(set(self._running)) == 2:
            self._together.set()
        with anyio.fail_after(5):
            await self._together.wait()
        self._running.remove(namespace)
        self.ran[name] += 1
        return GateCheck(f"scout of {gateway.key}", self._outcomes[name].pop(0), self.words)


def planned() -> tuple[Planned, Stage]:
    desired = revisioned.desired()
    gateway = next(one for one in desired.releases if one.component is Component.GATEWAY)
    desired = replace(desired, releases=tuple(replace(gateway, key=key) for key in GATEWAYS))
    live = tuple(Proxied("Deployment", Place(key.namespace, key.name), Carrier.GATEWAY, (), release=str(key)) for key in GATEWAYS)
    moves = tuple(Move(Part.SCOUT, one.name, "", "") for one in live)
    stage = Stage(StageName.SCOUT, "does", moves)
    strategy = Strategy(Way.CANARY, "1-31", "the next minor")
    plan = UpgradePlan("dev", "c", IstioVersion(1, 31, 0), MeshPosition(proxied=live), strategy=strategy, stages=(stage,))
    return Planned(plan, desired), stage


async def run(monkeypatch: pytest.MonkeyPatch, world: World, scouts: Scouts) -> list[GateOutcome]:
    monkeypatch.setattr(judging, "scout", scouts.scout)
    made, stage = planned()
    checks = await judging.scouts(world.session(), made, stage, lambda _: None)
    assert [check.name for check in checks] == [f"scout of {key}" for key in GATEWAYS]
    return [check.outcome for check in checks]


async def test_those_of_two_namespaces_run_together_and_those_of_one_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    scouts = Scouts(a=[GateOutcome.PASS], b=[GateOutcome.FAIL], c=[GateOutcome.PASS])
    assert await run(monkeypatch, revisioned.world(), scouts) == [GateOutcome.PASS, GateOutcome.FAIL, GateOutcome.PASS]
    assert scouts.ran == {"a": 1, "b": 1, "c": 1}
    assert (scouts.most, scouts.crowded) == (2, [])


async def test_what_could_not_start_is_tried_again_alone_and_then_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    unproven = GateOutcome.NOT_PROVEN
    scouts = Scouts(a=[GateOutcome.PASS], b=[unproven, GateOutcome.PASS], c=[unproven, unproven])
    assert await run(monkeypatch, revisioned.world(), scouts) == [GateOutcome.PASS, GateOutcome.PASS, unproven]
    assert scouts.ran == {"a": 1, "b": 2, "c": 2}


async def test_what_started_and_proved_nothing_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scouts = Scouts(a=[GateOutcome.PASS], b=[GateOutcome.PASS], c=[GateOutcome.NOT_PROVEN])
    scouts.words = "the scout did not have its configuration"
    assert (await run(monkeypatch, revisioned.world(), scouts))[2] is GateOutcome.NOT_PROVEN
    assert scouts.ran["c"] == 1
