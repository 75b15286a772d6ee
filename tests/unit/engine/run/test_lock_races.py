"""Never are two at work at once: whatever their clocks say, whichever answers are lost, and whoever dies."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.engine.run.holders import HOLDERS, Fate, Holder, Trip, race


@pytest.mark.parametrize("wall", [-3600, -45, 0, 45, 3600])
def test_a_live_lock_is_not_taken_by_a_machine_with_another_clock(wall: float) -> None:
    worked = race([Holder(work=100), Holder(begins=5, wall=wall)])
    assert worked[0] == "ann@host-0/1-0/7-1"


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNTOLD, Fate.HANGS, Fate.SILENT])
def test_a_holder_whose_renewals_come_to_nothing_ends_before_the_next_begins(fate: Fate) -> None:
    """The first two requests take the lock."""
    cut = (Trip(), Trip(), *[Trip(fate)] * 60)
    worked = race([Holder(work=200, trips=cut), Holder(begins=3, work=60)])
    assert worked[:1] == ["ann@host-0/1-0/7-1"]
    if fate in {Fate.REFUSED, Fate.HANGS}:
        assert "ann@host-1/1-0/7-1" in worked


def test_what_a_dead_machine_held_is_another_ones_in_a_minute() -> None:
    assert race([Holder(work=200, dies=10), Holder(begins=12, wall=-45)])[1:] == ["ann@host-1/1-0/7-1", "ann@host-1/1-1/7-1"]


@given(st.lists(HOLDERS, min_size=2, max_size=3))
@settings(max_examples=60)
@example([Holder(work=70, trips=(Trip(), Trip(), *[Trip(Fate.SILENT)] * 25)), Holder(begins=1, wall=45)])
def test_two_are_never_at_work_at_once(holders: list[Holder]) -> None:
    race(holders)


@given(st.lists(HOLDERS.map(lambda one: Holder(one.begins, one.wall, one.speed, one.work)), min_size=2, max_size=3))
@settings(max_examples=20)
def test_where_nothing_goes_wrong_somebody_works(holders: list[Holder]) -> None:
    assert race(holders)
