"""The command that fixes a client: one line that a shell takes as it is meant."""

import json
import shlex
from typing import Any

import pytest

from meshinstall.checks.mtls.client_fixes import client_fix
from meshinstall.model.mesh import Dataplane, MeshFacts, Place
from meshinstall.model.verdict import Outcome, PortVerdict
from tests.cases import verdicts

EXCLUDED = "traffic.sidecar.istio.io/excludeOutboundPorts"
HOSTILE = "x; reboot #$(reboot)`reboot`'"


def facts(**differs: Any) -> MeshFacts:
    return verdicts.make({"facts": differs}).facts


def port(namespace: str = "shop", workload: str = "Deployment web", pod: str = "web-1") -> PortVerdict:
    return PortVerdict(namespace, workload, 8080, Dataplane.SIDECAR, Outcome.FAIL, (), (Place(namespace, pod),))


def patch(command: str) -> Any:
    """What a ``kubectl patch`` sends."""
    words = shlex.split(command, comments=True)
    return json.loads(words[words.index("-p") + 1])


@pytest.mark.parametrize(("kind", "starts"), [("Deployment", "patch"), ("StatefulSet", "patch"), ("Pod", "edit"), ("Job", "edit")])
def test_an_annotation_is_removed_where_there_is_a_template(kind: str, starts: str) -> None:
    pods = {"shop/web-1": {"workload": f"{kind} web", "annotations": {EXCLUDED: "80", "sidecar.istio.io/other": "x"}}}
    command = client_fix("MTL014", f"{kind} shop/web", [port()], facts(pods=pods))
    assert command.startswith(f"kubectl {starts} {kind.lower()}/web -n shop ")
    assert EXCLUDED in command
    assert "sidecar.istio.io/other" not in command
    if starts == "patch":
        assert patch(command) == {"spec": {"template": {"metadata": {"annotations": {EXCLUDED: None}}}}}


def test_a_container_that_runs_as_the_proxy_is_named_on_one_line() -> None:
    pods = {"shop/web-1": {"outbound": {"as_proxy": [["app\nkubectl delete ns shop", "UID 1337"]]}}}
    command = client_fix("MTL014", "Deployment shop/web", [port()], facts(pods=pods))
    assert len(command.splitlines()) == 1
    assert shlex.split(command, comments=True) == ["kubectl", "edit", "deployment/web", "-n", "shop"]


def test_both_reasons_have_a_line_each_and_none_has_one() -> None:
    told = {"annotations": {EXCLUDED: "80"}, "outbound": {"as_proxy": [["app", "UID 1337"]]}}
    assert len(client_fix("MTL014", "Deployment shop/web", [port()], facts(pods={"shop/web-1": told})).splitlines()) == 2
    assert client_fix("MTL014", "Deployment shop/web", [port()], facts()).startswith("kubectl edit deployment/web -n shop  # let its")


def test_a_policy_becomes_permissive() -> None:
    command = client_fix("MTL015", "PeerAuthentication shop/default", [port()], facts())
    assert patch(command) == {"spec": {"mtls": {"mode": "PERMISSIVE"}}}
    assert command.startswith("kubectl patch peerauthentication default -n shop ")


def test_a_workload_entry_gets_the_label() -> None:
    assert patch(client_fix("MTL015", "WorkloadEntry shop/vm-1", [port()], facts())) == {
        "spec": {"labels": {"security.istio.io/tlsMode": "istio"}}
    }


def test_a_sidecar_gets_the_namespaces_that_it_hides_and_says_how_many_more() -> None:
    ports = [port(f"team-{number}") for number in (*range(7), 0)]
    command = client_fix("MTL016", "Sidecar crm/default", ports, facts())
    assert [one["value"] for one in patch(command)] == [f"team-{number}/*" for number in range(5)]
    assert "and 2 namespaces more" in command


@pytest.mark.parametrize(("code", "words"), [("MTL015", "without a proxy"), ("MTL016", "exportTo")])
def test_a_service_is_looked_at_for_what_it_does(code: str, words: str) -> None:
    assert words in client_fix(code, "Service shop/web", [port()], facts())


def test_a_gateway_gets_a_rule_of_its_own_in_the_clusters_domain() -> None:
    pods = {"istio-ingress/public-1": {"labels": {"app": "public"}}}
    services = {"istio-ingress/edge": {"selector": {"app": "public"}, "ports": {443: 8443}}}
    planes = {"istio-system/istiod": {"domain": "corp.local"}}
    told = facts(pods=pods, services=services, control_planes=planes)
    command = client_fix("MTL015", "VirtualService crm/out", [port("istio-ingress", "Deployment public", "public-1")], told)
    assert "host: edge.istio-ingress.svc.corp.local\n" in command
    assert "mode: ISTIO_MUTUAL\n" in command
    alone = client_fix("MTL015", "VirtualService crm/out", [port("istio-ingress", "Deployment public", "public-1")], facts(pods=pods))
    assert alone.startswith("kubectl edit virtualservice out -n crm  #")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("MTL014", "Deployment"),
        ("MTL014", "Pod"),
        ("MTL015", "PeerAuthentication"),
        ("MTL015", "Service"),
        ("MTL015", "WorkloadEntry"),
        ("MTL015", "ServiceEntry"),
        ("MTL015", "VirtualService"),
        ("MTL016", "Sidecar"),
        ("MTL016", "Service"),
    ],
)
def test_names_are_quoted_for_a_shell(code: str, kind: str) -> None:
    command = client_fix(code, f"{kind} {HOSTILE}ns/{HOSTILE}name", [port(HOSTILE)], facts())
    words = shlex.split(command, comments=True)
    assert words[0] == "kubectl"
    assert f"{HOSTILE}ns" in words
    assert not {";", "reboot", "$(reboot)"} & {word for word in words if HOSTILE not in word}


@pytest.mark.parametrize(
    ("code", "found"), [("MTL014", ""), ("MTL015", ""), ("MTL015", "Deployment shop/other"), ("MTL019", "Namespace shop"), ("MTL016", "x")]
)
def test_what_has_no_fix_has_no_command(code: str, found: str) -> None:
    assert client_fix(code, found, [port()], facts()) == ""
