"""Fields that go back without helm: as they were planned, and in no version of the object that was not looked at."""

from typing import Any

import pytest

from meshinstall.engine.objects.field_paths import Item, Path
from meshinstall.engine.run.undoing import put_back
from meshinstall.errors import ConflictError
from meshinstall.model.facts import key_of
from meshinstall.model.paths import path_of
from meshinstall.model.plan import Undo
from tests.cases import plans
from tests.fake_kube import FakeKube, forbidden
from tests.fakes import record, settled
from tests.unit.engine.installed import ISTIOD, world
from tests.unit.engine.run.test_runner import ran

pytestmark = pytest.mark.anyio

DEPLOYMENT = plans.make({}).facts.owned[ISTIOD][0]
KEY = key_of(DEPLOYMENT)
PATH = path_of(KEY)
CONTAINERS: Path = ("spec", "template", "spec", "containers")
DEBUG: Path = (*CONTAINERS, Item("name", "discovery"), "env", Item("name", "DEBUG"))
VARIABLE = {"name": "DEBUG", "value": "1"}


def cluster(kube: FakeKube | None = None, **spec: Any) -> FakeKube:
    """A Deployment with a variable that somebody added, unless ``spec`` says more."""
    kube = kube or FakeKube()
    containers = [{"name": "discovery", "image": "istio/pilot:1.31.0", "env": [{"name": "A", "value": "a"}, VARIABLE]}]
    kube.put({**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "template": {"spec": {"containers": containers}}, **spec}})
    return kube


def added() -> Undo:
    return Undo(KEY, DEBUG, VARIABLE, None)


def scaled(before: int = 0) -> Undo:
    return Undo(KEY, ("spec", "replicas"), before, 2, scales=True)


async def test_what_was_added_goes_and_all_else_stays() -> None:
    kube = cluster()
    told: list[str] = []
    await put_back(kube, [added()], told.append)
    [container] = kube.objects[PATH]["spec"]["template"]["spec"]["containers"]
    assert container == {"name": "discovery", "image": "istio/pilot:1.31.0", "env": [{"name": "A", "value": "a"}]}
    assert told == ["putting back fields of Deployment istio-system/istiod"]


async def test_what_is_wanted_is_set() -> None:
    kube = cluster(paused=True)
    await put_back(kube, [Undo(KEY, ("spec", "paused"), True, False)], lambda _: None)
    assert kube.objects[PATH]["spec"]["paused"] is False


async def test_what_is_gone_already_costs_no_change() -> None:
    kube = cluster()
    await put_back(kube, [added()], lambda _: None)
    await put_back(kube, [added()], lambda _: None)
    assert kube.calls.count(f"PATCH {PATH}") == 1


async def test_what_somebody_changed_since_is_planned_again() -> None:
    kube = cluster()
    change = Undo(KEY, DEBUG, {"name": "DEBUG", "value": "0"}, None)
    with pytest.raises(ConflictError, match=r"has changed since the plan was made: .*env\[DEBUG\]") as caught:
        await put_back(kube, [change], lambda _: None)
    assert caught.value.hint == "run the same command again: it makes a new plan"
    del kube.objects[PATH]
    with pytest.raises(ConflictError, match="was deleted since the plan was made"):
        await put_back(kube, [change], lambda _: None)


class Busy(FakeKube):
    """A cluster whose controllers write the status so many times just before our change."""

    left = 0

    async def patch(self, path: str, body: Any, *, dry_run: bool = False) -> Any:
        """Change it first, while there are changes left."""
        if self.left:
            self.left -= 1
            where = path.removesuffix("/scale")
            self._store(where, {**self.objects[where], "status": {"left": self.left}})
        return await super().patch(path, body, dry_run=dry_run)


@pytest.mark.parametrize(("writes", "succeeds"), [(4, True), (5, False)])
async def test_a_status_that_changes_meanwhile_is_looked_at_again(writes: int, succeeds: bool) -> None:  # noqa: FBT001 - a column
    kube = Busy()
    cluster(kube)
    kube.left = writes
    if succeeds:
        await put_back(kube, [added()], lambda _: None)
        assert VARIABLE not in kube.objects[PATH]["spec"]["template"]["spec"]["containers"][0]["env"]
    else:
        with pytest.raises(ConflictError):
            await put_back(kube, [added()], lambda _: None)


async def test_pods_come_back_through_the_subresource() -> None:
    kube = cluster(replicas=0)
    told: list[str] = []
    await put_back(kube, [scaled()], told.append)
    assert kube.objects[PATH]["spec"]["replicas"] == 2
    assert f"PATCH {PATH}/scale" in kube.calls
    assert told == ["scaling Deployment istio-system/istiod to 2"]


async def test_who_may_not_use_the_subresource_changes_the_object() -> None:
    kube = cluster(replicas=0)
    kube.refusals[f"PATCH {PATH}/scale"] = forbidden("deployments/scale")
    await put_back(kube, [scaled()], lambda _: None)
    assert kube.objects[PATH]["spec"]["replicas"] == 2


async def test_what_was_scaled_since_is_left_so() -> None:
    kube = cluster(replicas=5)
    await put_back(kube, [scaled()], lambda _: None)
    assert kube.objects[PATH]["spec"]["replicas"] == 5


@pytest.mark.parametrize("writes", [0, 3])
async def test_what_was_put_back_is_not_ours_afterwards(writes: int) -> None:
    kube = Busy()
    cluster(kube, replicas=0)
    kube.left = writes
    helm, ours = {"manager": "helm", "operation": "Apply"}, {"manager": "meshinstall", "operation": "Update", "subresource": "scale"}
    kube.objects[PATH]["metadata"]["managedFields"] = [helm, ours]
    await put_back(kube, [scaled()], lambda _: None)
    assert kube.objects[PATH]["metadata"]["managedFields"] == [helm]
    assert kube.objects[PATH]["spec"]["replicas"] == 2


async def test_a_run_puts_back_without_helm() -> None:
    there = world()
    there.releases.records[ISTIOD] = record(ISTIOD, "istiod", manifests=there.helm.brings[ISTIOD], revision=3)
    live = settled(DEPLOYMENT, ISTIOD)
    there.kube.put({**live, "spec": {**live["spec"], "replicas": 0}})
    await ran(there, plans.load("scaled-to-nothing").plan())
    assert there.kube.objects[PATH]["spec"]["replicas"] == 2
    assert there.helm.calls == []
