"""The probes of a run have an istiod that stays before the other one is removed, and are not started anew where they have it already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.probe.prober import Prober
from meshinstall.engine.session import Session
from meshinstall.engine.staging.terms import End
from meshinstall.model.upgrade import StageName
from tests.fakes import World
from tests.unit.engine.staging.upgrading import Upgrade, start

pytestmark = pytest.mark.anyio

OLD, NEW = "istio-system/istiod", "istio-system/istiod-1-31"


class Probes:
    """Stands in for the probes: which were asked for, and which releases of istiod were there then."""

    def __init__(self, there: World) -> None:
        self.started: list[tuple[str, list[str]]] = []
        self.ended = 0
        self._there = there

    @asynccontextmanager
    async def start(self, session: Session, _: Any, revision: str) -> AsyncIterator[Prober]:
        """As engine/probe/prober.py has it."""
        assert len(self.started) == self.ended
        there = self._there.releases.records
        self.started.append((revision, sorted(str(key) for key in there if key.name.startswith("istiod"))))
        try:
            yield Prober(session, "meshinstall-probe-1")
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
