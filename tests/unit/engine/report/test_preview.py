"""Two renderings of a site compared: what changes, and what it means; tests/cli/test_preview.py does it with real charts."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from meshinstall.engine.report.preview import compare_sites
from meshinstall.gitops.terms import RenderedSite, Step
from meshinstall.model.desired import Policy
from meshinstall.model.diff import Verb
from meshinstall.model.preview import SitePreview
from meshinstall.model.values import LayerKind, Origin
from tests.cases.gitops import config_map, crd, item, site

TODAY = date(2026, 11, 30)


def one(before: RenderedSite | None, after: RenderedSite | None) -> SitePreview:
    (found,) = compare_sites([before] if before else [], [after] if after else [], TODAY)
    return found


def told(found: SitePreview) -> list[str]:
    return [f"{consequence.concern}: {consequence.text}" for consequence in found.summary]


def service(kind: str, **annotations: str) -> dict[str, Any]:
    metadata = {"name": "edge", "namespace": "edge", **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": kind}}


def deployment(image: str) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "discovery", "image": image}]}}
    spec = {"replicas": 2, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "istiod", "namespace": "istio-system"}, "spec": spec}


def test_the_same_is_nothing() -> None:
    same = site("dev", [item(config_map("a", {"b": "c"})), crd("x.istio.io", "kind: x\n")])
    assert one(same, same).is_same


def test_a_new_image_is_a_restart() -> None:
    found = one(site("dev", [item(deployment("a:1"))]), site("dev", [item(deployment("a:2"))]))
    assert told(found) == ["restart: Deployment istio-system/istiod restarts: 2 pods"]
    (change,) = found.changes
    assert [(field.before, field.after) for field in change.fields] == [("a:1", "a:2")]


def test_a_new_service_is_exposed_and_one_that_goes_gives_its_address_up() -> None:
    with_it, without = site("dev", [item(service("LoadBalancer"), Step.GATEWAYS)]), site("dev", [])
    assert told(one(without, with_it)) == [
        "weaker: Service edge/edge gets a load balancer that may be public: nothing makes it internal",
        "address: Service edge/edge is new and gets an address: type LoadBalancer",
    ]
    assert told(one(with_it, without)) == [
        "address: the address of Service edge/edge is given up",
        "deletion: 1 object is deleted: Service edge/edge",
    ]
    inside = site("dev", [item(service("ClusterIP"), Step.GATEWAYS)])
    assert told(one(without, inside)) == []


def test_a_namespace_is_not_deleted_by_a_file_that_went() -> None:
    space = item({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "edge"}}, Step.NAMESPACES)
    assert one(site("dev", [space]), site("dev", [])).is_same


def test_a_site_that_is_in_no_file_stays_and_is_told() -> None:
    found = one(site("dev", [item(deployment("a:1"))]), None)
    assert found.changes == ()
    assert told(found) == ["access: no file describes this site any more: what is installed there stays as it is"]


@pytest.mark.parametrize(("version", "weak"), [("1.29.9", True), ("1.31.0", False), ("1.99.0", False)])
def test_an_istio_without_fixes_is_told_where_it_is_new(version: str, weak: bool) -> None:  # noqa: FBT001 - a case's own
    there = site("dev", [])
    newer = replace(there, desired=replace(there.desired, istio_version=version))
    assert [text.startswith(f"weaker: Istio {version} gets no fixes") for text in told(one(there, newer))] == ([True] if weak else [])
    assert one(newer, newer).is_same


def policy(**spec: Any) -> dict[str, Any]:
    about = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "web", "namespace": "shop"}}
    return {**about, "spec": spec}


def mesh(*policies: dict[str, Any]) -> RenderedSite:
    plain = site("dev", [item(one_of, Step.POLICIES) for one_of in policies])
    origin = Origin(LayerKind.COMPONENT, "policies/base/web.yaml", 1)
    return replace(plain, desired=replace(plain.desired, layered=tuple(Policy(one_of, origin) for one_of in policies)))


def test_a_selector_that_is_added_to_a_deny_is_a_wider_access() -> None:
    found = one(mesh(policy(action="DENY", rules=[{}])), mesh(policy(action="DENY", rules=[{}], selector={"matchLabels": {"app": "x"}})))
    assert any(text.startswith("wider: ") for text in told(found)), told(found)
    ((field,),) = [change.fields for change in found.changes]
    assert (field.path, field.origin) == ("spec.selector.matchLabels.app", "policies/base/web.yaml:1")


def test_a_policy_that_goes_or_comes_is_a_change() -> None:
    deny = policy(action="DENY", rules=[{}])
    assert [change.verb for change in one(mesh(deny), mesh()).changes] == [Verb.DELETE]
    assert any(text.startswith("wider: ") for text in told(one(mesh(deny), mesh())))
    assert any(text.startswith("narrower: ") for text in told(one(mesh(), mesh(deny))))


@pytest.mark.parametrize(("mode", "said"), [("STRICT", []), ("PERMISSIVE", ["PERMISSIVE"]), ("DISABLE", ["DISABLE"])])
def test_a_new_mesh_that_lets_plaintext_in_is_told(mode: str, said: list[str]) -> None:
    about = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "istio-system"},
    }
    wide = Policy({**about, "spec": {"mtls": {"mode": mode}}}, Origin(LayerKind.ENVIRONMENT, "meshinstall.yaml", 5))
    there = site("dev", [])
    new = replace(there, desired=replace(there.desired, policies=(wide,)))
    weaker = [text for text in told(one(None, new)) if text.startswith("weaker: ")]
    text = "weaker: PeerAuthentication istio-system/default is new and lets plaintext in: {} (meshinstall.yaml:5)"
    assert weaker == [text.format(one_of) for one_of in said]


def test_a_crd_that_changes_is_told() -> None:
    text = "kind: CustomResourceDefinition\nspec:\n  group: x\n"
    found = one(site("dev", [crd("a.x", text)]), site("dev", [crd("a.x", text.replace("group: x", "group: y")), crd("b.x", text)]))
    assert told(found) == ["crd: 1 CRD is new: b.x", "crd: 1 CRD changes: a.x"]
