"""Whatever a mesh is: every hop and every move is legal by the skew table, and at the end nothing of the old is left."""

from itertools import pairwise

from hypothesis import assume, given

from meshinstall.catalog.upgrades import CANARY_MINORS, IN_PLACE_MINORS
from meshinstall.engine.upgrade.hops import Route, find_route
from meshinstall.engine.upgrade.stages import Goal, kept, order_stages
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.revision import revision_of
from meshinstall.model.upgrade import Part, StageName, Way
from tests.unit.engine.upgrade.mesh_model import Model, model, positions, upgrades, versions


def route(position: MeshPosition, target: IstioVersion) -> Route:
    return find_route(position, target, revision_of(str(target)))


@given(positions(), versions)
def test_a_hop_goes_as_far_as_its_way_may_and_never_back(position: MeshPosition, target: IstioVersion) -> None:
    found = route(position, target)
    if not found.strategy:
        return
    (hop,) = found.hops
    farthest = IN_PLACE_MINORS if hop.way is Way.IN_PLACE else CANARY_MINORS
    for plane in position.planes:
        assert plane.version is not None
        assert 0 <= target.minors_after(plane.version) <= farthest
        assert plane.version <= target
    assert all(each.version <= target for one in position.proxied for each in one.proxies if each.version)


@given(positions(), versions)
def test_every_refusal_has_a_reason_and_the_next_legal_hop_or_that_there_is_none(position: MeshPosition, target: IstioVersion) -> None:
    found = route(position, target)
    assert bool(found.refusals) == (found.strategy is None)
    for refusal in found.refusals:
        assert refusal.title
        before, _, step = refusal.hint.partition("meshinstall upgrade plan --to ")
        if before:
            assert before in {"next legal hop: ", "there is no legal hop"}
        if step:
            major, minor, patch = map(int, step.split("."))
            assert route(position, IstioVersion(major, minor, patch)).strategy, f"{step} is not legal"


@given(positions(), versions)
def test_several_hops_follow_each_other_up_to_the_target(position: MeshPosition, target: IstioVersion) -> None:
    hops = route(position, target).hops
    assert all(one.after == other.before for one, other in pairwise(hops))
    if hops:
        assert hops[-1].after == target
        assert hops[0].before == min(plane.version for plane in position.planes if plane.version)
    for hop in hops:
        assert hop.after > hop.before or len(hops) == 1
        assert hop.after.minors_after(hop.before) <= (IN_PLACE_MINORS if hop.way is Way.IN_PLACE else CANARY_MINORS)


def planned(position: MeshPosition, target: IstioVersion) -> Goal:
    strategy = route(position, target).strategy
    assume(strategy is not None)
    assert strategy is not None
    return Goal(target, strategy)


def run(position: MeshPosition, goal: Goal) -> Model:
    """Every move in its order, each judged by the skew table."""
    mesh = model(position, goal)
    at_start = mesh.wrong()
    for stage in order_stages(position, goal):
        for move in stage.moves:
            mesh.apply(stage.name, move)
            assert mesh.wrong() - at_start == set(), f"{stage.name}: {move}"
    return mesh


@given(upgrades())
def test_every_state_between_is_legal_and_the_end_is_the_target_alone(upgrade: tuple[MeshPosition, IstioVersion]) -> None:
    position, target = upgrade
    goal = planned(position, target)
    mesh = run(position, goal)
    assert mesh.planes == {goal.revision: target}
    assert all(counts == {(goal.revision, target)} for counts in mesh.proxies.values())
    assert all(mesh.leads(tag) == goal.revision for tag in mesh.tags)
    assert all(mesh.leads(selector) == goal.revision for selector in mesh.selectors.values() if selector)
    assert mesh.validator in {"", goal.revision}
    assert mesh.base == str(target)
    assert all(version == target for version in mesh.agents.values())
    assert mesh.wrong() == set()


@given(upgrades())
def test_stages_are_in_their_order_with_a_word_each_and_what_no_restart_replaces_is_named(
    upgrade: tuple[MeshPosition, IstioVersion],
) -> None:
    position, target = upgrade
    goal = planned(position, target)
    stages = order_stages(position, goal)
    names = [stage.name for stage in stages]
    assert names == [name for name in StageName if name in names]
    assert all(stage.does for stage in stages)
    assert all(stage.moves or stage.note for stage in stages)
    told = {one.workload: one.until for one in kept(position, goal)}
    assert all(told.values())
    moves = [move for stage in stages for move in stage.moves if move.name in told and move.part is not Part.SCOUT]
    assert all(move.by_hand for move in moves)
