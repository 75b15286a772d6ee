"""Whom a fix cuts off stands before the command, and the API server is never cut off by one."""

import json
import re
import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.checks.mtls.cut_off import CLOSING
from meshinstall.model.finding import Finding
from tests.cases import verdicts

CREATED = "2026-02-01T00:00:00Z"
OPEN = {"shop/web-1": {"inbound": "permissive"}, "shop/web-2": {"inbound": "permissive"}, "shop/api-0": {"inbound": "permissive"}}
NAMESPACE = {"shop/default": {"created": CREATED, "mode": "PERMISSIVE"}}
HOOK = {"kind": "ValidatingWebhookConfiguration", "name": "hooks", "service": ["shop", "web"], "port": 80}


def found(code: str, **facts: Any) -> Finding:
    (one,) = (one for one in verdicts.make({"facts": facts}).verdict().findings if one.code == code)
    return one


def commands(hint: str) -> list[str]:
    """The lines of a fix that a shell runs."""
    return [line for line in hint.splitlines() if line and not line.startswith("#")]


def patched(line: str) -> tuple[str, Any]:
    """What a patch changes, and how."""
    words = shlex.split(line, comments=True)
    return words[2], json.loads(words[-1])["spec"]


def test_clients_come_first_then_the_api_server_then_the_rest() -> None:
    rule = {"host": "web.shop.svc.cluster.local", "created": CREATED, "mode": "DISABLE", "has_policy": True}
    pods = {"shop/web-1": {"kubelet": [8080], "scraped": [8080]}}
    hint = found("MTL001", policies=NAMESPACE, proxies=OPEN, client_rules={"shop/web": rule}, pods=pods, api_clients=[HOOK]).hint
    order = [
        "MTL010 DestinationRule shop/web",
        "ValidatingWebhookConfiguration hooks",
        "kubelet",
        "Prometheus",
        "run in legacy",
        "kubectl apply",
        "kubectl patch",
    ]
    places = [hint.index(words) for words in order]
    assert places == sorted(places)


def test_a_port_that_nobody_else_calls_has_the_bare_fix() -> None:
    hint = found("MTL001", policies=NAMESPACE, proxies=OPEN, pods={"legacy/old-1": None}).hint
    assert hint == """kubectl patch peerauthentication default -n shop --type merge -p '{"spec":{"mtls":{"mode":"STRICT"}}}'"""


@pytest.mark.parametrize(
    ("code", "policies"), [("MTL001", {}), ("MTL001", NAMESPACE), ("MTL002", {"shop/default": {"created": CREATED, "mode": "DISABLE"}})]
)
def test_a_policy_is_closed_only_after_the_api_servers_port_has_an_exception(code: str, policies: dict[str, Any]) -> None:
    """Of the mesh or of the namespace: a policy for the pods of the Service."""
    mesh = {"istio-system/default": {"mode": "PERMISSIVE"}} if not policies else {}
    first, body, end, last = commands(found(code, policies=mesh | policies, proxies=OPEN, api_clients=[HOOK]).hint)
    made = json.loads(body)
    assert (first, end) == ("kubectl apply -f - <<'EOF'", "EOF")
    assert (made["kind"], made["metadata"]) == ("PeerAuthentication", {"name": "web-api-server", "namespace": "shop"})
    assert made["spec"] == {"selector": {"matchLabels": {"app": "web"}}, "portLevelMtls": {"8080": {"mode": "PERMISSIVE"}}}
    assert patched(last)[1] == {"mtls": {"mode": "STRICT"}}


def test_a_workloads_own_policy_gets_the_exception_as_a_second_one_would_not_count() -> None:
    policies = {"shop/web": {"created": CREATED, "mode": "PERMISSIVE", "selector": {"app": "web"}}}
    first, last = commands(found("MTL001", policies=policies, proxies=OPEN, api_clients=[HOOK]).hint)
    assert shlex.split(first)[3:6] == ["web", "-n", "shop"]
    assert patched(first)[1] == {"portLevelMtls": {"8080": {"mode": "PERMISSIVE"}}}
    assert patched(last)[1] == {"mtls": {"mode": "STRICT"}}


def test_two_ports_of_a_workload_are_kept_by_one_policy() -> None:
    services = {"shop/more": {"selector": {"app": "web"}, "ports": {82: 8081}}}
    pods = {name: {"ports": [{"number": 8080}, {"number": 8081}]} for name in ("shop/web-1", "shop/web-2")}
    clients = [HOOK, {**HOOK, "port": 82, "service": ["shop", "more"]}]
    hint = found("MTL001", policies=NAMESPACE, proxies=OPEN, services=services, pods=pods, api_clients=clients).hint
    assert json.loads(commands(hint)[1])["spec"]["portLevelMtls"] == {"8080": {"mode": "PERMISSIVE"}, "8081": {"mode": "PERMISSIVE"}}
    assert len(commands(hint)) == 4


def test_in_the_root_namespace_no_policy_can_keep_a_port_open() -> None:
    pod = {"workload": "Deployment hook", "dataplane": "sidecar", "ip": "10.0.0.9", "labels": {"app": "hook"}, "ports": [{"number": 9443}]}
    hint = found(
        "MTL001",
        policies={"istio-system/default": {"mode": "PERMISSIVE"}},
        namespaces={"istio-system": {"labels": {"istio-injection": "enabled"}}},
        pods={"istio-system/hook-1": pod},
        services={"istio-system/hook": {"selector": {"app": "hook"}, "ports": {443: 9443}}},
        api_clients=[{**HOOK, "service": ["istio-system", "hook"], "port": 443}],
    ).hint
    assert patched(commands(hint)[0]) == (
        "deployment/hook",
        {"template": {"metadata": {"annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "9443"}}}},
    )


PORTS = {"shop/web": {"created": CREATED, "mode": "STRICT", "selector": {"app": "web"}, "ports": {8080: "PERMISSIVE", 8081: "PERMISSIVE"}}}


def test_of_single_ports_those_of_the_api_server_stay_open() -> None:
    pods = {
        name: {"ports": [{"number": 8080}, {"number": 8081}], "annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "15020"}}
        for name in ("shop/web-1", "shop/web-2")
    }
    closing, past = commands(found("MTL003", policies=PORTS, pods=pods, api_clients=[HOOK]).hint)
    assert patched(closing)[1] == {"portLevelMtls": {"8081": {"mode": "STRICT"}}}
    assert patched(past)[1]["template"]["metadata"]["annotations"] == {"traffic.sidecar.istio.io/excludeInboundPorts": "8080,15020"}


def test_what_the_api_server_calls_stays_past_the_proxy() -> None:
    excluded = {"bypassed": [8080, 8081], "annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "8080,8081"}}
    pods = {"shop/web-1": excluded, "shop/web-2": excluded}
    (line,) = commands(found("MTL021", pods=pods, api_clients=[HOOK]).hint)
    assert patched(line)[1]["template"]["metadata"]["annotations"] == {"traffic.sidecar.istio.io/excludeInboundPorts": "8080"}
    alone = {place: {**told, "bypassed": [8080]} for place, told in pods.items()}
    assert commands(found("MTL021", pods=alone, api_clients=[HOOK]).hint) == []


@pytest.mark.parametrize(
    ("client", "stops"),
    [
        (HOOK, "hooks (failurePolicy Fail) makes the API server call port 8080 of shop/Deployment web; the API server has no certificate"),
        (HOOK, "when the port is closed, every request that this webhook is asked about fails"),
        (HOOK | {"fails": False}, "when the port is closed, requests pass without this webhook"),
        (HOOK | {"kind": "APIService"}, "when the port is closed, every request for this API fails"),
        (HOOK | {"kind": "CustomResourceDefinition"}, "objects of this kind cannot be read or written in another version"),
    ],
)
def test_what_stops_is_said(client: dict[str, Any], stops: str) -> None:
    assert stops in found("MTL001", policies=NAMESPACE, proxies=OPEN, api_clients=[client]).hint


@pytest.mark.parametrize(
    "client",
    [HOOK | {"port": 81}, HOOK | {"service": ["shop", "other"]}, HOOK | {"service": ["other", "web"]}],
)
def test_another_service_or_port_is_not_this_one(client: dict[str, Any]) -> None:
    assert "API server" not in found("MTL001", policies=NAMESPACE, proxies=OPEN, api_clients=[client]).hint


def test_a_mesh_wide_policy_is_not_closed_unasked_when_only_some_namespaces_were_verified() -> None:
    wide = {"istio-system/default": {"mode": "PERMISSIVE"}}
    words = "# this policy is for the whole mesh, and only shop was verified"
    assert words in found("MTL001", policies=wide, proxies=OPEN, judged=["shop"]).hint
    assert words in found("MTL001", policies={"istio-system/default": None}, proxies=OPEN, judged=["shop"]).hint
    assert words not in found("MTL001", policies=NAMESPACE, proxies=OPEN, judged=["shop"]).hint
    assert words not in found("MTL001", policies=wide, proxies=OPEN).hint


def test_what_prometheus_counted_is_named() -> None:
    history = {
        "days": 7,
        "source": "monitoring/prometheus",
        "plaintext": [[["shop", "web"], 12], [["elsewhere", "web"], 9], [["shop", "other"], 9]],
    }
    hint = found("MTL001", policies=NAMESPACE, proxies=OPEN, history=history).hint
    assert "# in the last 7 days these received plaintext, from clients that will be refused: shop/web (about 12)\n" in hint


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=60)
@given(NAMES, NAMES, st.sampled_from(["ValidatingWebhookConfiguration", "APIService", "CustomResourceDefinition"]))
def test_no_name_becomes_a_command(name: str, label: str, kind: str) -> None:
    """Comments stay one line, and what is applied stays one document."""
    labels = {"app": label}
    pods = {place: {"labels": labels} for place in ("shop/web-1", "shop/web-2")}
    services = {"shop/web": {"selector": labels}}
    hint = found(
        "MTL001", policies=NAMESPACE, proxies=OPEN, pods=pods, services=services, api_clients=[HOOK | {"kind": kind, "name": name}]
    ).hint
    lines = [line for line in hint.split("\n") if not line.startswith("# ")]
    assert [re.split(r"[ {]", line)[0] for line in lines] == ["kubectl", "", "EOF", "kubectl"]
    assert json.loads(lines[1])["spec"]["selector"]["matchLabels"] == labels


def test_where_webhooks_could_not_be_read_every_fix_that_closes_a_port_says_so() -> None:
    words = "# it is not known whether the API server calls one of these ports: some APIService objects could not be read"
    closing = set()
    for name in verdicts.names():
        case = verdicts.load(name)
        for one in replace(case, facts=replace(case.facts, unread=("APIService",))).verdict().findings:
            assert (words in one.hint) is (one.code in CLOSING), (name, one.code)
            closing |= {one.code} & CLOSING
    assert closing == CLOSING
