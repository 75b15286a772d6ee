"""From wherever an upgrade has come, the way back is legal at every move, and leads to what was there before."""

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from meshinstall.engine.upgrade.hops import find_route
from meshinstall.engine.upgrade.retirement import users
from meshinstall.engine.upgrade.rollback import plan_rollback
from meshinstall.engine.upgrade.stages import Goal, order_stages
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import AgentAt, MeshPosition, NamespaceAt, PlaneAt, ProxyCount, TagAt
from meshinstall.model.place import Place
from meshinstall.model.revision import revision_of
from meshinstall.model.upgrade import Move, Part, StageName, Way
from tests.unit.engine.upgrade.mesh_model import Model, model, positions, seen


@st.composite
def canaries(draw: st.DrawFn) -> tuple[MeshPosition, Goal, list[tuple[StageName, Move]]]:
    """A mesh with one istiod that all of it has, the goal of a canary, and its moves."""
    found = draw(positions(30, 30))
    plane, others = found.planes[0], {one.revision for one in found.planes[1:]}
    assume(not any(space.selector in others for space in found.namespaces))
    assume(not any(one.pinned in others for one in found.proxied))
    assert plane.version
    start = replace(
        found,
        base=plane.version,
        planes=(plane,),
        proxied=tuple(replace(one, proxies=(ProxyCount(plane.revision, plane.version, 1),)) for one in found.proxied),
        tags=tuple(replace(tag, revision=plane.revision) for tag in found.tags),
        validator=plane.revision if found.validator else "",
        agents=tuple(AgentAt(one.component, plane.version, one.place) for one in found.agents if one.component == "cni"),
    )
    target = IstioVersion(1, 31, draw(st.integers(0, 9)))
    strategy = find_route(start, target, revision_of(str(target))).strategy
    assume(strategy is not None)
    assert strategy
    assume(strategy.way is Way.CANARY)
    goal = Goal(target, strategy)
    return start, goal, [(stage.name, move) for stage in order_stages(start, goal) for move in stage.moves]


def _gone(start: MeshPosition, goal: Goal, moves: list[tuple[StageName, Move]]) -> Model:
    mesh = model(start, goal)
    for stage, move in moves:
        mesh.apply(stage, move)
    return mesh


@given(canaries(), st.data())
def test_after_any_move_of_a_canary_the_way_back_is_legal_and_leads_to_the_start(
    canary: tuple[MeshPosition, Goal, list[tuple[StageName, Move]]], data: st.DataObject
) -> None:
    start, goal, moves = canary
    before_retire = [one for one in moves if one[0] is not StageName.RETIRE]
    done = data.draw(st.integers(0, len(before_retire)))
    mesh = _gone(start, goal, before_retire[:done])
    if len(mesh.planes) == 1:
        return
    now = seen(mesh, start)
    plan = plan_rollback("dev", "c", now, start.planes[0].version or IstioVersion(0, 0, 0))
    assert plan.strategy
    back = model(now, Goal(plan.target, plan.strategy))
    at_start = back.wrong()
    for stage in plan.stages:
        assert stage.does
        for move in stage.moves:
            back.apply(stage.name, move)
            assert back.wrong() - at_start == set(), f"{stage.name}: {move}"
    (plane,) = start.planes
    assert back.planes == {plane.revision: plane.version}
    assert all(counts == {(plane.revision, plane.version)} for counts in back.proxies.values())
    assert back.leads("default") in {plane.revision, ""}
    assert all(back.leads(tag.name) == plane.revision for tag in start.tags)
    assert back.validator == start.validator
    # What was added stays: an older istiod does not mind.
    assert back.base == mesh.base


@given(canaries())
def test_nothing_is_removed_while_anything_leads_to_it(canary: tuple[MeshPosition, Goal, list[tuple[StageName, Move]]]) -> None:
    """No validator, tag or label is left on a revision that was removed."""
    start, goal, moves = canary
    before_retire = [one for one in moves if one[0] is not StageName.RETIRE]
    for done in range(len(before_retire) + 1):
        mesh = _gone(start, goal, before_retire[:done])
        now = seen(mesh, start)
        if not list(users(now, goal.revision)):
            gone = replace(now, planes=tuple(plane for plane in now.planes if plane.revision == goal.revision))
            assert model(gone, goal).wrong() == set()
    if start.planes[0].revision != goal.revision:
        assert list(users(seen(_gone(start, goal, before_retire), start), goal.revision)) == []


def test_in_place_the_way_back_is_a_downgrade_that_has_to_be_allowed_and_the_istiod_goes_first() -> None:
    plane = PlaneAt("default", IstioVersion(1, 31, 1), Place("istio-system", "istiod"), "istiod")
    position = MeshPosition(base=IstioVersion(1, 31, 1), planes=(plane,), validator="default")
    plan = plan_rollback("dev", "c", position, IstioVersion(1, 31, 0))
    assert [stage.name for stage in plan.stages] == [StageName.CONTROL_PLANE]
    assert [(move.part, move.before, move.after) for move in plan.stages[0].moves] == [(Part.PLANE, "1.31.1", "1.31.0")]
    assert [finding.code for finding in plan.refusals] == ["PRE006"]
    assert plan_rollback("dev", "c", position, IstioVersion(1, 31, 1)).is_empty


def test_a_tag_default_that_has_no_effect_is_taken_away_before_its_istiod() -> None:
    old, new = IstioVersion(1, 30, 4), IstioVersion(1, 31, 0)
    planes = (
        PlaneAt("default", old, Place("istio-system", "istiod"), "istiod"),
        PlaneAt("1-31", new, Place("istio-system", "istiod-1-31"), "istiod-1-31"),
    )
    # A run ended between the objects of the tag and the injector that wins over it, on the way there or back.
    found = MeshPosition(planes=planes, namespaces=(NamespaceAt("shop", "enabled"),), tags=(TagAt("default", "1-31"),))
    stages = {stage.name: stage.moves for stage in plan_rollback("dev", "c", found, old).stages}
    assert [(move.part, move.name, move.before, move.after) for move in stages[StageName.TAGS]] == [
        (Part.TAG, "default", "1-31", "default")
    ]
    gone = replace(found, tags=())
    assert [stage.name for stage in plan_rollback("dev", "c", gone, old).stages] == [StageName.RETIRE]
