"""The main flow against a cluster in memory: plan, refuse, run, and the summary that is left."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from meshinstall.engine.events import Event, ProxiesOlder, RunEnded, RunStarted
from meshinstall.engine.pipeline import Terms
from meshinstall.engine.planning import make_plan, refuse
from meshinstall.errors import ConfigError, HelmError, MeshinstallError, PlanRefusedError, StepError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.ownership import lease_path
from meshinstall.model.plan import Plan
from meshinstall.model.release import ReleaseStatus
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine import stages
from tests.unit.engine.installed import ISTIOD, PUBLIC, gateway, world

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
SUMMARY = "/api/v1/namespaces/istio-system/configmaps/meshinstall"


async def planned(there: World) -> Plan:
    return await make_plan(DESIRED, there.session())


async def up(there: World, seconds: float = 600) -> list[Event]:
    events: list[Event] = []
    await stages.up(there, DESIRED, events, Terms(seconds=seconds, prove=False))
    return events


async def failed(there: World, seconds: float = 600) -> tuple[MeshinstallError, list[Event]]:
    events: list[Event] = []
    with pytest.raises(MeshinstallError) as caught:
        await stages.up(there, DESIRED, events, Terms(seconds=seconds, prove=False))
    return caught.value, events


def summary(there: World) -> dict[str, Any]:
    found: dict[str, Any] = there.kube.objects[SUMMARY]["data"]
    return found


async def test_up_then_up_again_does_nothing() -> None:
    there = world()
    await up(there)
    there.helm.calls.clear()
    again = await planned(there)
    assert again.is_empty is True
    assert there.helm.calls == []


async def test_a_plan_changes_nothing() -> None:
    there = world()
    before = set(there.kube.objects)
    assert not (await planned(there)).is_empty
    assert set(there.kube.objects) == before
    assert there.helm.calls == []


async def test_a_plan_with_something_to_do_says_that_there_is_no_helm_and_is_refused() -> None:
    there = world()
    there.helm.unusable = "helm cannot be started"
    plan = await planned(there)
    assert [(one.code, one.title, one.hint) for one in plan.refusals] == [("PRE901", "helm cannot be started", "install it")]
    with pytest.raises(PlanRefusedError, match="PRE901: helm cannot be started"):
        refuse(plan, frozenset())


async def test_a_plan_with_nothing_to_do_needs_no_helm() -> None:
    there = world()
    await up(there)
    there.helm.unusable = "helm cannot be started"
    plan = await planned(there)
    assert plan.is_empty is True
    assert plan.refusals == ()


async def test_a_run_is_told_from_the_whole_plan_to_its_end() -> None:
    events = await up(world())
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunEnded)
    assert len(events[0].plan.pending) == 7
    assert events[-1].failure == ""
    assert events[0].run.startswith("20261121T120000Z-")


@pytest.mark.parametrize(("version", "told"), [("1.30.4", ["shop (1 of 1.30.4)"]), (DESIRED.istio_version, [])])
async def test_after_an_upgrade_of_istiod_it_is_told_which_proxies_are_older(version: str, told: list[str]) -> None:
    there = world()
    assert not any(isinstance(event, ProxiesOlder) for event in await up(there))
    there.releases.records[ISTIOD] = replace(there.releases.records[ISTIOD], values={})
    metadata = {"name": "istiod-1", "namespace": "istio-system", "labels": {"app": "istiod"}}
    there.kube.objects["/api/v1/namespaces/istio-system/pods/istiod-1"] = {"metadata": metadata, "status": {"phase": "Running"}}
    there.istiod.records["istiod-1"] = [{"proxy": "web.shop", "istio_version": version}]
    events = await up(there)
    found = [event.text for event in events if isinstance(event, ProxiesOlder)]
    assert [text.partition("by namespace: ")[2].partition(";")[0] for text in found] == told


async def test_the_summary_of_a_run_that_is_done() -> None:
    there = world()
    await up(there)
    assert summary(there) | {"run": "", "plan": ""} == {
        "run": "",
        "result": "done",
        "finished": summary(there)["finished"],
        "by": "ann@laptop/7-1",
        "environment": "dev",
        "profile": "default",
        "istioVersion": "1.31.0",
        "plan": "",
    }
    assert there.kube.objects[SUMMARY]["metadata"]["labels"]["meshinstall.dev/environment"] == "dev"


async def test_the_summary_and_the_lock_of_a_run_that_failed() -> None:
    there = world()

    async def broken() -> None:
        raise HelmError("it broke")

    there.helm.before[PUBLIC] = broken
    error, events = await failed(there)
    assert str(error) == "it broke"
    assert summary(there)["result"] == "failed: it broke"
    assert isinstance(events[-1], RunEnded)
    assert events[-1].failure == "it broke"
    assert there.kube.objects[lease_path("istio-system")]["spec"]["holderIdentity"] == ""


async def test_the_summary_of_a_run_that_was_cancelled() -> None:
    there = world()
    there.helm.brings[PUBLIC] = (gateway("public", broken=True),)
    with anyio.move_on_after(30):
        await up(there)
    assert summary(there)["result"] == "interrupted"


async def test_a_timeout_says_what_was_waited_for() -> None:
    there = world()
    there.helm.brings[PUBLIC] = (gateway("public", broken=True),)
    error, _ = await failed(there, seconds=40)
    assert isinstance(error, StepError)
    assert error.message == "not done in 40 s; last seen: istio-ingress/public: Deployment istio-ingress/public: 0 of 1 pods are ready"
    assert "--timeout" in error.hint


async def test_after_a_timeout_the_same_command_goes_on() -> None:
    there = world()
    there.helm.brings[PUBLIC] = (gateway("public", broken=True),)
    await failed(there, seconds=40)
    there.kube.objects["/apis/apps/v1/namespaces/istio-ingress/deployments/public"]["status"]["availableReplicas"] = 1
    there.helm.calls.clear()
    await up(there)
    assert there.helm.calls == []


async def test_a_plan_that_another_run_overtook_is_refused_and_undoes_nothing() -> None:
    there = world()
    stale = await planned(there)
    await up(there)
    there.helm.calls.clear()
    before = summary(there)
    with pytest.raises(PlanRefusedError, match=r"release istio-system/istio-base has changed .* now it is revision 1, deployed") as caught:
        await stages.installed(there, stale, DESIRED, [])
    assert "again" in caught.value.hint
    assert there.helm.calls == []
    assert summary(there) == before
    assert there.kube.objects[lease_path("istio-system")]["spec"]["holderIdentity"] == ""


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"status": ReleaseStatus.PENDING_UPGRADE}, "revision 1, pending-upgrade"),
        ({"revision": 2}, "revision 2, failed"),
        (None, "not installed"),
    ],
)
async def test_a_release_that_moved_while_a_person_thought_is_not_touched(now: dict[str, Any] | None, said: str) -> None:
    there = world()
    await up(there)
    there.releases.records[PUBLIC] = replace(there.releases.records[PUBLIC], status=ReleaseStatus.FAILED)
    plan = await planned(there)
    there.helm.calls.clear()
    if now is None:
        del there.releases.records[PUBLIC]
    else:
        there.releases.records[PUBLIC] = replace(there.releases.records[PUBLIC], **now)
    with pytest.raises(PlanRefusedError, match=f"istio-ingress/public has changed .* it was at revision 1, now it is {said}"):
        await stages.installed(there, plan, DESIRED, [])
    assert there.helm.calls == []


async def test_a_release_that_vanishes_during_the_run_is_said() -> None:
    there = world()

    def vanish() -> None:
        del there.releases.records[PUBLIC]

    there.helm.after[PUBLIC] = vanish
    error, _ = await failed(there)
    assert type(error) is StepError
    assert str(error) == "istio-ingress/public: its Helm release no longer exists: it was uninstalled during the run"


async def test_a_summary_that_cannot_be_written_does_not_hide_the_runs_own_error() -> None:
    there = world()
    there.kube.refusals[f"APPLY {SUMMARY}"] = forbidden("configmaps")

    async def broken() -> None:
        raise HelmError("it broke")

    there.helm.before[PUBLIC] = broken
    assert str((await failed(there))[0]) == "it broke"


async def test_values_that_a_chart_refuses_stop_before_anything_is_asked_of_the_cluster() -> None:
    there = world()
    there.charts.files["istiod"] = ChartFiles({}, "{}", '{"properties": {"pilot": {"properties": {"autoscaleMin": {"type": "string"}}}}}')
    with pytest.raises(ConfigError, match=r"values/envs/dev\.yaml:9"):
        await planned(there)


async def test_a_value_that_does_something_else_than_it_seems_to_do_is_a_warning_with_its_line() -> None:
    there = world()
    layer = {"kind": "ENVIRONMENT", "line": 7, "values": {"pdb": {"minAvailable": 2, "maxUnavailable": 1}}}
    wanted = plans.make({"desired": {"releases": {"istio-system/istiod": {"layers": {"x.yaml": layer}}}}}).desired
    findings = [finding for finding in (await make_plan(wanted, there.session())).findings if finding.code == "CFG005"]
    assert [f"{finding.origin} {finding.title}" for finding in findings] == [
        "x.yaml:7 pdb.minAvailable has no effect beside pdb.maxUnavailable (x.yaml:7)"
    ]


async def test_a_finding_stops_unless_its_name_is_allowed() -> None:
    plan = plans.load("downgrade").plan()
    with pytest.raises(PlanRefusedError, match=r"PRE006: Istio 1\.32\.0 would be downgraded to 1\.31\.0") as caught:
        refuse(plan, frozenset({"eol"}))
    assert "--allow downgrade" in caught.value.hint
    refuse(plan, frozenset({"downgrade"}))


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("skipped-minor", ("skip-minor", "minor-in-place")),
        ("upgrade", ("minor-in-place",)),
        ("end-of-life", ("eol",)),
        ("kubernetes-too-old", ("kubernetes",)),
    ],
)
def test_each_finding_has_the_name_that_its_hint_gives(name: str, allowed: tuple[str, ...]) -> None:
    plan = plans.load(name).plan()
    assert [f"--allow {one}" in finding.hint for one, finding in zip(allowed, plan.refusals, strict=True)] == [True for _ in allowed]
    refuse(plan, frozenset(allowed))


@pytest.mark.parametrize("name", ["namespace-terminating", "foreign-control-planes"])
def test_some_findings_cannot_be_allowed(name: str) -> None:
    with pytest.raises(PlanRefusedError):
        refuse(plans.load(name).plan(), frozenset({"kubernetes", "foreign", "downgrade", "skip-minor", "eol"}))
