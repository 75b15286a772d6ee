"""The probes of a run have an istiod that stays before the other one is removed, and are not started anew where they have it already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.events import Event, GateJudged, StageEnded, StageStarted
from meshinstall.engine.probe.prober import Announce, Prober
from meshinstall.engine.session import Session
from meshinstall.engine.staging.judging import own_pods
from meshinstall.engine.staging.terms import End
from meshinstall.model.upgrade import StageName
from tests.fakes import World
from tests.unit.engine.staging.upgrading import Upgrade, start

pytestmark = pytest.mark.anyio

OLD, NEW = "istio-system/istiod", "istio-system/istiod-1-31"


class Probes:
    """Stands in for the probes: which were asked for, and which releases of istiod were there then; ``trouble`` by revision."""

    def __init__(self, there: World) -> None:
        self.started: list[tuple[str, list[str]]] = []
        self.ended = 0
        self.trouble: dict[str, str] = {}
        self._there = there

    @asynccontextmanager
    async def start(self, session: Session, _: Any, revision: str, announce: Announce) -> AsyncIterator[Prober]:
        """As engine/probe/prober.py has it."""
        assert len(self.started) == self.ended
        there = self._there.releases.records
        self.started.append((revision, sorted(str(key) for key in there if key.name.startswith("istiod"))))
        made = Prober(session, "meshinstall-probe-1")
        await announce(made.namespace, f"uid-{len(self.started)}")
        if how := self.trouble.get(revision):
            setattr(made, how, "no room" if how == "problem" else ["no room"])
        try:
            yield made
        finally:
            self.ended += 1


def run(there: World, probes: Probes) -> tuple[Upgrade, dict[str, Any]]:
    made = Upgrade(there)
    return made, {"judges": replace(made.gates.judges(), start=probes.start)}


async def test_an_upgrade_in_one_go_starts_others_before_the_old_istiod_is_removed() -> None:
    there = await start(has_tenants=False)
    probes = Probes(there)
    made, terms = run(there, probes)
    assert (await made.to(**terms)).end is End.DONE
    assert probes.started == [("", [OLD]), ("1-31", [OLD, NEW])]
    assert probes.ended == 2


async def test_where_the_tag_default_leads_to_the_new_istiod_already_the_first_ones_stay() -> None:
    there = await start(has_tenants=False)
    await Upgrade(there).to(until=StageName.TAGS)
    probes = Probes(there)
    made, terms = run(there, probes)
    assert (await made.to(**terms)).end is End.DONE
    assert probes.started == [("", [OLD, NEW])]


async def test_a_way_back_from_the_tag_starts_others_while_both_istiods_are_there() -> None:
    there = await start(has_tenants=False)
    await Upgrade(there).to(until=StageName.TAGS)
    probes = Probes(there)
    made, terms = run(there, probes)
    assert (await made.back(**terms)).end is End.DONE
    assert probes.started == [("", [OLD, NEW]), ("", [OLD, NEW])]


async def test_the_pods_that_prove_the_new_istiod_serve_the_looks_that_follow() -> None:
    there = await start(has_tenants=False)
    probes = Probes(there)
    made, terms = run(there, probes)
    terms["judges"] = replace(terms["judges"], own_pods=own_pods)
    assert (await made.to(**terms)).end is End.DONE
    assert probes.started == [("", [OLD]), ("1-31", [OLD, NEW])]
    assert probes.ended == 2
    (gate,) = [event.gate for event in made.events if isinstance(event, GateJudged) and event.gate.stage.startswith("control-plane")]
    assert "two pods of ours run with revision 1-31" in [check.words for check in gate.checks]


@pytest.mark.parametrize("how", ["problem", "gaps"])
async def test_where_they_do_not_run_the_gate_proves_nothing_and_looks_with_those_of_before(how: str) -> None:
    there = await start(has_tenants=False)
    probes = Probes(there)
    probes.trouble["1-31"] = how
    made, terms = run(there, probes)
    terms["judges"] = replace(terms["judges"], own_pods=own_pods)
    result = await made.to(**terms)
    assert (result.end, result.stage) == (End.NOT_PROVEN, StageName.CONTROL_PLANE)
    assert "pods of ours do not run with revision 1-31" in result.why
    # Once more without the scouts beside them.
    assert [revision for revision, _ in probes.started] == ["", "1-31", "1-31", ""]
    assert probes.ended == 4


async def test_the_lock_names_the_namespace_of_the_probes_that_run() -> None:
    """Who verifies meanwhile must not judge them: no tenant can write the uid there."""
    there = await start(has_tenants=False)
    probes, named = Probes(there), []
    made, terms = run(there, probes)

    def at(event: Event) -> None:
        if isinstance(event, StageStarted | StageEnded):
            lease = there.kube.objects["/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/meshinstall"]
            named.append(lease["metadata"]["annotations"].get("meshinstall.dev/probes", ""))

    made.at = at
    assert (await made.to(**terms)).end is End.DONE
    assert set(named) == {"meshinstall-probe-1/uid-1", "meshinstall-probe-1/uid-2"}
