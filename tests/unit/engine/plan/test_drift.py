"""What of a live object counts as edited, and what is only the server's or a controller's way to write."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.engine.plan.compare import differences
from meshinstall.engine.plan.drift import drift
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.release import ReleaseKey

ISTIOD = ReleaseKey("istio-system", "istiod")

WANTED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "istiod",
        "namespace": "istio-system",
        "labels": {"app": "istiod", "release": "istiod"},
        "annotations": {"a": "1"},
    },
    "spec": {
        "replicas": 2,
        "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "25%"}},
        "template": {
            "spec": {
                "serviceAccountName": "istiod",
                "containers": [
                    {
                        "name": "discovery",
                        "image": "istio/pilot:1.31.0",
                        "args": ["discovery", "--domain", "cluster.local"],
                        "ports": [{"containerPort": 8080, "protocol": "TCP"}, {"containerPort": 15017, "protocol": "TCP"}],
                        "env": [{"name": "REVISION", "value": "default"}, {"name": "PILOT_TRACE", "value": "1"}],
                        "resources": {"requests": {"cpu": "500m", "memory": "2048Mi"}},
                        "securityContext": {"runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
            }
        },
    },
}


# Whole Deployments are drawn: on a busy machine that is slow, and says nothing of what is tested.
SLOW = settings(max_examples=40)


def compared(wanted: Any, live: Any) -> list[str]:
    return differences({"spec": wanted}, {"spec": live})


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        pytest.param({"env": {}}, {}, id="an empty map is not kept"),
        pytest.param({"args": []}, {"args": None}, id="nor is an empty list"),
        pytest.param({"text": ""}, {}, id="nor an empty text"),
        pytest.param({"zone": None}, {"zone": ""}, id="nor null"),
        pytest.param({"hostNetwork": False}, {}, id="nor false where that is the default"),
        pytest.param({"requests": {"cpu": "1000m"}}, {"requests": {"cpu": "1"}}, id="1000m is 1"),
        pytest.param({"requests": {"cpu": 2}}, {"requests": {"cpu": "2"}}, id="a number is its text"),
        pytest.param({"limits": {"memory": "2048Mi"}}, {"limits": {"memory": "2Gi"}}, id="2048Mi is 2Gi"),
        pytest.param({"limits": {"memory": "1G"}}, {"limits": {"memory": "1000M"}}, id="1G is 1000M"),
        pytest.param({"port": 80}, {"port": 80, "nodePort": 30080}, id="the server adds a field"),
        pytest.param([{"name": "a"}, {"name": "b"}], [{"name": "b"}, {"name": "x"}, {"name": "a"}], id="items are found by name"),
        pytest.param([{"port": 80}], [{"port": 80, "protocol": "TCP"}], id="ports by number"),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
            {"matchExpressions": [{"key": "x"}, {"key": "a", "operator": "Exists"}]},
            id="a platform adds to matchExpressions",
        ),
    ],
)
def test_the_servers_way_to_write_is_no_difference(wanted: Any, live: Any) -> None:
    assert compared(wanted, live) == []


@pytest.mark.parametrize(
    ("wanted", "live", "path"),
    [
        pytest.param({"replicas": 2}, {"replicas": 1}, "spec.replicas", id="another number"),
        pytest.param({"replicas": 0}, {"replicas": 1}, "spec.replicas", id="not zero any more"),
        pytest.param({"runAsNonRoot": True}, {"runAsNonRoot": False}, "spec.runAsNonRoot", id="a flag turned off"),
        pytest.param({"runAsNonRoot": True}, {}, "spec.runAsNonRoot", id="a flag removed"),
        pytest.param({"hostNetwork": False}, {"hostNetwork": True}, "spec.hostNetwork", id="a flag turned on"),
        pytest.param({"requests": {"cpu": "1"}}, {"requests": {"cpu": "1m"}}, "spec.requests.cpu", id="another quantity"),
        pytest.param({"limits": {"memory": "1G"}}, {"limits": {"memory": "1Gi"}}, "spec.limits.memory", id="1G is not 1Gi"),
        pytest.param({"a": {"b": 1}}, {}, "spec.a", id="a map is gone"),
        pytest.param({"a": {"b": 1}}, {"a": "text"}, "spec.a", id="a map became text"),
        pytest.param({"args": ["a", "b"]}, {"args": ["b", "a"]}, "spec.args[0]", id="the order of plain lists counts"),
        pytest.param({"args": ["a"]}, {"args": ["a", "b"]}, "spec.args", id="one more argument"),
        pytest.param([{"name": "a", "image": "x"}], [{"name": "a", "image": "y"}], "spec[a].image", id="an item of a name"),
        pytest.param([{"name": "a"}], [{"name": "b"}], "spec[a]", id="an item is gone"),
        pytest.param(
            {"matchExpressions": [{"key": "a"}]}, {"matchExpressions": [{"key": "b"}]}, "spec.matchExpressions[a]", id="a selector is gone"
        ),
    ],
)
def test_an_edit_is_named_by_its_path(wanted: Any, live: Any, path: str) -> None:
    assert compared(wanted, live)[0] == path


def served(value: Any, draw: st.DrawFn) -> Any:
    """A value as a server may return it: with more keys in every map and more items in lists that go by name."""
    if isinstance(value, dict):
        grown = {key: served(inner, draw) for key, inner in value.items()}
        return {**draw(st.dictionaries(st.sampled_from(["defaulted", "managed"]), st.integers(), max_size=2)), **grown}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        items = draw(st.permutations([served(inner, draw) for inner in value]))
        extra = [{"name": "injected", "value": "x"}] if "value" in value[0] and draw(st.booleans()) else []
        return [*items, *extra]
    return deepcopy(value)


@st.composite
def servings(draw: st.DrawFn) -> Any:
    return served(WANTED, draw)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all leaves."""
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))
    else:
        yield path


# Its own name and namespace say which object is meant.
LEAVES = [path for path in places(WANTED) if path[0] == "spec" or path[:2] in {("metadata", "labels"), ("metadata", "annotations")}]


@SLOW
@given(servings())
def test_an_object_with_defaults_added_is_not_edited(live: dict[str, Any]) -> None:
    assert differences(WANTED, live) == []


@SLOW
@given(servings(), st.sampled_from(LEAVES), st.sampled_from(["remove", "replace"]))
def test_a_change_of_any_leaf_is_found(live: dict[str, Any], leaf: tuple[Any, ...], how: str) -> None:
    *parents, last = leaf
    inner: Any = live
    wanted: Any = WANTED
    for key in parents:
        at = next(index for index, item in enumerate(inner) if agree(item, wanted[key])) if isinstance(key, int) else key
        inner, wanted = inner[at], wanted[key]
    if how == "replace":
        inner[last] = "edited"
    else:
        del inner[last]
    assert differences(WANTED, live) != []


def agree(item: Any, wanted: Any) -> bool:
    """Whether a served item is the wanted one."""
    return all(item.get(key) == wanted[key] for key in ("name", "containerPort") if key in wanted)


def facts(*wanted: dict[str, Any], live: tuple[dict[str, Any], ...] = ()) -> Facts:
    return Facts("1.35.0", owned={ISTIOD: wanted}, live={key_of(item): item for item in live})


def sentences(seen: Facts) -> tuple[str, ...]:
    return tuple(sentence for edit in drift(seen, ISTIOD) for sentence in edit.sentences())


def test_objects_that_are_gone_or_edited_are_told_in_sentences() -> None:
    edited = deepcopy(WANTED)
    edited["spec"] |= {"replicas": 1, "strategy": None}
    edited["metadata"]["labels"] = {}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "istiod"}}
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    when = "2026-11-21T12:00:00Z"
    edited["metadata"]["managedFields"] = [{"manager": "kubectl-scale", "operation": "Update", "time": when, "fieldsV1": fields}]
    strategy = json.dumps(WANTED["spec"]["strategy"])
    labels = 'metadata.labels.app: (absent) → "istiod"; metadata.labels.release: (absent) → "istiod"'
    assert sentences(facts(WANTED, account, live=(edited,))) == (
        f"Deployment istio-system/istiod was edited: {labels}; spec.strategy: null → {strategy}",
        f"Deployment istio-system/istiod was edited by kubectl-scale (Update, {when}): spec.replicas: 1 → 2",
        "ServiceAccount istio-system/istiod was deleted",
    )


def test_a_value_that_a_person_gave_a_variable_is_not_shown() -> None:
    edited = deepcopy(WANTED)
    edited["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] = "hunter2"
    path = "spec.template.spec.containers[discovery].env[PILOT_TRACE].value"
    assert sentences(facts(WANTED, live=(edited,))) == (f'Deployment istio-system/istiod was edited: {path}: … → "1"',)


def test_kubectl_scale_is_named_as_helm_names_it_in_a_conflict() -> None:
    scaled = deepcopy(WANTED)
    scaled["spec"]["replicas"] = 1
    entry = {"manager": "kubectl", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    scaled["metadata"]["managedFields"] = [entry]
    assert sentences(facts(WANTED, live=(scaled,))) == (
        "Deployment istio-system/istiod was edited by kubectl (Update): spec.replicas: 1 → 2",
    )


def test_cluster_wide_objects_are_found_without_a_namespace() -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "istiod"}, "rules": []}
    assert drift(facts(role, live=(role,)), ISTIOD) == ()


def test_a_kind_that_is_not_known_is_left_alone() -> None:
    assert drift(facts({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}), ISTIOD) == ()


def test_replicas_belong_to_the_autoscaler_where_there_is_one() -> None:
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "istiod", "namespace": "istio-system"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "istiod"}},
    }
    scaled = deepcopy(WANTED)
    scaled["spec"]["replicas"] = 5
    assert drift(facts(WANTED, scaler, live=(scaled, scaler)), ISTIOD) == ()
    assert sentences(facts(WANTED, live=(scaled,))) == ("Deployment istio-system/istiod was edited: spec.replicas: 5 → 2",)


def test_of_many_edits_ten_are_spelled_out() -> None:
    data = {f"key{number}": "a" for number in range(12)}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}, "data": data}
    (sentence,) = sentences(facts(config, live=({**config, "data": {}},)))
    assert sentence.count("data.") == 10
    assert sentence.endswith(" and 2 more")


def webhook(kind: str, **fields: Any) -> dict[str, Any]:
    hook = {"name": "rev.istio.io", "clientConfig": {"service": {"name": "istiod"}, "caBundle": ""}, "failurePolicy": "Ignore"}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "istio"}, "webhooks": [{**hook, **fields}]}


@pytest.mark.parametrize("kind", ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])
def test_istiod_writes_its_own_ca_into_webhooks(kind: str) -> None:
    live = webhook(kind, clientConfig={"service": {"name": "istiod"}, "caBundle": "LS0t"})
    assert drift(facts(webhook(kind, clientConfig={"service": {"name": "istiod"}, "caBundle": "x"}), live=(live,)), ISTIOD) == ()


def test_istiod_sets_the_failure_policy_of_validation_alone() -> None:
    def edited(kind: str) -> tuple[str, ...]:
        return sentences(facts(webhook(kind), live=(webhook(kind, failurePolicy="Fail"),)))

    assert edited("ValidatingWebhookConfiguration") == ()
    assert edited("MutatingWebhookConfiguration") == (
        'MutatingWebhookConfiguration istio was edited: webhooks[rev.istio.io].failurePolicy: "Fail" → "Ignore"',
    )


def test_validation_that_fails_open_is_an_edit_where_the_values_close_it() -> None:
    wanted, live = (webhook("ValidatingWebhookConfiguration", failurePolicy=policy) for policy in ("Fail", "Ignore"))
    assert sentences(facts(wanted, live=(live,))) == (
        'ValidatingWebhookConfiguration istio was edited: webhooks[rev.istio.io].failurePolicy: "Ignore" → "Fail"',
    )
