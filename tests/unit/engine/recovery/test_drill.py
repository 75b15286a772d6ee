"""A drill takes away what it made, and nothing that was there before it, or that somebody made meanwhile."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from meshinstall.engine.events import Event
from meshinstall.engine.recovery.drill import drill
from meshinstall.engine.recovery.inventory import take_inventory
from meshinstall.engine.recovery.terms import Result, Terms
from meshinstall.errors import ClusterError, InterruptedRunError, MeshinstallError, PlanRefusedError, StepError
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.ownership import RESTORED
from meshinstall.model.plan import Plan
from meshinstall.model.trial import ApiKind
from tests.fakes import World
from tests.unit.engine.installed import ISTIOD, crd
from tests.unit.engine.recovery.test_restore import SHOP, WEB, _cascading, authority, codes, home, kept, opened, restored, wanted
from tests.unit.engine.snapshot.mesh import SYSTEM, istio
from tests.unit.engine.stages import callbacks

__all__ = ["kept"]

pytestmark = pytest.mark.anyio

CA = f"{SYSTEM}/secrets/cacerts"
MESH = SYSTEM


def empty(folder: Path) -> World:
    """A cluster without Istio, whose namespaces and CRDs take along what is of them, and labels whoever applied them."""
    there = home(folder)
    _cascading(there)
    _owning(there)
    _defining(there)
    return there


def _defining(there: World) -> None:
    """CRDs that go take their objects along."""
    delete = there.kube.delete

    async def deleted(path: str, **terms: Any) -> None:
        await delete(path, **terms)
        plural, _, group = path.rpartition("/")[2].partition(".")
        if "/customresourcedefinitions/" in path:
            for one in [one for one in there.kube.objects if one.startswith(f"/apis/{group}/") and f"/{plural}/" in one]:
                del there.kube.objects[one]

    there.kube.delete = deleted  # type: ignore[method-assign] # for this test


def _owning(there: World) -> None:
    """As server-side apply does for labels: what its manager applied, and applies no more, goes."""
    apply, owned = there.kube.apply, dict[str, set[str]]()

    async def applied(path: str, body: Any, **terms: Any) -> Any:
        labels = set(body["metadata"].get("labels") or {})
        if not terms.get("dry_run"):
            there_now = there.kube.objects.get(path, {"metadata": {}})["metadata"].get("labels") or {}
            for label in owned.get(path, set()) - labels:
                there_now.pop(label, None)
            owned[path] = labels
        return await apply(path, body, **terms)

    there.kube.apply = applied  # type: ignore[method-assign] # for this test


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


async def drilled(kept: Path, there: World, **given: Any) -> Result:
    return await restored(kept, there, [], authority(), drill=True, **given)


async def drill_is_refused(kept: Path, there: World) -> set[str]:
    before = deepcopy(there.kube.objects)
    with pytest.raises(PlanRefusedError) as error:
        await drilled(kept, there)
    assert there.kube.objects == before
    return codes(error.value)


async def test_objects_that_were_there_before_stop_a_drill(kept: Path, tmp_path: Path) -> None:
    """They are as in the snapshot, since both clusters are fed from one repository: taking the mesh away would take them, too."""
    there = empty(tmp_path)
    there.kube.put(namespace("shop"), istio("HTTPRoute", "web", {"hosts": ["shop.example"]}, "gateway.networking.k8s.io/v1"))
    there.kube.put(crd("virtualservices.networking.istio.io"), istio("VirtualService", "web", {"hosts": ["shop.example"]}))
    assert "PRE061" in await drill_is_refused(kept, there)


async def test_crds_that_were_there_before_stop_a_drill(kept: Path, tmp_path: Path) -> None:
    there = empty(tmp_path)
    there.kube.put(crd("virtualservices.networking.istio.io"))
    assert "PRE061" in await drill_is_refused(kept, there)


@pytest.mark.parametrize("name", ["istio-system", "istio-ingress", "shop"])
async def test_namespaces_that_were_there_before_stay_as_they_were(kept: Path, tmp_path: Path, name: str) -> None:
    there = empty(tmp_path)
    there.kube.put(namespace(name, team="a"))
    _electing(there)
    result = await drilled(kept, there)
    assert there.kube.objects[f"/api/v1/namespaces/{name}"]["metadata"]["labels"] == {"team": "a"}
    assert [(one.outcome, one.evidence) for one in result.removed or ()] == [(GateOutcome.PASS, ())]


def _electing(there: World) -> None:
    """Istiods write down who leads."""
    after = there.helm.after[ISTIOD]

    def elected() -> None:
        after()
        notes = {"control-plane.alpha.kubernetes.io/leader": "{}"}
        there.kube.objects[f"{SYSTEM}/configmaps/istio-leader"] = {
            "metadata": {"name": "istio-leader", "namespace": "istio-system", "annotations": notes}
        }

    there.helm.after[ISTIOD] = elected


async def test_the_ca_that_istiod_made_goes_from_a_namespace_that_stays(kept: Path, tmp_path: Path) -> None:
    there = empty(tmp_path)
    _serving(there, ("v1", "Secret", "secrets", True))
    there.kube.put(namespace("istio-system", team="a"))
    after = there.helm.after[ISTIOD]

    def signs() -> None:
        after()
        there.kube.objects[f"{SYSTEM}/secrets/istio-ca-secret"] = {"metadata": {"name": "istio-ca-secret", "namespace": "istio-system"}}

    there.helm.after[ISTIOD] = signs
    result = await restored(kept, there, [], drill=True, allow=frozenset({"new-root"}))
    assert [(one.outcome, one.evidence) for one in result.removed or ()] == [(GateOutcome.PASS, ())]


async def test_a_secret_that_was_there_before_stays(kept: Path, tmp_path: Path) -> None:
    """The same CA, that somebody put there by hand."""
    there = empty(tmp_path)
    there.kube.put(namespace("istio-system"))
    there.kube.objects[CA] = dict(authority())
    await drilled(kept, there)
    assert CA in there.kube.objects


@pytest.mark.parametrize("number", range(1, 14))
async def test_a_drill_that_fails_at_any_write_leaves_nothing(kept: Path, tmp_path: Path, number: int) -> None:
    there = empty(tmp_path)
    before = set(there.kube.objects)
    _failing(there, number)
    with pytest.raises(MeshinstallError):
        await drilled(kept, there)
    assert {path for path in set(there.kube.objects) - before if "customresourcedefinition" not in path} == set()


def _failing(there: World, number: int) -> None:
    writes, store = 0, there.kube._store  # noqa: SLF001 - every write goes through it

    def fails(path: str, item: dict[str, Any]) -> dict[str, Any]:
        nonlocal writes
        writes += not path.endswith("leases/meshinstall")
        if writes == number:
            writes += 1
            raise ClusterError("refused")
        return store(path, item)

    there.kube._store = fails  # type: ignore[method-assign] # noqa: SLF001 - for this run


async def test_objects_that_somebody_made_meanwhile_are_not_taken_with_the_crds(kept: Path, tmp_path: Path) -> None:
    there = empty(tmp_path)
    mine = f"{WEB[:-3]}mine"

    async def somebody() -> None:
        there.kube.put(istio("VirtualService", "mine", {"hosts": ["mine.example"]}))

    there.helm.before[ISTIOD] = somebody
    with pytest.raises(StepError, match="VirtualService shop/mine"):
        await drilled(kept, there)
    assert mine in there.kube.objects
    del there.kube.objects[mine]
    await drilled(kept, there)
    assert MESH not in there.kube.objects


async def test_both_errors_are_told_where_a_drill_that_failed_cannot_be_taken_away(kept: Path, tmp_path: Path) -> None:
    there = empty(tmp_path)
    there.kube.refusals[f"APPLY {WEB}"] = ClusterError("the webhook refuses it")
    there.kube.refusals[f"DELETE {CA}"] = ClusterError("no right to delete")
    with pytest.raises(StepError, match=r"the webhook refuses it(.|\n)*no right to delete"):
        await drilled(kept, there)


async def test_whoever_says_no_to_going_on_with_a_drill_has_nothing_taken_away(kept: Path, tmp_path: Path) -> None:
    there = empty(tmp_path)
    there.kube.put(namespace("istio-system"))
    with opened(kept) as content:
        there.kube.objects[MESH]["metadata"]["labels"] = {RESTORED: content.mark(drill=True)}
        before = deepcopy(there.kube.objects)

        async def no(_: Plan) -> None:
            raise InterruptedRunError("stopped before the first step; nothing was changed")

        terms = Terms(content=content, prove=False, authority=authority())
        with pytest.raises(InterruptedRunError):
            await drill(wanted(content, there, authority(), drill=True), there.session(), terms, callbacks(list[Event](), ask=no))
    assert there.kube.objects == before


async def test_a_mesh_of_somebody_is_not_taken_down_where_a_drill_left_a_namespace(kept: Path, tmp_path: Path) -> None:
    there = empty(tmp_path)
    await restored(kept, there, [], authority())
    with opened(kept) as content:
        there.kube.objects[SHOP]["metadata"]["labels"][RESTORED] = content.mark(drill=True)
    releases = set(there.releases.records)
    with pytest.raises(PlanRefusedError):
        await drilled(kept, there)
    assert set(there.releases.records) == releases
    assert MESH in there.kube.objects


def _serving(there: World, *kinds: tuple[str, str, str, bool]) -> None:
    there.kube.served = {(version, kind): ApiKind(plural, namespaced) for version, kind, plural, namespaced in kinds}


async def test_what_is_left_is_told_whatever_its_kind(kept: Path, tmp_path: Path) -> None:
    """A GatewayClass is in no namespace, and no release has it."""
    removed = await _with_class(kept, tmp_path, "example.com/gateway")
    assert (removed.outcome, removed.evidence) == (GateOutcome.FAIL, ("left: GatewayClass/istio",))


async def test_what_istiod_makes_for_the_cluster_goes_with_it(kept: Path, tmp_path: Path) -> None:
    removed = await _with_class(kept, tmp_path, "istio.io/gateway-controller")
    assert (removed.outcome, removed.evidence) == (GateOutcome.PASS, ())


async def _with_class(kept: Path, tmp_path: Path, controller: str) -> GateCheck:
    there = empty(tmp_path)
    _serving(there, ("v1", "Secret", "secrets", True), ("gateway.networking.k8s.io/v1", "GatewayClass", "gatewayclasses", False))
    after = there.helm.after[ISTIOD]

    def makes() -> None:
        after()
        there.kube.objects["/apis/gateway.networking.k8s.io/v1/gatewayclasses/istio"] = {
            "metadata": {"name": "istio"},
            "spec": {"controllerName": controller},
        }

    there.helm.after[ISTIOD] = makes
    (removed,) = (await drilled(kept, there)).removed or ()
    return removed


async def test_what_may_not_be_listed_is_not_called_gone(kept: Path, tmp_path: Path) -> None:
    there = empty(tmp_path)
    _serving(there, ("v1", "Secret", "secrets", True), ("example.com/v1", "Thing", "things", True))
    there.kube.refusals["LIST /apis/example.com/v1/things"] = ClusterError("forbidden")
    (removed,) = (await drilled(kept, there)).removed or ()
    assert (removed.outcome, removed.evidence) == (GateOutcome.NOT_PROVEN, ("not listed: things.example.com",))


@pytest.mark.parametrize("more", [{"controller": True}, {}])
async def test_what_is_made_of_something_else_is_not_counted(tmp_path: Path, more: dict[str, bool]) -> None:
    there = empty(tmp_path)
    owner = [{"kind": "Node", "name": "one", **more}]
    there.kube.objects["/api/v1/namespaces/default/configmaps/a"] = {"metadata": {"name": "a", "namespace": "default"}}
    there.kube.objects["/api/v1/namespaces/default/configmaps/b"] = {
        "metadata": {"name": "b", "namespace": "default", "ownerReferences": owner}
    }
    assert (await take_inventory(there.session())).objects == {"ConfigMap/default/a"}


async def test_what_a_network_writes_of_each_pod_is_not_counted(tmp_path: Path) -> None:
    """It goes some time after the pods."""
    there = empty(tmp_path)
    _serving(there, ("v1", "Secret", "secrets", True), ("cilium.io/v2", "CiliumIdentity", "ciliumidentities", False))
    there.kube.objects["/apis/cilium.io/v2/ciliumidentities/7"] = {"metadata": {"name": "7"}}
    assert (await take_inventory(there.session())).objects == set()
