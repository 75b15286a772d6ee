"""The injector of the istiod without a revision is switched off and on while istiod writes into the same object."""

from collections.abc import Callable
from typing import Any

import pytest

from meshinstall.engine.observe.upgrade_objects import is_switched_off
from meshinstall.engine.staging.injector import switch_off, switch_on
from meshinstall.errors import ConflictError, StepError
from meshinstall.model.release import Manifest
from tests.fakes import World
from tests.unit.engine.installed import ISTIOD
from tests.unit.engine.staging.living import INJECTORS, NS
from tests.unit.engine.staging.upgrading import start

pytestmark = pytest.mark.anyio

INJECTOR = f"{INJECTORS}/istio-sidecar-injector"
FIELDS = ("namespaceSelector", "objectSelector")


def hooks(there: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = there.kube.objects[INJECTOR]["webhooks"]
    return found


def selectors(there: World) -> list[dict[str, Any]]:
    return [{field: hook[field] for field in FIELDS if hook.get(field)} for hook in hooks(there)]


def after_looks(there: World, write: Callable[[int], None], times: int) -> None:
    """Write into the object after each of the first looks at it."""
    look, looks = there.kube.get, 0

    async def get(path: str) -> Manifest | None:
        nonlocal looks
        live = await look(path)
        if path == INJECTOR and looks < times:
            looks += 1
            write(looks)
        return live

    there.kube.get = get  # type: ignore[method-assign]


def writes_ca(there: World) -> Callable[[int], None]:
    """What istiod does: a new CA in every webhook."""

    def write(number: int) -> None:
        live = there.kube.objects[INJECTOR]
        webhooks = [{**hook, "clientConfig": {**hook["clientConfig"], "caBundle": f"ca-{number}"}} for hook in live["webhooks"]]
        api = "admissionregistration.k8s.io/v1"
        there.kube.put({"apiVersion": api, "kind": "MutatingWebhookConfiguration", **live, "webhooks": webhooks})

    return write


async def test_off_and_on_gives_back_what_helm_recorded() -> None:
    there = await start()
    before = selectors(there)
    await switch_off(there.kube, NS)
    assert is_switched_off(there.kube.objects[INJECTOR])
    await switch_on(there.kube, NS, there.releases.records[ISTIOD])
    assert selectors(there) == before


@pytest.mark.parametrize("times", [1, 4])
async def test_a_ca_that_istiod_writes_meanwhile_is_kept(times: int) -> None:
    there = await start()
    after_looks(there, writes_ca(there), times)
    await switch_off(there.kube, NS)
    assert is_switched_off(there.kube.objects[INJECTOR])
    assert {hook["clientConfig"]["caBundle"] for hook in hooks(there)} == {f"ca-{times}"}


async def test_who_writes_without_end_is_not_waited_for_without_end() -> None:
    there = await start()
    after_looks(there, writes_ca(there), 100)
    with pytest.raises(ConflictError):
        await switch_off(there.kube, NS)
    assert not is_switched_off(there.kube.objects[INJECTOR])


async def test_one_that_is_deleted_meanwhile_has_nothing_to_switch() -> None:
    there = await start()
    look = there.kube.get

    async def gone(path: str) -> Manifest | None:
        there.kube.objects.pop(INJECTOR, None)
        return await look(path)

    there.kube.get = gone  # type: ignore[method-assign]
    await switch_off(there.kube, NS)
    assert INJECTOR not in there.kube.objects


async def test_without_a_record_it_stays_off_and_says_what_to_do() -> None:
    there = await start()
    await switch_off(there.kube, NS)
    with pytest.raises(StepError, match="is switched off, and no release says what it should select") as told:
        await switch_on(there.kube, NS, None)
    assert "namespaces with istio-injection=enabled" in told.value.hint
    assert is_switched_off(there.kube.objects[INJECTOR])


async def test_a_webhook_that_helm_did_not_record_matches_nothing() -> None:
    there = await start()
    await switch_off(there.kube, NS)
    hooks(there).append({**hooks(there)[0], "name": "added.sidecar-injector.istio.io"})
    await switch_on(there.kube, NS, there.releases.records[ISTIOD])
    assert selectors(there)[-1]["namespaceSelector"] == {"matchLabels": {"istio.io/deactivated": "never-match"}}


async def test_the_injector_of_another_mesh_is_left_alone() -> None:
    there = await start()
    for hook in hooks(there):
        hook["clientConfig"]["service"]["namespace"] = "mesh-two"
    await switch_off(there.kube, NS)
    assert not is_switched_off(there.kube.objects[INJECTOR])


async def test_our_name_is_given_up_as_the_manager_of_its_fields() -> None:
    there = await start()
    helm, ours = ({"manager": name, "operation": "Update"} for name in ("helm", "meshinstall"))
    there.kube.objects[INJECTOR]["metadata"]["managedFields"] = [helm, ours]
    await switch_off(there.kube, NS)
    assert there.kube.objects[INJECTOR]["metadata"]["managedFields"] == [helm]
