"""What of an object a snapshot keeps, who keeps it, which Secrets it names, and where a secret is in it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.model.secrets import hides
from meshinstall.model.snapshot_objects import SecretUse, keeper, mesh_labels, secret_fields, secret_lines, secret_uses, wanted_state

NAMED = {"name": "web", "namespace": "shop"}
GATEWAY_API = "gateway.networking.k8s.io/v1"
NAMES = st.sampled_from(["name", "value", "token", "password", "spec", "tokens", "env", "apiKey", "path"])
VALUES = st.recursive(
    st.booleans() | st.integers() | st.sampled_from(["plain", "/var/run/token", "hunter2secret", "Bearer abcdefghijklmnopqrst", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


def made(kind: str, spec: Any, version: str = "networking.istio.io/v1", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {**NAMED, **metadata}, "spec": spec}


def test_only_what_somebody_wanted_is_kept() -> None:
    cluster: dict[str, Any] = {
        "uid": "u",
        "resourceVersion": "7",
        "generation": 2,
        "creationTimestamp": "x",
        "managedFields": [{}],
        "finalizers": ["f"],
    }
    live = made("Sidecar", {"egress": []}, labels={"a": "b"}, ownerReferences=[{"kind": "X"}], selfLink="/x", **cluster) | {"status": {}}
    del live["apiVersion"], live["kind"]
    assert wanted_state(live, "networking.istio.io/v1", "Sidecar") == made("Sidecar", {"egress": []}, labels={"a": "b"})


@given(VALUES)
def test_a_field_is_told_whenever_a_value_hides_something(value: Any) -> None:
    assert bool(secret_fields(value)) is hides(value)


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        ({"spec": {"a": [{"token": "hunter2secret"}, {"b": 1}]}}, ("spec.a.0.token",)),
        ({"env": [{"name": "DB_PASSWORD", "value": "hunter2secret"}]}, ("env.0",)),
        ({"a": {"password": "x1"}, "b": {"password": "x2"}}, ("a.password", "b.password")),
        ({"token": "/var/run/token"}, ()),
    ],
)
def test_the_innermost_field_is_told(value: Any, fields: tuple[str, ...]) -> None:
    assert secret_fields(value) == fields


def test_a_secret_in_a_comment_is_one_too() -> None:
    assert secret_lines("a: 1\n") == ()
    assert secret_lines("a: 1 # password: hunter2secret\n") == ("a line or comment",)
    assert secret_lines("istiod:\n  token: hunter2secret\n") == ("istiod.token",)


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ({}, ""),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux Kustomization /apps"),
        ({"annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"}}, "Helm release shop/web"),
        ({"ownerReferences": [{"kind": "A", "name": "a"}, {"kind": "Rollout", "name": "web", "controller": True}]}, "Rollout web"),
    ],
)
def test_who_makes_an_object_again(metadata: Any, word: str) -> None:
    assert keeper(made("VirtualService", {}, **metadata)) == word


def test_labels_of_istio_alone_are_of_the_mesh() -> None:
    theirs = {"istio-injection": "enabled", "istio.io/rev": "a", "topology.istio.io/network": "n"}
    assert mesh_labels({**theirs, "team": "a", "notistio.io/x": "y"}) == theirs


@pytest.mark.parametrize(
    ("manifest", "uses"),
    [
        (made("Gateway", {"servers": [{"tls": {"credentialNames": ["a", "b"]}}, {}]}), [("", "a"), ("", "b")]),
        (made("DestinationRule", {"trafficPolicy": {"portLevelSettings": [{"tls": {"credentialName": "c"}}]}}), [("", "c")]),
        (
            made("Gateway", {"listeners": [{"tls": {"certificateRefs": [{"name": "d"}, {"kind": "X", "name": "e"}]}}]}, GATEWAY_API),
            [("shop", "d")],
        ),
        (made("WasmPlugin", {"imagePullSecret": "f"}, "extensions.istio.io/v1alpha1"), [("shop", "f")]),
        (made("VirtualService", {"tls": {"credentialName": "g"}}), []),
        (made("Gateway", {"servers": "no", "listeners": 3}), []),
    ],
)
def test_secrets_that_an_object_names(manifest: Any, uses: list[tuple[str, str]]) -> None:
    by = f"{manifest['kind']} shop/web"
    assert list(secret_uses(manifest)) == [SecretUse(namespace, name, by) for namespace, name in uses]
