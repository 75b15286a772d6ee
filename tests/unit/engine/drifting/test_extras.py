"""Objects that no file has: which of them weaken a mesh, and which are other teams' own business."""

from typing import Any

import pytest

from meshinstall.engine.drifting.extras import weakening
from meshinstall.engine.drifting.terms import Other
from meshinstall.model.facts import key_of
from tests.cases.drifting import live, policy
from tests.unit.engine.drifting.test_judging import ALLOW, STRICT, git

ALIEN: dict[str, Any] = {"metadata": {"name": "x", "namespace": "shop"}}
NETWORKING, EXTENSIONS, ADMISSION = "networking.istio.io/v1", "extensions.istio.io/v1alpha1", "admissionregistration.k8s.io/v1"


def told(manifest: dict[str, Any]) -> list[str]:
    """What is said of an object beside a strict mesh with one ALLOW."""
    there = live(manifest)
    found = weakening([Other(key_of(there), there)], git(STRICT, ALLOW).desired)
    return [f"{one.concern}: {one.text}" for some in found.values() for one in some]


def rule(host: str, **policy_: Any) -> dict[str, Any]:
    return {**ALIEN, "apiVersion": NETWORKING, "kind": "DestinationRule", "spec": {"host": host, **policy_}}


@pytest.mark.parametrize(
    ("host", "policy_", "weak"),
    [
        ("web", {"trafficPolicy": {"tls": {"mode": "DISABLE"}}}, "DISABLE"),
        ("web.shop.svc.cluster.local", {"trafficPolicy": {"tls": {"mode": "SIMPLE"}}}, "SIMPLE"),
        ("*.local", {"trafficPolicy": {"portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "DISABLE"}}]}}, "DISABLE"),
        ("web", {"subsets": [{"name": "v1", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}]}, "DISABLE"),
        # Without a word it is the first one (istio/api: ClientTLSSettings).
        ("web", {"trafficPolicy": {"tls": {}}}, "DISABLE"),
        ("web", {"trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}, ""),
        ("web", {"trafficPolicy": {"connectionPool": {}}}, ""),
        ("www.example.com", {"trafficPolicy": {"tls": {"mode": "SIMPLE"}}}, ""),
    ],
)
def test_rules_of_clients_that_leave_the_tls_of_the_mesh(host: str, policy_: dict[str, Any], weak: str) -> None:
    found = told(rule(host, **policy_))
    assert [one.partition(" instead of mutual TLS")[0] for one in found] == ([f"weaker: clients send {weak}"] if weak else [])


@pytest.mark.parametrize(
    ("manifest", "concern"),
    [
        (policy({"mtls": {"mode": "PERMISSIVE"}}, "PeerAuthentication"), "weaker"),
        (policy({"mtls": {"mode": "STRICT"}}, "PeerAuthentication"), ""),
        # Beside the mesh's own, in the root namespace.
        (policy({"mtls": {"mode": "DISABLE"}}, "PeerAuthentication", "a", "istio-system"), "weaker"),
        (policy({"rules": [{}]}, name="all"), "wider"),
        (policy({"action": "DENY", "rules": [{}]}, name="none"), ""),
        # Where Git allows nothing by itself, an ALLOW narrows.
        (policy({"rules": [{}]}, namespace="bank"), ""),
    ],
)
def test_policies_that_accept_plaintext_or_allow_more(manifest: dict[str, Any], concern: str) -> None:
    assert [one.partition(":")[0] for one in told(manifest)] == ([concern] if concern else [])


def test_what_changes_proxies_may_weaken() -> None:
    patch = {"applyTo": "FILTER_CHAIN", "patch": {"operation": "MERGE", "value": {"transport_socket": {"name": "raw"}}}}
    envoy = {**ALIEN, "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "spec": {"configPatches": [patch]}}
    assert told(envoy) == ["access: it changes the TLS of connections, and may take away mutual TLS"]
    lua = {"applyTo": "HTTP_FILTER", "patch": {"operation": "INSERT_BEFORE", "value": {"name": "lua"}}}
    assert told({**envoy, "spec": {"configPatches": [lua]}}) == []
    # A run's own probes have one in a namespace that goes with them.
    assert told({**envoy, "metadata": {"name": "client", "namespace": "meshinstall-probe-0a"}}) == []
    plugin = {**ALIEN, "apiVersion": EXTENSIONS, "kind": "WasmPlugin", "spec": {"phase": "AUTHN"}}
    assert told(plugin) == [
        "access: it runs code in proxies in the phase AUTHN, before policies count, and may let in what policies refuse"
    ]


def test_webhooks_that_name_policies_may_change_them() -> None:
    def hook(*groups: str) -> dict[str, Any]:
        rules = [{"apiGroups": list(groups), "resources": ["*"]}]
        return {
            "apiVersion": ADMISSION,
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "x"},
            "webhooks": [{"name": "w", "rules": rules}],
        }

    assert told(hook("security.istio.io")) == ["access: it may change policies while they are written: webhook w"]
    # Of policy engines, which every cluster has.
    assert told(hook("*")) == told(hook("apps")) == []
    assert told({**hook("security.istio.io"), "kind": "ValidatingWebhookConfiguration"}) == []


def test_an_object_that_nobody_can_read_may_say_anything() -> None:
    (one,) = told(policy({"mtls": {"mode": 7}}, "PeerAuthentication"))
    assert one.startswith("access: it cannot be read, and may weaken the mesh")
