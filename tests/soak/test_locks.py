"""Many interleavings of two and three holders of a lock with lost answers, hanging requests, and clocks that differ in time and speed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.run.holders import HOLDERS, Fate, Holder, Trip, race


@given(st.lists(HOLDERS, min_size=2, max_size=3))
@settings(max_examples=5000)
def test_two_are_never_at_work_at_once(holders: list[Holder]) -> None:
    race(holders)


@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("first", range(2, 12))
@pytest.mark.parametrize("delay", [0.01, 4.9, 6.0, 17.0, 29.0])
def test_every_renewal_may_be_the_one_that_is_lost(fate: Fate, first: int, delay: float) -> None:
    """From one request on, for each kind of loss: the second holder comes at every second of the first one's lease."""
    trips = (*[Trip()] * first, *[Trip(fate, delay)] * 60)
    for begins in range(0, 40, 3):
        race([Holder(work=70, speed=0.9, trips=trips), Holder(begins=begins, speed=1.1, wall=45)])
