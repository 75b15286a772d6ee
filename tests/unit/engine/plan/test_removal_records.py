"""A record of helm is a Secret that others may write: a removal deletes nothing that only the record calls the release's."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from meshinstall.engine.observe.belongings import stranger
from meshinstall.errors import PlanRefusedError
from meshinstall.model.facts import key_of
from meshinstall.model.paths import path_of
from meshinstall.model.release import Manifest, ReleaseKey
from meshinstall.model.trial import ApiKind
from tests.fake_kube import forbidden
from tests.fakes import World, settled
from tests.unit.engine.installed import PUBLIC
from tests.unit.engine.plan.test_removal import installed, placed, reasons, removal
from tests.unit.engine.plan.test_removal_shown import down

pytestmark = pytest.mark.anyio

EDGE = ReleaseKey("istio-ingress", "edge")
DNS: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "coredns", "namespace": "kube-system"}}
ADMIN: dict[str, Any] = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "cluster-admin"}}
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "carts.shop.example"},
}
KEPT = {"annotations": {"helm.sh/resource-policy": "keep"}}
VICTIMS = [DNS, ADMIN, CRD]


def written(there: World, *more: Manifest | str, **fields: Any) -> None:
    """The record of a gateway's release, edited by somebody who may write Secrets in its namespace."""
    record = there.releases.records[PUBLIC]
    texts = [one if isinstance(one, str) else yaml.safe_dump(one) for one in more]
    there.releases.records[PUBLIC] = replace(record, manifest="\n---\n".join([record.manifest, *texts]), **fields)


def kept(there_plan: list[str]) -> str:
    """Why the release of the gateway stays."""
    return next((one.partition(": ")[2] for one in there_plan if one.startswith(f"{PUBLIC}: ")), "")


@pytest.mark.parametrize("victim", VICTIMS, ids=lambda victim: victim["kind"])
async def test_what_only_the_record_calls_its_own_keeps_the_release(victim: dict[str, Any]) -> None:
    there = await installed()
    there.kube.put(victim)
    written(there, victim)
    assert kept(reasons(await removal(there))) == f"names an object that carries no mark of a release: {key_of(victim)}"
    await down(there, lambda: None)
    assert path_of(key_of(victim)) in there.kube.objects
    assert f"uninstall {PUBLIC}" not in there.helm.calls


@pytest.mark.parametrize("victim", VICTIMS, ids=lambda victim: victim["kind"])
async def test_a_record_that_was_edited_after_the_question_is_looked_at_again(victim: dict[str, Any]) -> None:
    there = await installed()
    there.kube.put(victim)
    with pytest.raises(PlanRefusedError, match=r"release istio-ingress/public is not uninstalled: it names an object that carries no mark"):
        await down(there, lambda: written(there, victim))
    assert path_of(key_of(victim)) in there.kube.objects


async def test_another_releases_mark_counts_whatever_policy_the_object_has() -> None:
    """Helm goes by the policy in the record alone."""
    there = await installed()
    other = settled({**DNS, "metadata": {**DNS["metadata"], **KEPT}}, EDGE)
    there.kube.put(other)
    written(there, DNS)
    assert kept(reasons(await removal(there))) == (
        "has objects that belong to release istio-ingress/edge now: Deployment kube-system/coredns"
    )


async def test_what_the_record_keeps_and_what_is_gone_keeps_no_release() -> None:
    there = await installed()
    there.kube.put(DNS, CRD)
    gone = {**ADMIN, "metadata": {"name": "gone"}}
    written(there, {**DNS, "metadata": {**DNS["metadata"], **KEPT}}, {**CRD, "metadata": {**CRD["metadata"], **KEPT}}, gone, "# nothing")
    assert kept(reasons(await removal(there))) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("---kind: Deployment\nmetadata: {name: x}", "has a record that cannot be read: a line begins with --- and has more text"),
        ("--- # more\nkind: Deployment", "has a record that cannot be read: a line begins with --- and has more text"),
        ("kind: [", "has a record that cannot be read: not YAML"),
        (
            "kind: CustomResourceDefinition\nkind: Deployment\napiVersion: apps/v1\nmetadata: {name: coredns, namespace: kube-system}",
            "names an",
        ),
        ("apiVersion: v1\nkind: Node\nmetadata: {name: one}", "has objects of kinds that cannot be looked at: Node"),
        ("apiVersion: v1\nkind: List\nitems: []\nmetadata: {name: x}", "has objects of kinds that cannot be looked at: List"),
        ("apiVersion: acme.example/v1\nkind: Service\nmetadata: {name: x}", "has objects of kinds that cannot be looked at: Service"),
        ("[]", "has a record that cannot be read: a document in it is not an object"),
        ("kind: Deployment", "has a record that cannot be read: a document in it is not an object"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {generateName: x}", "has a record that cannot be read: a document"),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, annotations: []}\n---\nx",
            "has a record that cannot be read: a document",
        ),
    ],
)
async def test_what_helm_may_read_in_another_way_keeps_the_release(text: str, why: str) -> None:
    there = await installed()
    there.kube.put(DNS)
    record = there.releases.records[PUBLIC]
    assert (await stranger(there.kube, there.releases, replace(record, manifest=f"{record.manifest}\n---\n{text}\n"))).startswith(why)


async def test_a_hook_keeps_the_release() -> None:
    there = await installed()
    written(there, hooks=("Job x",))
    assert kept(reasons(await removal(there))) == "has hooks, which no chart of Istio has, and helm would run them: Job x"


async def test_a_second_record_keeps_the_release() -> None:
    there = await installed()
    there.releases.rival = "has another record"
    assert kept(reasons(await removal(there))) == "has another record"


async def test_a_second_record_that_came_after_the_question_keeps_the_release() -> None:
    there = await installed()

    def come() -> None:
        there.releases.rival = "has another record"

    with pytest.raises(PlanRefusedError, match="is not uninstalled: it has another record"):
        await down(there, come)
    assert there.helm.calls == []


async def test_an_object_that_may_not_be_looked_at_keeps_the_release() -> None:
    there = await installed()
    there.kube.put(ADMIN)
    written(there, ADMIN)
    there.kube.refusals[f"GET {path_of(key_of(ADMIN))}"] = forbidden("it")
    assert kept(reasons(await removal(there))).startswith("has objects that cannot be looked at: it is forbidden")


async def test_the_api_server_tells_where_a_kind_is() -> None:
    there = await installed()
    there.kube.served = {
        ("v1", "Secret"): ApiKind("secrets", namespaced=True),
        ("acme.example/v1", "Node"): ApiKind("nodes", namespaced=False),
    }
    there.kube.objects["/apis/acme.example/v1/nodes/one"] = {"metadata": {"name": "one"}}
    written(there, "apiVersion: acme.example/v1\nkind: Node\nmetadata: {name: one}")
    assert kept(reasons(await removal(there))) == "names an object that carries no mark of a release: Node one"


@pytest.mark.parametrize("annotations", [{}, {"meta.helm.sh/release-name": "shop"}])
async def test_a_strangers_load_balancer_with_our_label_stays(annotations: dict[str, str]) -> None:
    there = await installed()
    metadata = {"name": "shop", "labels": {"app.kubernetes.io/instance": "public"}, "annotations": annotations}
    placed(there, "api/v1/services/shop", metadata=metadata, spec={"type": "LoadBalancer"})
    await down(there, lambda: None)
    assert "/api/v1/namespaces/istio-ingress/services/shop" in there.kube.objects


HERE = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop"}
OWNERS: dict[str, list[dict[str, str]]] = {
    "of the whole cluster": [{"apiVersion": "shop.example/v1", "kind": "Cart", "name": "all"}],
    "a node": [{"apiVersion": "v1", "kind": "Node", "name": "one"}],
    "a kind of the same name in another group": [{"apiVersion": "shop.example/v1", "kind": "ReplicaSet", "name": "shop"}],
    "one here and one of the whole cluster": [HERE, {"apiVersion": "shop.example/v1", "kind": "Cart", "name": "all"}],
    "nothing": [{}],
}


@pytest.mark.parametrize("name", OWNERS)
async def test_what_belongs_to_something_that_is_not_looked_at_keeps_its_namespace(name: str) -> None:
    there = await installed()
    placed(there, "apis/apps/v1/deployments/shop", metadata={"ownerReferences": OWNERS[name]})
    assert reasons(await removal(there)) == ["namespace/istio-ingress: it contains foreign objects: deployments/shop"]


async def test_what_belongs_to_something_in_the_namespace_goes_by_its_owner() -> None:
    there = await installed()
    placed(there, "api/v1/pods/shop", metadata={"ownerReferences": [HERE]})
    assert reasons(await removal(there)) == []
    placed(there, "apis/apps/v1/replicasets/shop")
    assert reasons(await removal(there)) == ["namespace/istio-ingress: it contains foreign objects: replicasets/shop"]


@pytest.mark.parametrize("path", ["api/v1/configmaps/shop-leader", "api/v1/secrets/istio-shop", "api/v1/persistentvolumeclaims/istio-shop"])
async def test_a_leaders_note_hides_nothing_of_others(path: str) -> None:
    there = await installed()
    placed(there, path, metadata={"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}})
    assert reasons(await removal(there)) == [f"namespace/istio-ingress: it contains foreign objects: {'/'.join(path.split('/')[-2:])}"]


@pytest.mark.parametrize("path", ["api/v1/persistentvolumeclaims/data", "api/v1/configmaps/page", "apis/apps/v1/deployments/shop"])
async def test_our_label_hides_nothing_of_others(path: str) -> None:
    there = await installed()
    placed(there, path, metadata={"labels": {"app.kubernetes.io/managed-by": "meshinstall"}})
    assert reasons(await removal(there)) == [f"namespace/istio-ingress: it contains foreign objects: {'/'.join(path.split('/')[-2:])}"]
