"""What helm left of a release that it has forgotten: shown and deleted by the next down, unless somebody may still be using it."""

from typing import Any

import pytest

from meshinstall.engine.planning import make_removal
from meshinstall.errors import StepError
from meshinstall.model.release import Manifest, ReleaseKey
from tests.cases import plans
from tests.fakes import World, settled
from tests.unit.engine import stages
from tests.unit.engine.installed import ISTIOD, world

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
OTHER = ReleaseKey("mesh-two", "istiod")
WEBHOOKS = ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")


def left(kind: tuple[str, str], name: str, release: ReleaseKey, namespace: str = "") -> dict[str, Any]:
    """An object of Istio's charts as helm marks it."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    found = settled({"apiVersion": kind[0], "kind": kind[1], "metadata": metadata}, release)
    found["metadata"]["labels"]["app.kubernetes.io/part-of"] = "istio"
    return found


async def forgotten(*objects: dict[str, Any]) -> World:
    """A mesh that was removed, but for these."""
    there = world()
    await stages.up(there, DESIRED, [])
    await stages.down(there, DESIRED, [])
    for one in objects:
        there.kube.put(one)
    return there


async def steps(there: World) -> dict[str, tuple[str, ...]]:
    plan = await make_removal(DESIRED, there.session(), crds=False)
    return {step.name: step.reasons for step in plan.pending}


async def test_what_a_forgotten_release_left_is_shown_and_deleted() -> None:
    role = ("rbac.authorization.k8s.io/v1", "ClusterRole")
    there = await forgotten(left(WEBHOOKS, "istio-sidecar-injector", ISTIOD), left(role, "istiod", ISTIOD))
    reason = ("helm has no record of release istio-system/istiod any more, and left this",)
    assert await steps(there) == {
        "MutatingWebhookConfiguration/istio-sidecar-injector": reason,
        "ClusterRole/istiod": reason,
    }
    await stages.down(there, DESIRED, [])
    assert not [path for path in there.kube.objects if "istio-sidecar-injector" in path or "clusterroles" in path]
    assert await steps(there) == {}


@pytest.mark.parametrize(
    "sign",
    [
        left(("apps/v1", "Deployment"), "istiod", ISTIOD, "istio-system"),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "r", "namespace": "istio-system", "labels": {"owner": "helm", "name": "istiod"}},
        },
    ],
    ids=["its workload is there", "helm keeps its records in ConfigMaps"],
)
async def test_a_release_that_somebody_may_use_is_named_and_left_alone(sign: dict[str, Any]) -> None:
    there = await forgotten(left(WEBHOOKS, "istio-sidecar-injector", ISTIOD), sign)
    assert await steps(there) == {}
    with pytest.raises(StepError, match="still there: mutatingwebhookconfigurations/istio-sidecar-injector"):
        await stages.down(there, DESIRED, [])


async def test_what_other_releases_left_is_not_ours() -> None:
    there = await forgotten(left(WEBHOOKS, "istio-sidecar-injector-two", OTHER))
    assert await steps(there) == {}
    await stages.down(there, DESIRED, [])
    assert [path for path in there.kube.objects if "istio-sidecar-injector-two" in path]


async def test_the_namespace_that_a_removal_made_for_its_lock_is_gone_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    there = await forgotten(left(WEBHOOKS, "istio-sidecar-injector", ISTIOD))
    path, delete, get = "/api/v1/namespaces/istio-system", there.kube.delete, there.kube.get
    looks: list[bool] = []

    async def slowly(at: str, *, uid: str = "") -> None:
        if at == path:
            there.kube.objects[path]["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
        else:
            await delete(at, uid=uid)

    async def looked(at: str) -> Manifest | None:
        found = await get(at)
        if at == path and found and "deletionTimestamp" in found["metadata"]:
            looks.append(True)
            if len(looks) > 2:
                del there.kube.objects[path]
        return found

    monkeypatch.setattr(there.kube, "delete", slowly)
    monkeypatch.setattr(there.kube, "get", looked)
    await stages.down(there, DESIRED, [])
    assert path not in there.kube.objects
