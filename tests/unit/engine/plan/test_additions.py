"""What somebody added to objects of a release: a person's goes, a manager's that nobody knows is told, a controller's is its own."""

from copy import deepcopy
from typing import Any

import pytest

from meshinstall.engine.objects.field_managers import owned_fields
from meshinstall.engine.objects.field_paths import Item, Path, dotted, with_field
from meshinstall.engine.plan.additions import additions
from meshinstall.engine.plan.drift import Edit, drift
from meshinstall.engine.plan.drift_findings import drift_findings
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.finding import Severity
from meshinstall.model.plan import Undo
from tests.unit.engine.installed import ISTIOD

CONTAINERS: Path = ("spec", "template", "spec", "containers")
DISCOVERY: Path = (*CONTAINERS, Item("name", "discovery"))
WEBHOOK = 'k:{"name":"rev.istio.io"}'
WHEN = "2026-11-21T12:00:00Z"

WANTED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "istiod", "namespace": "istio-system", "annotations": {}},
    "spec": {
        "template": {"metadata": {}, "spec": {"containers": [{"name": "discovery", "image": "i", "env": [{"name": "A", "value": "a"}]}]}}
    },
}
HOOKS: dict[str, Any] = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "MutatingWebhookConfiguration",
    "metadata": {"name": "istio-sidecar-injector"},
    "webhooks": [
        {
            "name": "rev.istio.io",
            "clientConfig": {"service": {"name": "istiod"}},
            "namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
            "rules": [{"operations": ["CREATE"], "resources": ["pods"]}],
        }
    ],
}
BINDING: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "istiod"},
    "subjects": [{"kind": "ServiceAccount", "name": "istiod"}],
}


def owning(path: Path, *, inner: bool = True) -> dict[str, Any]:
    """fieldsV1 of whoever owns a path, an item of a list with what is in it."""
    part, *rest = path
    name = f'k:{{"{part.key}":"{part.value}"}}' if isinstance(part, Item) else f"f:{part}"
    below = owning(tuple(rest), inner=inner) if rest else {".": {}, "f:name": {}} if isinstance(part, Item) and inner else {}
    return {name: below}


def edited(wanted: dict[str, Any], path: Path, value: Any, manager: str = "kubectl-edit", owned: Path | None = None) -> dict[str, Any]:
    """An object where a manager set a field, or more than one has it when it is given twice."""
    live: dict[str, Any] = with_field(deepcopy(wanted), path, value)
    entry = {"manager": manager, "operation": "Update", "time": WHEN, "fieldsV1": owning(owned or path)}
    entries = [*(live["metadata"].get("managedFields") or ()), entry]
    return {**live, "metadata": {**live["metadata"], "managedFields": entries}}


def edit(wanted: dict[str, Any], live: dict[str, Any], admitted: frozenset[Path] = frozenset()) -> Edit | None:
    key = key_of(wanted)
    found = drift(Facts("1.35.0", owned={ISTIOD: (wanted,)}, live={key: live}, admitted={key: admitted}), ISTIOD)
    return found[0] if found else None


ADDED_TO_SPEC = [
    pytest.param(WANTED, (*DISCOVERY, "env", Item("name", "B")), {"name": "B", "value": "b"}, id="a variable"),
    pytest.param(WANTED, (*CONTAINERS, Item("name", "extra")), {"name": "extra", "image": "x"}, id="a container"),
    pytest.param(WANTED, ("spec", "paused"), True, id="a field"),
    pytest.param(WANTED, ("spec", "template", "metadata", "annotations", "sidecar.istio.io/inject"), "false", id="an annotation of pods"),
    pytest.param(HOOKS, ("webhooks", Item("name", "rev.istio.io"), "objectSelector"), {"matchLabels": {"a": "b"}}, id="a selector"),
    pytest.param(HOOKS, ("webhooks", Item("name", "more")), {"name": "more"}, id="a webhook"),
]
ADDED = [
    *ADDED_TO_SPEC,
    pytest.param(WANTED, ("metadata", "annotations", "service.beta.kubernetes.io/azure-load-balancer-internal"), "true", id="a cloud's"),
    pytest.param(WANTED, ("metadata", "labels", "istio.io/rev"), "x", id="a label of Istio"),
]


@pytest.mark.parametrize(("wanted", "path", "value"), ADDED)
def test_what_a_person_added_is_told_and_goes_whole(wanted: dict[str, Any], path: Path, value: Any) -> None:
    found = edit(wanted, edited(wanted, path, value))
    assert found
    assert not found.needs_helm
    assert found.undo(edits=True) == (Undo(key_of(wanted), path, value, None),)
    [sentence] = found.sentences()
    assert sentence.startswith(f"{key_of(wanted)} was edited by kubectl-edit (Update, {WHEN}): {dotted(path)}: ")
    assert sentence.endswith(" → (removed)")


@pytest.mark.parametrize(("wanted", "path", "value"), ADDED)
@pytest.mark.parametrize(
    "manager", ["helm", "meshinstall", "pilot-discovery", "kube-controller-manager", "admissionsenforcer", "helm-controller"]
)
def test_what_a_controller_adds_is_its_own(wanted: dict[str, Any], path: Path, value: Any, manager: str) -> None:
    assert edit(wanted, edited(wanted, path, value, manager)) is None


@pytest.mark.parametrize(("wanted", "path", "value"), ADDED_TO_SPEC)
def test_what_a_manager_added_that_nobody_knows_is_told_and_stays(wanted: dict[str, Any], path: Path, value: Any) -> None:
    found = edit(wanted, edited(wanted, path, value, "kyverno"))
    assert found
    assert found.sentences() == ()
    assert found.undo(edits=True) == ()
    [finding] = drift_findings([found])
    assert (finding.code, finding.severity) == ("PRE021", Severity.WARNING)
    assert finding.title == f"{key_of(wanted)} has fields that kyverno added"
    assert finding.detail == f"{dotted(path)} (by kyverno (Update, {WHEN}))"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt"), WHEN),
        (("spec", "replicas"), 3),
        (("metadata", "labels", "team"), "a"),
        (("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"), "{}"),
        (("metadata", "finalizers"), ["x"]),
        (("status", "replicas"), 1),
        (("spec", "template", "spec", "nodeSelector"), {}),
    ],
)
def test_what_decides_nothing_is_no_drift(path: Path, value: Any) -> None:
    assert edit(WANTED, edited(WANTED, path, value)) is None


def test_labels_that_a_manager_sets_which_nobody_knows_are_its_own() -> None:
    live = edited(WANTED, ("metadata", "annotations", "service.beta.kubernetes.io/azure-load-balancer-internal"), "true", "glbc")
    assert edit(WANTED, live) is None


def test_a_restart_stays_beside_an_annotation_that_goes() -> None:
    notes: Path = ("spec", "template", "metadata", "annotations")
    live = edited(edited(WANTED, (*notes, "kubectl.kubernetes.io/restartedAt"), WHEN), (*notes, "x"), "y")
    found = edit(WANTED, live)
    assert found
    assert [one.path for one in found.undo(edits=True)] == [(*notes, "x")]


def test_what_is_owned_as_a_whole_goes_back_as_a_whole() -> None:
    """A selector is one field for the server, whoever changed a part of it."""
    path: Path = ("webhooks", Item("name", "rev.istio.io"), "namespaceSelector")
    selector = {"matchExpressions": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]}
    found = edit(HOOKS, edited(HOOKS, path, selector))
    assert found
    wanted = HOOKS["webhooks"][0]["namespaceSelector"]
    assert found.undo(edits=True) == (Undo(key_of(HOOKS), path, selector, wanted),)
    where = "webhooks[rev.istio.io].namespaceSelector.matchExpressions"
    assert found.sentences()[0].endswith(f': {where}: [{{"key": "b", "operator": "Exists"}}] → (removed)')


def test_a_part_of_what_goes_back_whole_is_not_told_twice() -> None:
    more = {"name": "more"}
    live = edited(edited(HOOKS, ("webhooks", Item("name", "more")), more), ("webhooks",), [*HOOKS["webhooks"], more], "kubectl-replace")
    found = edit(HOOKS, live)
    assert found
    assert [one.path for one in found.undo(edits=True)] == [("webhooks",)]


def test_a_subject_of_a_binding_is_seen_although_it_has_a_name() -> None:
    subjects = [*BINDING["subjects"], {"kind": "ServiceAccount", "name": "evil"}]
    found = edit(BINDING, edited(BINDING, ("subjects",), subjects))
    assert found
    assert found.undo(edits=True) == (Undo(key_of(BINDING), ("subjects",), subjects, BINDING["subjects"]),)


def test_a_list_that_helm_puts_back_whole_is_helms() -> None:
    path: Path = (*DISCOVERY, "args")
    wanted = with_field(WANTED, path, ["discovery"])
    found = edit(wanted, edited(wanted, path, ["discovery", "--debug"]))
    assert found
    assert [field.path for field in found.fields] == [path]
    assert found.ours == ()


def test_an_item_that_was_edited_beside_what_was_added_is_helms() -> None:
    live = edited(edited(WANTED, (*DISCOVERY, "image"), "other"), ("spec", "paused"), True)
    found = edit(WANTED, live)
    assert found
    assert found.needs_helm
    assert [one.path for one in found.undo(edits=False)] == [("spec", "paused")]
    # What helm would meet a conflict over goes back before it runs.
    assert [one.path for one in found.undo(edits=True)] == [("spec", "paused"), (*DISCOVERY, "image")]


def test_what_a_manager_edited_that_nobody_knows_is_left_to_helm() -> None:
    found = edit(WANTED, edited(WANTED, (*DISCOVERY, "image"), "other", "argocd-controller"))
    assert found
    assert found.undo(edits=True) == ()


def test_values_of_what_a_person_added_are_not_shown() -> None:
    live = edited(WANTED, (*DISCOVERY, "env", Item("name", "TOKEN")), {"name": "TOKEN", "value": "hunter2"})
    live = edited(live, (*CONTAINERS, Item("name", "extra")), {"name": "extra", "env": [{"name": "TOKEN", "value": "hunter2"}]})
    found = edit(WANTED, live)
    assert found
    assert "hunter2" not in "".join(found.sentences())


def test_what_the_server_would_set_again_is_no_addition() -> None:
    path: Path = ("spec", "paused")
    assert edit(WANTED, edited(WANTED, path, True), frozenset({path})) == Edit(key_of(WANTED))
    strange = edit(WANTED, edited(WANTED, path, True, "kyverno"), frozenset({path}))
    assert strange == Edit(key_of(WANTED))


def test_what_is_changed_at_admission_is_told_and_is_no_drift() -> None:
    path = (*DISCOVERY, "image")
    found = edit(WANTED, edited(WANTED, path, "mirror/i", "helm"), frozenset({path}))
    assert found
    assert not found.needs_helm
    assert found.sentences() == ()
    [finding] = drift_findings([found])
    assert (finding.code, finding.severity) == ("PRE022", Severity.INFO)
    assert finding.title == "Deployment istio-system/istiod is changed at admission"
    assert finding.detail == 'spec.template.spec.containers[discovery].image: "i" → "mirror/i"'


def test_an_object_without_managers_has_no_additions() -> None:
    assert additions(WANTED, with_field(WANTED, ("spec", "paused"), True), owned_fields({"metadata": {}})) == {}
