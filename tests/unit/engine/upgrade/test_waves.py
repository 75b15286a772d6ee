"""Whatever runs: each old workload is in one wave or left with a reason, budgets and parallel hold, and nothing is restarted twice."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshinstall.engine.upgrade.stages import Goal, is_behind
from meshinstall.engine.upgrade.waves import Waving, batches, plan_waves
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import (
    BudgetAt,
    Carrier,
    Mark,
    MeshPosition,
    NamespaceAt,
    PlaneAt,
    Proxied,
    ProxyCount,
    Rollout,
    TagAt,
)
from meshinstall.model.place import Place
from meshinstall.model.upgrade import Strategy, Way
from meshinstall.model.waves import How, Restart, Wave, WavesPlan

OLD, NEW = IstioVersion(1, 30, 4), IstioVersion(1, 31, 0)
GOAL = Goal(NEW, Strategy(Way.CANARY, "1-31", "as the test wants it"))
VALUE = "1.31.0/1-31"
OWN = frozenset({"istio-system"})
KINDS = ["Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "Rollout", "ReplicaSet"]
SPACES = ["shop", "shop-try", "pay", "istio-system", "kube-system"]
PLANES = (
    PlaneAt("1-30", OLD, Place("istio-system", "istiod-1-30"), "istiod-1-30"),
    PlaneAt("1-31", NEW, Place("istio-system", "istiod-1-31"), "istiod-1-31"),
)

waves_of = st.lists(
    st.builds(
        Wave,
        st.just("w"),
        st.sampled_from([("shop",), ("shop-*",), ("pay", "lab"), ("*",)]),
        parallel=st.integers(1, 3),
    )
    | st.builds(Wave, st.just("w"), selector=st.just((("team", "pay"),)), parallel=st.integers(1, 3)),
    max_size=3,
).map(lambda some: tuple(replace(one, name=f"w{number}") for number, one in enumerate(some)))


@st.composite
def workloads(draw: st.DrawFn) -> tuple[Proxied, ...]:
    """Of every kind, old and new, restarted before or not."""
    found = []
    for number in range(draw(st.integers(0, 7))):
        space = draw(st.sampled_from(SPACES))
        budgets = draw(st.sets(st.sampled_from(["one", "two"])))
        proxies = draw(st.lists(st.sampled_from([("1-30", OLD), ("1-31", NEW)]), min_size=1, max_size=2, unique=True))
        found.append(
            Proxied(
                kind=draw(st.sampled_from(KINDS)),
                place=Place(space, f"w{number}"),
                carrier=draw(st.sampled_from([Carrier.SIDECAR, Carrier.SIDECAR, Carrier.WAYPOINT])),
                proxies=tuple(ProxyCount(revision, version, draw(st.integers(1, 2))) for revision, version in proxies),
                rollout=draw(rollouts),
                pinned=draw(st.sampled_from(["", "", "", "1-30", "stable"])),
                pinned_image=draw(st.sampled_from(["", "", "", "proxyv2:1.30.4"])),
                budgets=tuple(BudgetAt(Place(space, name), draw(st.integers(0, 2)), 3) for name in sorted(budgets)),
                lacks_probe=draw(st.booleans()),
                mark=draw(marks),
            )
        )
    return tuple(found)


rollouts = st.builds(
    Rollout,
    strategy=st.sampled_from(["RollingUpdate", "RollingUpdate", "Recreate", "OnDelete", ""]),
    replicas=st.integers(0, 3),
    max_unavailable=st.integers(0, 3),
    max_surge=st.integers(0, 1),
    held=st.integers(0, 1),
    is_paused=st.booleans(),
)
marks = st.builds(
    Mark,
    now=st.sampled_from(["", "", VALUE, "1.30.4/1-30"]),
    tried=st.sampled_from(["", "", VALUE]),
    is_rolling=st.booleans(),
    changed_by=st.sampled_from(["", "argocd"]),
)


def mesh(proxied: tuple[Proxied, ...], *, led: str = "1-31") -> MeshPosition:
    spaces = tuple(NamespaceAt(name, "enabled", labels=(("team", name),)) for name in SPACES)
    return MeshPosition(planes=PLANES, proxied=proxied, namespaces=spaces, tags=(TagAt("default", led), TagAt("stable", led)))


def planned(proxied: tuple[Proxied, ...], waves: tuple[Wave, ...], *, is_now: bool = True) -> WavesPlan:
    names = frozenset(one.name for one in proxied)
    return plan_waves(Waving(waves, mesh(proxied), GOAL, OWN, is_now=is_now), names)


def restarts(plan: WavesPlan) -> list[Restart]:
    return [one for wave in plan.waves for one in wave.restarts]


@given(workloads(), waves_of)
def test_every_old_workload_is_in_one_wave_by_its_rules_or_left_with_a_reason(
    proxied: tuple[Proxied, ...], waves: tuple[Wave, ...]
) -> None:
    plan = planned(proxied, waves)
    told = Counter([one.name for one in restarts(plan)] + [one.workload for one in plan.left])
    assert told == Counter(one.name for one in proxied if is_behind(one, GOAL))
    assert all(one.why for one in plan.left)
    for wave in plan.waves:
        for one in wave.restarts:
            space = one.place.namespace
            assert space not in {*OWN, "kube-system"}
            assert next(each for each in waves if each.takes(space, {"team": space})) == wave.wave
        for batch in wave.batches:
            assert 1 <= len(batch) <= wave.wave.parallel
            budgets = [name for one in batch for name in one.budgets]
            assert len(budgets) == len(set(budgets))


@given(st.lists(st.sets(st.sampled_from("abcd")), max_size=30), st.integers(1, 4))
# The second batch is full before the first one.
@example([{"a", "b", "c"}, {"a"}, {"b"}, {"c"}, {"d"}, {"d"}], 3)
def test_batches_lose_nothing_and_keep_the_order_of_a_budget(budgets: list[set[str]], parallel: int) -> None:
    some = [
        Restart("Deployment", Place("shop", f"w{number}"), "", How.RESTART, "", budgets=tuple(names))
        for number, names in enumerate(budgets)
    ]
    made = batches(some, parallel)
    assert sorted(one.name for batch in made for one in batch) == sorted(one.name for one in some)
    assert all(len(batch) <= parallel for batch in made)
    for name in "abcd":
        of_it = [one for batch in made for one in batch if name in one.budgets]
        assert of_it == [one for one in some if name in one.budgets]
        assert len({id(batch) for batch in made for one in batch if name in one.budgets}) == len(of_it)


@given(workloads(), waves_of)
def test_after_all_waves_nothing_is_left_to_restart(proxied: tuple[Proxied, ...], waves: tuple[Wave, ...]) -> None:
    plan = planned(proxied, waves)
    done = {one.name for one in restarts(plan)}
    after = tuple(replace(one, proxies=(ProxyCount("1-31", NEW, 1),)) if one.name in done else one for one in proxied)
    again = planned(after, waves)
    assert again.waves == ()
    assert again.left == plan.left


@given(workloads(), waves_of, st.booleans())
def test_a_restart_that_was_made_or_reverted_is_never_made_again(
    proxied: tuple[Proxied, ...],
    waves: tuple[Wave, ...],
    is_rolling: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    made = {one.name: one.how for one in restarts(planned(proxied, waves))}
    for mark in (Mark(VALUE, VALUE, is_rolling), Mark("", VALUE, is_rolling, "argocd"), Mark("1.30.4/1-30", VALUE, is_rolling)):
        again = planned(tuple(replace(one, mark=mark) for one in proxied), waves)
        assert {one.how for one in restarts(again)} <= ({How.WAIT, How.EVICTION} if mark.now == VALUE and is_rolling else {How.EVICTION})
        left = {one.workload: one.why for one in again.left}
        for name in made.keys() & left.keys():
            assert "second time" in left[name] or "by hand" in left[name]


def one(kind: str = "Deployment", **more: object) -> Proxied:
    told = {"rollout": Rollout("RollingUpdate", 2, 0, 1), **more}
    return Proxied(kind, Place("shop", "web"), Carrier.SIDECAR, (ProxyCount("1-30", OLD, 2),), **told)  # type: ignore[arg-type]


REST = (Wave("rest", ("*",)),)


@pytest.mark.parametrize(
    ("workload", "how", "downtime"),
    [
        (one(), How.RESTART, ""),
        (one(rollout=Rollout("RollingUpdate", 1, 0, 1)), How.RESTART, ""),
        (one(rollout=Rollout("RollingUpdate", 1, 1, 0)), How.RESTART, "it has 1 pod"),
        (one(rollout=Rollout("Recreate", 3, grace=20)), How.RESTART, "down from the stop of the old (up to 20 s) until the new are Ready"),
        (one(lacks_probe=True), How.RESTART, "no readiness probe"),
        (one("StatefulSet", rollout=Rollout("RollingUpdate", 3, 1)), How.RESTART, ""),
        (one("StatefulSet", rollout=Rollout("OnDelete", 3, 1)), How.EVICTION, ""),
        (one("DaemonSet", rollout=Rollout("OnDelete", 3, 1, grace=60)), How.EVICTION, "each node in turn, down for up to 1 min"),
        (one("Rollout", rollout=Rollout()), How.EVICTION, ""),
        (replace(one("CloneSet"), proxies=(ProxyCount("1-30", OLD, 1),)), How.EVICTION, "evicts its only pod, down for up to 30 s"),
        (one(mark=Mark(VALUE, VALUE, is_rolling=True), lacks_probe=True), How.WAIT, ""),
    ],
)
def test_each_workload_is_planned_as_what_it_is(workload: Proxied, how: How, downtime: str) -> None:
    (found,) = restarts(planned((workload,), REST))
    assert found.how is how
    assert downtime in found.downtime
    assert bool(downtime) == bool(found.downtime)


@pytest.mark.parametrize(
    ("workload", "why"),
    [
        (one("Job"), "keeps the old proxy until it ends"),
        (one("Pod"), "keeps the old proxy until somebody deletes it and makes it again: no controller does"),
        (one(rollout=Rollout("RollingUpdate", 2, 0, 1, is_paused=True)), "keeps the old proxy until the Deployment is no longer paused"),
        (one("StatefulSet", rollout=Rollout("RollingUpdate", 3, 1, held=2)), "until its partition no longer keeps 2 pods"),
        (one(pinned_image="proxyv2:1.30.4"), "until its pod template no longer names the image proxyv2:1.30.4"),
        (one(pinned="1-30"), "the label istio.io/rev of its pod template names the old revision 1-30"),
        (one(rollout=Rollout()), "cannot tell how its pods are replaced"),
        (one(mark=Mark("", VALUE, changed_by="argocd")), "its restart was reverted by argocd, and is not made a second time"),
        (one(mark=Mark("", VALUE)), "reverted by somebody that Kubernetes did not record"),
        (one(mark=Mark(VALUE, VALUE)), "its pods got an old proxy: restart it by hand"),
    ],
)
def test_what_no_wave_restarts_is_left_with_its_reason(workload: Proxied, why: str) -> None:
    plan = planned((workload,), REST)
    assert plan.waves == ()
    assert why in plan.left[0].why


def test_a_workload_that_the_old_istiod_would_inject_again_is_not_restarted() -> None:
    workload = one()
    found = plan_waves(Waving(REST, mesh((workload,), led="1-30"), GOAL, OWN, is_now=True), frozenset({workload.name}))
    assert [left.why for left in found.left] == ["its new pods would not get the new proxy"]
    before = plan_waves(Waving(REST, mesh((workload,), led="1-30"), GOAL, OWN), frozenset({workload.name}))
    assert len(restarts(before)) == 1


def test_a_namespace_without_a_wave_is_left_and_one_in_two_is_told() -> None:
    plan = planned((one(),), (Wave("a", ("pay", "shop-*")), Wave("b", ("*-try",)), Wave("c", selector=(("team", "pay"),))))
    assert [left.why for left in plan.left] == ["no wave has its namespace"]
    assert plan.notes == (
        "namespace pay is in the waves a and c: the first counts",
        "namespace shop-try is in the waves a and b: the first counts",
    )


def test_budgets_are_named_with_what_they_allow_and_have_to_let_go_what_a_rollout_takes() -> None:
    budget = BudgetAt(Place("shop", "web"), 1, 4)
    (found,) = restarts(planned((one(rollout=Rollout("RollingUpdate", 4, 2, 0), budgets=(budget,)),), REST))
    assert found.means.endswith("asks PodDisruptionBudget shop/web (allows 1 of 4 pods now) first")
    assert found.needs == 2
