"""Whose edits are shown, and from whom helm may take fields."""

from typing import Any

import pytest

from meshinstall.engine.objects.field_managers import Editor, by, editors, may_be_taken_over, owned_fields, scaled_by
from meshinstall.engine.objects.field_paths import Item, Path

CONTAINERS: Path = ("spec", "template", "spec", "containers")
IMAGE: Path = (*CONTAINERS, Item("name", "discovery"), "image")


def live(**managers: Any) -> dict[str, Any]:
    return {"metadata": {"managedFields": [{"manager": name.replace("_", "-"), "fieldsV1": fields} for name, fields in managers.items()]}}


def container(*fields: str, key: str = 'k:{"name":"discovery"}') -> dict[str, Any]:
    return {"f:spec": {"f:template": {"f:spec": {"f:containers": {key: {".": {}, **{f"f:{field}": {} for field in fields}}}}}}}


def names(item: dict[str, Any], path: Path) -> list[str]:
    return [editor.name for editor in editors(owned_fields(item), [path])]


@pytest.mark.parametrize(
    ("fields", "path", "owns"),
    [
        (container("image"), IMAGE, True),
        (container("image", "name"), IMAGE, True),
        (container("imagePullPolicy"), IMAGE, False),
        (container("image", key='k:{"name":"other"}'), IMAGE, False),
        # An item has one name in what is compared, and may have another in managedFields.
        (container("image", key='k:{"containerPort":15017,"protocol":"TCP"}'), IMAGE, True),
        (container("image", key='k:{"containerPort":15017,"protocol":"TCP"}'), (*CONTAINERS, Item("containerPort", 15017)), True),
        ({"f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}}}, ("metadata", "labels", "app.kubernetes.io/name"), True),
        # Owned as a whole, and edited inside; edited as a whole, and owned inside.
        ({"f:webhooks": {}}, ("webhooks", 0, "rules"), True),
        ({"f:data": {"f:mesh": {}}}, ("data",), True),
        ({"f:metadata": {"f:finalizers": {'v:"x"': {}}}}, ("metadata", "finalizers"), True),
        ({"f:data": {"f:mesh": {}}}, ("data", "meshNetworks"), False),
        # What no server sends.
        (container("image", key="k:{not json"), (*CONTAINERS, "image"), True),
        (container("image", key="k:1"), IMAGE, False),
        (None, IMAGE, False),
        ({}, IMAGE, False),
    ],
)
def test_a_field_belongs_to_whoever_has_it_or_a_part_of_it(fields: Any, path: Path, owns: bool) -> None:  # noqa: FBT001 - a column
    assert names(live(kubectl_edit=fields), path) == (["kubectl-edit"] if owns else [])


def test_helm_and_kubernetes_are_no_editors() -> None:
    entries = live(helm=container("image"), kube_controller_manager=container("image"), b=container("image"), a=container("image"))
    status = {"manager": "c", "subresource": "status", "fieldsV1": container("image")}
    entries["metadata"]["managedFields"].append(status)
    assert names(entries, IMAGE) == ["a", "b"]


def test_who_scaled_through_the_subresource_is_an_editor_of_the_replicas() -> None:
    scaled = {"manager": "kubectl", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    assert names({"metadata": {"managedFields": [scaled]}}, ("spec", "replicas")) == ["kubectl"]


def test_an_editor_says_how_and_when() -> None:
    entry = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-21T12:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    [editor] = editors(owned_fields({"metadata": {"managedFields": [entry]}}), [("spec", "replicas")])
    assert editor == Editor("kubectl-edit", "Update", "2026-11-21T12:00:00Z")
    assert str(editor) == "kubectl-edit (Update, 2026-11-21T12:00:00Z)"


def test_who_scaled_what_nobody_owned_is_not_recorded_but_when_is() -> None:
    status = {"manager": "kube-controller-manager", "subresource": "status", "time": "2026-11-21T12:00:00Z", "fieldsV1": {}}
    live: dict[str, Any] = {"metadata": {"managedFields": [status]}}
    assert by(scaled_by(live)) == " by somebody that Kubernetes did not record (about 2026-11-21T12:00:00Z)"
    live["metadata"]["managedFields"].append({"manager": "kubectl-patch", "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    assert by(scaled_by(live)) == " by kubectl-patch (about 2026-11-21T12:00:00Z)"
    assert by(scaled_by({"metadata": {}})) == ""


def test_kubectl_scale_has_the_time_of_the_status() -> None:
    status = {"manager": "kube-controller-manager", "subresource": "status", "time": "2026-11-21T12:00:00Z", "fieldsV1": {}}
    scale = {"manager": "kubectl", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    assert by(scaled_by({"metadata": {"managedFields": [status, scale]}})) == " by kubectl (Update, about 2026-11-21T12:00:00Z)"


def test_an_object_may_say_nothing_of_its_managers() -> None:
    assert names({"metadata": {}}, IMAGE) == []


@pytest.mark.parametrize(
    ("managers", "shown", "allowed"),
    [
        ({"kubectl-edit"}, ("kubectl-edit",), True),
        ({"kubectl"}, ("kubectl",), True),
        ({"kubectl-edit"}, (), False),
        ({"kubectl-edit", "kubectl-set"}, ("kubectl-edit",), False),
        ({"pilot-discovery"}, (), True),
        ({"admissionsenforcer", "kubectl-set"}, ("kubectl-set",), True),
        ({"argocd-controller"}, ("argocd-controller",), False),
        ({"kubectl-edit", "argocd-controller"}, ("argocd-controller", "kubectl-edit"), False),
        ({"kubectlish"}, ("kubectlish",), False),
        # Helm said so much that not all of it was read.
        (set(), ("kubectl-edit",), False),
    ],
)
def test_fields_are_taken_from_people_that_the_plan_named_and_from_the_harmless(
    managers: set[str],
    shown: tuple[str, ...],
    allowed: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert may_be_taken_over(frozenset(managers), shown) is allowed
