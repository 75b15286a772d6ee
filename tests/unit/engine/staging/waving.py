"""A mesh whose workloads follow an upgrade in waves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from meshinstall.engine.events import Event, StageWaiting
from meshinstall.model.desired import Desired
from meshinstall.model.waves import Wave
from tests.fakes import World
from tests.unit.engine.staging import upgrading
from tests.unit.engine.staging.living import workload
from tests.unit.engine.staging.upgrading import NEW, Upgrade, start

VALUE = f"{NEW}/1-31"
FIRST, REST = Wave("first", ("pay",)), Wave("rest", ("*",), parallel=2)


def path(space: str, name: str = "web", kind: str = "deployments") -> str:
    return f"/apis/apps/v1/namespaces/{space}/{kind}/{name}"


def waved(*waves: Wave) -> Callable[[str | None, bool | None], Desired]:
    return lambda version, revisions: replace(upgrading.files(version, revisions), waves=waves)


async def mesh() -> World:
    """Workloads shop/web, shop/api and pay/web, and lab/web of the tag canary."""
    there = await start()
    labels = {"istio-injection": "enabled"}
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pay", "labels": labels}})
    workload(there, "pay", "web")
    workload(there, "shop", "api")
    return there


def run_of(there: World, *waves: Wave) -> Upgrade:
    return Upgrade(there, files=waved(*(waves or (FIRST, REST))))


def patches(there: World) -> list[str]:
    """The workloads that were patched, in their order."""
    found = [call.removeprefix("PATCH /apis/apps/v1/namespaces/") for call in there.kube.calls if call.startswith("PATCH /apis/apps/")]
    return [call.replace("/deployments/", "/") for call in found if not call.startswith("istio-")]


def change(there: World, space: str, edit: Callable[[dict[str, Any]], None], name: str = "web") -> None:
    """What the owner of a workload changes without a restart."""
    edit(there.kube.objects[path(space, name)])


def stuck(there: World, *names: str) -> Callable[[Event], None]:
    """New pods of these workloads, as SPACE/NAME, do not start."""

    def at(event: Event) -> None:
        for one in names:
            if isinstance(event, StageWaiting) and event.reason.startswith(f"restarting Deployment {one},"):
                there.kube.objects[path(*one.split("/"))]["status"]["updatedReplicas"] = 0

    return at
