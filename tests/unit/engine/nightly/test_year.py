"""Nights of a year never go where they may not, never make a mesh worse, and get it to where the files want it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.engine.nightly.choice import Kind
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from tests.unit.engine.nightly.year import Night, nights, plan_to, running, wrong

_PLANES = 2


def versions(position: MeshPosition) -> dict[str, set[IstioVersion]]:
    """Every version of each part."""
    proxies = {one.name: {each.version for each in one.proxies if each.version} for one in position.proxied}
    return {**proxies, "istiods": running(position), "CRDs": {position.base} if position.base else set()}


def judge(night: Night) -> None:
    """What holds of every single night."""
    before, after = versions(night.before), versions(night.after)
    came = set().union(*after.values()) - set().union(*before.values())
    if not night.was_open:
        assert night.after == night.before, "a night outside of its windows changed something"
    for version in came:
        # Never ahead of what is allowed.
        assert night.world.is_allowed(version, running(night.before)), f"{version} is not allowed"
        assert night.decision is not None
        assert night.decision.plan is not None
        assert version == night.decision.plan.target
    # Never two at once.
    assert len(night.after.planes) <= max(_PLANES, len(night.before.planes))
    assert len({one.line for one in running(night.after)}) <= max(_PLANES, len({one.line for one in running(night.before)}))
    if len(night.before.planes) == _PLANES and came:
        assert {one.line for one in came} == {max(running(night.before)).line}
    # No night leaves it worse.
    assert wrong(night.after) <= wrong(night.before)
    assert all(min(after[name]) >= min(some) for name, some in before.items() if some), "a night went back"


def waits(version: IstioVersion, here: MeshPosition) -> bool:
    """Whether somebody has an upgrade to another minor in progress, which he has to end or take back himself."""
    return len({one.line for one in running(here)}) > 1 and version.line != max(running(here)).line


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_year_of_nights(seed: int) -> None:
    last = None
    for last in nights(seed):
        # The world goes on with the next one.
        judge(last)
    assert last is not None
    judge_the_end(last)


def judge_the_end(last: Night) -> None:
    """What holds when nothing fails any more, and owners have restarted everything."""
    world, here = last.world, last.after
    assert last.decision is not None
    match last.decision.kind:
        case Kind.REFUSED:
            better = [one for one in world.offer().versions if world.is_allowed(one, running(here)) and not waits(one, here)]
            assert [one for one in better if not plan_to(here, one).refusals] == []
        case Kind.MOVE:
            # The files want what no hop reaches.
            assert last.decision.plan is not None
            assert last.decision.plan.refusals
        case kind:
            assert kind is Kind.NOTHING, "owners have restarted everything"
            target = max(running(here))
            assert set().union(*versions(here).values()) == {target}
            newer = [one for one in world.offer().versions if one > target and world.is_allowed(one, running(here))]
            assert newer == []
            if world.offer().is_exact:
                # What plan would want with the same files is what runs.
                assert world.offer().versions == (target,)


def test_the_years_hold_what_they_are_for() -> None:
    # Some moves of each year, in the mean.
    seeds, moves = range(6), 5
    year = [night for seed in seeds for night in nights(seed)]
    kinds = [night.decision.kind for night in year if night.decision]
    assert {Kind.MOVE, Kind.NOTHING, Kind.LEFT, Kind.REFUSED} == set(kinds)
    moved = [night for night in year if night.after != night.before]
    assert len(moved) > moves * len(seeds)
    assert any(len(night.after.planes) == _PLANES for night in moved), "no canary"
    assert any(len({one.line for one in running(night.before)}) == _PLANES for night in moved), "no night continued one"
    assert any(not night.was_open for night in year)
