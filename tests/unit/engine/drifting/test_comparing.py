"""Git, the record of what was installed, and the live object side by side: what differs, and who moved."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.drifting.comparing import compare
from meshinstall.engine.drifting.remedies import Way, of_differing
from meshinstall.engine.drifting.states import fields_of, state_of
from meshinstall.engine.drifting.terms import Differing, Wanted
from meshinstall.engine.objects.field_paths import dotted
from meshinstall.model.drift import State
from tests.cases.drifting import OURS, entry, live, of_chart, of_file, policy

RULE = {
    "from": [{"source": {"principals": ["cluster.local/ns/shop/sa/a", "cluster.local/ns/shop/sa/b"]}}],
    "to": [{"operation": {"methods": ["GET"]}}],
}
SPEC = {"selector": {"matchLabels": {"app": "web"}}, "action": "ALLOW", "rules": [RULE]}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod"}},
    "spec": {
        "replicas": 2,
        "template": {"spec": {"containers": [{"name": "discovery", "image": "pilot:1", "env": [{"name": "A", "value": "1"}]}]}},
    },
}
NOBODY = Way((), (), ())


def paths(wanted: Wanted, there: dict[str, Any], recorded: dict[str, Any] | None = None) -> list[str]:
    return [dotted(field.path) for field in compare(wanted, there, recorded)]


def differing(wanted: Wanted, there: dict[str, Any], recorded: dict[str, Any] | None = None) -> Differing:
    return Differing(wanted, there, compare(wanted, there, recorded), recorded)


def test_a_policy_is_compared_both_ways_and_sets_as_sets() -> None:
    wanted = of_file(policy(SPEC))
    assert paths(wanted, live(policy(SPEC))) == []
    turned = deepcopy(SPEC)
    turned["rules"][0]["from"][0]["source"]["principals"].reverse()  # type: ignore[index]
    assert paths(wanted, live(policy(turned))) == []
    assert paths(wanted, live(policy({**SPEC, "action": "DENY"}))) == ["spec.action"]
    assert paths(wanted, live(policy({**SPEC, "targetRefs": [{"name": "x"}]}))) == ["spec.targetRefs"]
    # A rule that somebody added is told alone, by its place in what is there.
    assert paths(wanted, live(policy({**SPEC, "rules": [{}, RULE]}))) == ["spec.rules[0]"]


def test_our_labels_count_where_we_made_it_and_not_where_somebody_else_did() -> None:
    mesh_wide = policy({"mtls": {"mode": "STRICT"}}, "PeerAuthentication", "default", "istio-system")
    mesh_wide["metadata"]["labels"] = {name: value for name, value in OURS.items() if "policy" not in name}
    theirs = deepcopy(mesh_wide)
    theirs["metadata"].pop("labels")
    assert paths(of_file(mesh_wide), live(theirs)) == []
    theirs["metadata"]["labels"] = {**OURS, "meshinstall.dev/environment": "prod"}
    assert paths(of_file(mesh_wide), live(theirs)) == ["metadata.labels.meshinstall.dev/environment"]


def test_what_the_server_sets_and_what_kubectl_apply_owns_of_it_is_no_drift() -> None:
    there = live(DEPLOYMENT, entry("kubectl-client-side-apply", {"f:spec": {"f:progressDeadlineSeconds": {}, "f:replicas": {}}}))
    there["spec"]["progressDeadlineSeconds"] = 600
    there["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(DEPLOYMENT)}
    assert paths(of_chart(DEPLOYMENT), there) == []


@pytest.mark.parametrize("manager", ["argocd-controller", "kubectl"])
def test_defaults_in_a_list_that_is_owned_as_a_whole_are_no_drift(manager: str) -> None:
    hook: dict[str, Any] = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "istio-sidecar-injector"},
        "webhooks": [{"name": "a", "rules": [{"operations": ["CREATE"], "resources": ["pods"]}]}],
    }
    there = live(hook, entry(manager, {"f:webhooks": {'k:{"name":"a"}': {"f:rules": {}}}}, "Apply"))
    there["webhooks"][0]["rules"][0]["scope"] = "*"
    assert paths(of_chart(hook), there) == []
    there["webhooks"][0]["rules"][0]["scope"] = "Cluster"
    assert paths(of_chart(hook), there) == ["webhooks[a].rules"]


def test_a_note_of_kubectl_apply_that_nobody_writes_any_more_is_no_drift() -> None:
    old = deepcopy(DEPLOYMENT)
    old["spec"]["template"]["spec"]["containers"][0]["image"] = "pilot:0"
    note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(old)}
    assert paths(of_chart(DEPLOYMENT), live(DEPLOYMENT, entry("argocd-controller", {"f:spec": {}}, "Apply"), **note)) == []
    # What it says, and Git no longer does, and is there, is what was never taken out.
    old["spec"]["paused"] = True
    there = live(DEPLOYMENT, **{"kubectl.kubernetes.io/last-applied-configuration": json.dumps(old)})
    there["spec"]["paused"] = True
    assert paths(of_chart(DEPLOYMENT), there) == ["spec.paused"]


def test_what_a_person_added_to_an_object_of_a_chart_is_an_edit() -> None:
    there = live(DEPLOYMENT, entry("kubectl-patch", {"f:spec": {"f:paused": {}}}))
    there["spec"]["paused"] = True
    one = differing(of_chart(DEPLOYMENT), there, DEPLOYMENT)
    (field,) = fields_of(one)
    assert (field.path, field.git, field.engine, field.live) == ("spec.paused", None, None, True)
    assert (field.writers[0].manager, field.writers[0].time) == ("kubectl-patch", "2026-11-30T12:00:00Z")
    assert state_of(one, kubectl=False) is State.EDITED


def test_what_git_took_out_and_an_engine_applied_is_not_applied() -> None:
    there = live(DEPLOYMENT, entry("argocd-controller", {"f:spec": {"f:minReadySeconds": {}}}, "Apply"))
    there["spec"]["minReadySeconds"] = 5
    one = differing(of_chart(DEPLOYMENT), there)
    assert [dotted(field.path) for field in one.fields] == ["spec.minReadySeconds"]
    assert state_of(one, kubectl=False) is State.NOT_APPLIED


@pytest.mark.parametrize(
    ("git", "engine", "there", "state"),
    [
        ("pilot:1", "pilot:1", "pilot:2", State.EDITED),
        ("pilot:2", "pilot:1", "pilot:1", State.NOT_APPLIED),
        ("pilot:3", "pilot:1", "pilot:2", State.EDITED),
        # By hand what Git says, and the engine has not run.
        ("pilot:2", "pilot:1", "pilot:2", State.NOT_APPLIED),
    ],
)
def test_the_record_says_who_moved(git: str, engine: str, there: str, state: State) -> None:
    def having(image: str) -> dict[str, Any]:
        made = deepcopy(DEPLOYMENT)
        made["spec"]["template"]["spec"]["containers"][0]["image"] = image
        return made

    one = differing(of_chart(having(git)), live(having(there)), having(engine))
    (field,) = fields_of(one)
    assert (field.git, field.engine, field.live) == (git, engine, there)
    assert state_of(one, kubectl=False) is state


@pytest.mark.parametrize(
    ("entries", "kubectl", "state"),
    [
        ([entry("kubectl-edit", {"f:spec": {"f:action": {}}})], False, State.EDITED),
        ([entry("kustomize-controller", {"f:spec": {"f:action": {}}}, "Apply")], False, State.NOT_APPLIED),
        ([entry("meshinstall", {"f:spec": {"f:action": {}}}, "Apply")], False, State.NOT_APPLIED),
        ([entry("kubectl", {"f:spec": {"f:action": {}}}, "Apply")], True, State.NOT_APPLIED),
        ([entry("kubectl", {"f:spec": {"f:action": {}}}, "Apply")], False, State.EDITED),
        ([entry("my-script", {"f:spec": {"f:action": {}}}, "Apply")], False, State.EDITED),
        ([], False, State.DIFFERS),
    ],
)
def test_without_a_record_the_managers_say_it(entries: list[dict[str, Any]], kubectl: bool, state: State) -> None:  # noqa: FBT001 - a case's own
    one = differing(of_file(policy(SPEC)), live(policy({**SPEC, "action": "DENY"}), *entries))
    assert state_of(one, kubectl=kubectl) is state


def test_what_istiod_and_an_autoscaler_write_is_theirs() -> None:
    hook = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "istio-validator"},
        "webhooks": [{"name": "a", "failurePolicy": "Ignore", "clientConfig": {"service": {"name": "istiod"}}}],
    }
    there = live(hook, entry("pilot-discovery", {"f:webhooks": {'k:{"name":"a"}': {"f:failurePolicy": {}}}}))
    there["webhooks"][0] |= {"failurePolicy": "Fail", "clientConfig": {"service": {"name": "istiod"}, "caBundle": "eA=="}}
    assert paths(of_chart(hook), there, hook) == []
    scaler = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "istiod"}, "spec": {"scaleTargetRef": {"name": "istiod"}}}
    more = live(DEPLOYMENT)
    more["spec"]["replicas"] = 5
    assert paths(of_chart(DEPLOYMENT, scaler), more, DEPLOYMENT) == []
    assert paths(of_chart(DEPLOYMENT), more, DEPLOYMENT) == ["spec.replicas"]


_NAMES = st.sampled_from(["app", "mode", "rules", "from", "principals", "when", "key", "values"])
_SCALARS = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["STRICT", "a", "*"]))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, min_size=1, max_size=3), st.dictionaries(_NAMES, inner, min_size=1, max_size=3)),
    max_leaves=8,
)
_SPECS = st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=4)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, below in inner for found in _places(below, (*path, key)))]


@given(_SPECS)
def test_no_edit_of_any_policy_is_no_drift(spec: dict[str, Any]) -> None:
    assert compare(of_file(policy(spec)), live(policy(spec)), None) == ()


@given(_SPECS, st.data())
def test_any_edit_of_any_policy_is_found_and_its_patch_takes_it_back(spec: dict[str, Any], data: st.DataObject) -> None:
    """A value that becomes another one, a field that comes, an item that comes, a field or an item that goes."""
    edited = deepcopy(spec)
    at = data.draw(st.sampled_from(_places(spec)))
    holder: Any = edited
    for part in at:
        holder = holder[part]
    new = data.draw(st.sampled_from(["never there", 99]))
    if isinstance(holder, dict):
        holder["added"] = new
    elif isinstance(holder, list):
        holder.append(new)
    else:
        outer: Any = edited
        for part in at[:-1]:
            outer = outer[part]
        if data.draw(st.booleans()):
            outer[at[-1]] = new
        else:
            del outer[at[-1]]
    there = live(policy(edited), entry("kubectl-edit", {"f:spec": {}}))
    one = differing(of_file(policy(spec)), there)
    assert one.fields
    _take_back(one, there)


def _take_back(one: Differing, there: dict[str, Any]) -> None:
    """The printed patch, applied by another implementation of RFC 6902, leaves nothing that differs."""
    import shlex

    import jsonpatch

    (fix,) = of_differing(one, None, NOBODY, is_seen=False)
    assert fix.is_command
    words = shlex.split(fix.text)
    patched = jsonpatch.apply_patch(there, words[words.index("-p") + 1])
    assert compare(one.wanted, patched, None) == ()
