"""Documents of a snapshot that somebody else wrote: read, or refused in one sentence, whatever is in them."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.errors import SnapshotError
from meshinstall.model.facts import key_of
from meshinstall.model.paths import path_of
from meshinstall.model.restoring import SnapshotContent
from meshinstall.model.snapshot_content import read_content

VIRTUAL, POLICIES = "objects/virtualservices.networking.istio.io.jsonl", "objects/authorizationpolicies.security.istio.io.jsonl"
DIGEST = "ab" * 32


def manifest(**changed: Any) -> dict[str, Any]:
    made = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "web", "namespace": "shop"}}
    return {**made, "spec": {"hosts": ["a"]}, **changed}


def row(found: Any = None, keeper: Any = None) -> dict[str, Any]:
    return {"keeper": keeper, "object": manifest() if found is None else found}


def documents() -> dict[str, Any]:
    """A whole snapshot; a list of rows under objects/."""
    chart = {
        "name": "istiod",
        "version": "1.31.0",
        "source": "https://charts.example",
        "digest": f"sha256:{DIGEST}",
        "file": "charts/i.tgz",
    }
    release = {"namespace": "istio-system", "name": "istiod", "chart": chart, "values": {"a": {"b": 1}}}
    listener = {"address": "192.0.2.7", "port": 80, "protocol": "TCP"}
    served = {"listeners": [listener], "doors": [], "routes": [], "secrets": [], "roots": []}
    authority = {"secret": "istio-system/cacerts", "fingerprints": [DIGEST], "included": False}
    return {
        "mesh.json": {
            "environment": "dev",
            "cloud": "local",
            "cluster": "kind",
            "istioVersion": "1.31.0",
            "trustDomain": "cluster.local",
            "roots": [DIGEST],
            "authority": authority,
        },
        "times.json": {"takenAt": "2026-11-30", "by": "ann"},
        "desired.json": {
            "istioVersion": "1.31.0",
            "meshNamespace": "istio-system",
            "profile": "default",
            "releases": [{**release, "origins": [{"path": ["a", "b"], "layer": "flag"}]}],
        },
        "namespaces.json": {"namespaces": [{"name": "shop", "labels": {"istio-injection": "enabled"}}]},
        "gateways.json": {"gateways": [{"namespace": "istio-ingress", "name": "public", "addresses": ["192.0.2.1"]}]},
        "gateway-config.json": {"gateways": [{"gateway": "istio-ingress/public", "unread": None, "withheld": 0, "config": served}]},
        "secrets.json": {
            "secrets": [{"namespace": "shop", "name": "tls", "purpose": "a gateway", "namedBy": ["Gateway shop/web"], "found": True}]
        },
        "verdict.json": {"verdict": "PASS", "ports": [{"namespace": "shop", "workload": "Deployment web", "port": 80, "verdict": "PASS"}]},
        "left-out.json": {"leftOut": [{"name": "EnvoyFilter/shop/lua"}]},
        VIRTUAL: [row()],
    }


def as_bytes(found: dict[str, Any]) -> dict[str, bytes]:
    return {
        path: b"\n".join(json.dumps(one).encode() for one in value) if path.startswith("objects/") else json.dumps(value).encode()
        for path, value in found.items()
    }


def read(found: dict[str, Any]) -> SnapshotContent:
    return read_content(DIGEST, as_bytes(found))


def test_a_snapshot_is_read() -> None:
    content = read(documents())
    assert [str(one) for one in content.objects] == ["VirtualService shop/web"]
    assert [one.own for one in content.releases] == [{"a": {"b": 1}}]


def changing(path: str, *keys: Any, to: Any) -> dict[str, Any]:
    found = documents()
    holder = found[path]
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = to
    return found


SPACE = {"name": "shop", "labels": {"istio-injection": "enabled"}}
REFUSED = {
    "an object twice": changing(VIRTUAL, slice(0, 0), to=[row()]),
    "an object twice in two versions": changing(VIRTUAL, slice(0, 0), to=[row(manifest(apiVersion="networking.istio.io/v1beta1"))]),
    "a namespace twice": changing("namespaces.json", "namespaces", to=[SPACE, SPACE]),
    "a label that is not Istio's": changing(
        "namespaces.json", "namespaces", 0, "labels", to={"pod-security.kubernetes.io/enforce": "privileged"}
    ),
    "our own label": changing("namespaces.json", "namespaces", 0, "labels", to={"app.kubernetes.io/managed-by": "meshinstall"}),
    "a label's value that no label has": changing("namespaces.json", "namespaces", 0, "labels", to={"istio-injection": "a b\n"}),
    "a label's name that no label has": changing("namespaces.json", "namespaces", 0, "labels", to={"x\n.istio.io/rev": "a"}),
    "a name that is a number": changing(VIRTUAL, 0, "object", "metadata", "name", to=5),
    "a namespace that is a number": changing(VIRTUAL, 0, "object", "metadata", "namespace", to=7),
    "no namespace": changing(VIRTUAL, 0, "object", "metadata", to={"name": "web"}),
    "a path as a name": changing(VIRTUAL, 0, "object", "metadata", "name", to=".."),
    "finalizers": changing(VIRTUAL, 0, "object", "metadata", "finalizers", to=["a"]),
    "a spec that is a text": changing(VIRTUAL, 0, "object", "spec", to="x"),
    "a spec that is a list": changing(VIRTUAL, 0, "object", "spec", to=[]),
    "something beside the spec": changing(VIRTUAL, 0, "object", "data", to={"a": "b"}),
    "a kind of another file": changing(VIRTUAL, 0, "object", "kind", to="Gateway"),
    "a file of no kind": {**documents(), "objects/secrets.jsonl": [row()]},
    "a gateway twice": changing("gateway-config.json", "gateways", slice(0, 0), to=documents()["gateway-config.json"]["gateways"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_snapshot_holds_is_refused(what: str) -> None:
    with pytest.raises(SnapshotError):
        read(REFUSED[what])


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (VIRTUAL, json.dumps(row()).replace('"spec": {', '"spec": {"hosts": ["b"]}, "spec": {')),
        ("namespaces.json", '{"namespaces": [], "namespaces": []}'),
    ],
)
def test_a_key_twice_is_refused(path: str, text: str) -> None:
    """Whoever reviews the file sees the one, and the run would take the other."""
    with pytest.raises(SnapshotError):
        read_content(DIGEST, {**as_bytes(documents()), path: text.encode()})


@pytest.mark.parametrize("name", ["..", "a/b", "sds://x", "A", ""])
def test_secrets_of_names_that_no_secret_has_are_not_asked_for(name: str) -> None:
    assert read(changing("secrets.json", "secrets", 0, "name", to=name)).secrets == ()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in _places(one, (*path, key)))]


GONE = object()
PLACES = [one for one in _places(documents()) if one]


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(PLACES), _JSON | st.just(GONE))
def test_whatever_stands_anywhere_it_is_read_or_refused(place: tuple[Any, ...], value: Any) -> None:
    found = deepcopy(documents())
    holder: Any = found
    for key in place[:-1]:
        holder = holder[key]
    if value is GONE:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    if not isinstance(found.get(VIRTUAL, []), list):
        return
    _read_or_refused(lambda: read(found))


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(documents())), st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0d8ae1\n', max_size=40).map(str.encode))
def test_whatever_bytes_a_document_has_it_is_read_or_refused(path: str, data: bytes) -> None:
    _read_or_refused(lambda: read_content(DIGEST, {**as_bytes(documents()), path: data}))


def _read_or_refused(attempt: Callable[[], SnapshotContent]) -> None:
    try:
        content = attempt()
    except SnapshotError:
        return
    for one in content.objects:
        assert path_of(key_of(one.manifest)).count("/") == 7
        assert isinstance(one.manifest.get("spec") or {}, dict)
    assert "\x1b" not in repr(content).replace("\\x1b", "")
