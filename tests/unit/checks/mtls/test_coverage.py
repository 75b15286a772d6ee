"""Which namespaces are of the mesh, and which traffic passes a proxy."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from meshinstall.checks.mtls.coverage import coverage_evidence, is_judged, joins, members, outside, unencrypted
from meshinstall.model.mesh import ControlPlane, Dataplane, MeshFacts, NamespaceFacts, Place, Pod, Port
from meshinstall.model.verdict import Outcome, Outside

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
POD = Pod(Place("shop", "web-0"), "Deployment web", Dataplane.SIDECAR)
PROBES = "meshinstall-probe-x"
INJECTED = {"istio-injection": "enabled"}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, False),
        (INJECTED, True),
        ({"istio-injection": "disabled"}, False),
        ({"istio.io/rev": "1-31"}, True),
        ({"istio.io/rev": ""}, False),
        ({"istio-injection": "disabled", "istio.io/rev": "1-31"}, False),
        ({"istio.io/dataplane-mode": "ambient"}, True),
        ({"istio.io/dataplane-mode": "none"}, False),
    ],
)
def test_labels_that_ask_for_the_mesh(labels: dict[str, str], expected: bool) -> None:  # noqa: FBT001
    assert joins(labels) is expected


def facts(*pods: Pod, **labels: dict[str, str]) -> MeshFacts:
    return MeshFacts(NOW, namespaces={name: NamespaceFacts(name, given) for name, given in labels.items()}, pods=pods)


@pytest.mark.parametrize(
    ("dataplane", "expected"),
    [(Dataplane.SIDECAR, True), (Dataplane.AMBIENT, True), (Dataplane.GATEWAY, False), (Dataplane.CONTROL, False), (Dataplane.NONE, False)],
)
def test_a_namespace_is_of_the_mesh_by_a_pod_that_is(dataplane: Dataplane, expected: bool) -> None:  # noqa: FBT001
    assert members(facts(replace(POD, dataplane=dataplane), shop={}, other=INJECTED)) == ({"shop", "other"} if expected else {"other"})


@pytest.mark.parametrize(
    ("dataplane", "expected"),
    [(Dataplane.SIDECAR, True), (Dataplane.NONE, True), (Dataplane.GATEWAY, True), (Dataplane.CONTROL, False)],
)
def test_the_control_plane_is_not_judged(dataplane: Dataplane, expected: bool) -> None:  # noqa: FBT001
    assert is_judged(replace(POD, dataplane=dataplane), beside_istiod(facts(), "shop"), frozenset({"shop"})) is expected


def beside_istiod(seen: MeshFacts, namespace: str) -> MeshFacts:
    plane = ControlPlane(Place(namespace, "istiod"), "default", "1.31.0", namespace, "cluster.local")
    return replace(seen, control_planes=(plane,))


@pytest.mark.parametrize(
    ("namespace", "labels", "istiod", "judged", "outsiders"),
    [
        ("shop", {}, "istio-system", False, 1),
        ("shop", INJECTED, "istio-system", True, 0),
        ("shop", {"istio.io/dataplane-mode": "ambient"}, "istio-system", True, 0),
        ("shop", INJECTED, "shop", False, 0),
        ("kube-system", {}, "istio-system", False, 0),
        ("kube-system-2", {}, "istio-system", False, 1),
        ("istio-cni", {}, "istio-system", False, 1),
    ],
    ids=["outside the mesh", "injected", "ambient", "beside istiod", "the system's", "named like the system's", "of another operator"],
)
def test_what_is_named_like_a_part_of_istio_is_judged_or_counted_like_any(
    namespace: str,
    labels: dict[str, str],
    istiod: str,
    judged: bool,  # noqa: FBT001 - a column
    outsiders: int,
) -> None:
    pretender = replace(POD, place=Place(namespace, "web-0"), dataplane=Dataplane.CONTROL)
    seen = beside_istiod(facts(pretender, **{namespace: labels}), istiod)
    assert is_judged(pretender, seen, members(seen)) is judged
    assert sum(one.pods for one in outside(seen, members(seen), ())) == outsiders
    assert coverage_evidence(pretender, 8080, labels).code == "MTL020"


def test_outside_the_mesh_only_gateways_are_judged() -> None:
    gateway = replace(POD, dataplane=Dataplane.GATEWAY)
    assert [is_judged(pod, facts(), frozenset()) for pod in (gateway, replace(POD, dataplane=Dataplane.NONE))] == [True, False]


@pytest.mark.parametrize(
    ("own", "labels", "pod", "expected"),
    [
        (PROBES, {"meshinstall.dev/probe": "namespace"}, {"meshinstall.dev/probe": "client"}, False),
        (PROBES, {}, {"meshinstall.dev/probe": "client"}, False),
        (PROBES, {"meshinstall.dev/probe": "namespace"}, {"meshinstall.dev/probe": "target"}, True),
        ("meshinstall-probe-y", {"meshinstall.dev/probe": "namespace"}, {"meshinstall.dev/probe": "client"}, True),
        ("", {"meshinstall.dev/probe": "namespace"}, {"meshinstall.dev/probe": "client"}, True),
    ],
)
def test_only_the_client_that_this_run_made_is_not_judged(own: str, labels: dict[str, str], pod: dict[str, str], expected: bool) -> None:  # noqa: FBT001
    client = replace(POD, place=Place(PROBES, "client"), labels=pod)
    seen = replace(facts(**{PROBES: labels}), probes=tuple(filter(None, [own])))
    assert is_judged(client, seen, frozenset({PROBES})) is expected


@pytest.mark.parametrize("ending", [True, False])
@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("labels", [{"meshinstall.dev/probe": "namespace"}, {}])
@pytest.mark.parametrize("name", [PROBES, "shop"])
def test_a_namespace_that_looks_like_one_of_probes_hides_nothing(name: str, labels: dict[str, str], running: bool, ending: bool) -> None:  # noqa: FBT001
    space = NamespaceFacts(name, labels, ending=ending)
    target = replace(POD, place=Place(name, "target"), labels={"meshinstall.dev/probe": "target"}, running=running)
    seen = MeshFacts(NOW, namespaces={name: space}, probes=("meshinstall-probe-y",))
    assert is_judged(target, seen, frozenset({name}))


@pytest.mark.parametrize(
    ("differs", "port", "code"),
    [
        ({}, 8080, ""),
        ({}, 0, ""),
        ({"dataplane": Dataplane.AMBIENT}, 8080, ""),
        ({"dataplane": Dataplane.GATEWAY, "host_network": True, "captured": False}, 8080, ""),
        ({"dataplane": Dataplane.GATEWAY, "bypassed": (4180,)}, 4180, "MTL021"),
        ({"dataplane": Dataplane.GATEWAY, "bypassed": (4180,)}, 8080, ""),
        ({"dataplane": Dataplane.NONE}, 8080, "MTL020"),
        ({"bypassed": (8080,)}, 8080, "MTL021"),
        ({"bypassed": (8080,)}, 9090, ""),
        ({"bypassed": (8080,)}, 0, ""),
        ({"others_bypassed": True}, 0, "MTL021"),
        ({"others_bypassed": True}, 8080, ""),
        ({"captured": False}, 8080, "MTL022"),
        ({"dataplane": Dataplane.AMBIENT, "captured": False}, 8080, "MTL022"),
        ({"host_network": True, "captured": False}, 8080, "MTL023"),
        ({"dataplane": Dataplane.NONE, "host_network": True}, 8080, "MTL023"),
    ],
)
def test_traffic_that_passes_no_proxy(differs: dict[str, Any], port: int, code: str) -> None:
    found = coverage_evidence(replace(POD, **differs), port, INJECTED)
    assert found.code == code
    assert found.outcome == (Outcome.FAIL if code else Outcome.PASS)


def test_where_one_ip_family_is_redirected_nothing_is_proven() -> None:
    found = coverage_evidence(replace(POD, one_family=True), 8080, INJECTED)
    assert found.code == "MTL028"
    assert found.outcome == Outcome.NOT_PROVEN
    assert coverage_evidence(replace(POD, one_family=True, bypassed=(8080,)), 8080, INJECTED).outcome is Outcome.FAIL


def test_where_one_interface_is_left_alone_nothing_is_proven() -> None:
    found = coverage_evidence(replace(POD, interfaces=("net1",)), 8080, INJECTED)
    assert (found.code, found.outcome) == ("MTL029", Outcome.NOT_PROVEN)
    assert "by interface net1 bypasses" in found.text
    assert coverage_evidence(replace(POD, interfaces=("net1",), bypassed=(8080,)), 8080, INJECTED).outcome is Outcome.FAIL


def test_one_of_istios_ports_is_never_redirected() -> None:
    assert "Istio uses the port" in coverage_evidence(replace(POD, bypassed=(15008,)), 15008, INJECTED).text


@pytest.mark.parametrize(
    ("differs", "namespace", "why"),
    [
        ({"labels": {"sidecar.istio.io/inject": "false"}}, INJECTED, "opts out with sidecar.istio.io/inject=false"),
        ({"annotations": {"sidecar.istio.io/inject": "false"}}, INJECTED, "opts out with sidecar.istio.io/inject=false"),
        ({"labels": {"istio.io/dataplane-mode": "none"}}, {"istio.io/dataplane-mode": "ambient"}, "opts out with istio.io/dataplane-mode"),
        ({}, {**INJECTED, "istio.io/rev": "1-31"}, "istio-injection has precedence"),
        ({}, {"istio-injection": "disabled", "istio.io/rev": "1-31"}, "istio-injection=disabled"),
        ({}, INJECTED, "started before its namespace was labelled"),
        ({}, {}, "no label that asks for a proxy"),
    ],
)
def test_why_a_pod_has_no_proxy(differs: dict[str, Any], namespace: dict[str, str], why: str) -> None:
    assert why in coverage_evidence(replace(POD, dataplane=Dataplane.NONE, **differs), 8080, namespace).text


def test_what_istio_never_encrypts_is_told_once_for_each_namespace() -> None:
    udp = Port(53, protocol="UDP")
    pods = [replace(POD, ports=(Port(80), udp)), replace(POD, place=Place("shop", "web-1"), ports=(udp,))]
    assert [(found.code, found.object, found.detail) for found in unencrypted(pods)] == [
        ("MTL025", "Namespace shop", "Deployment web port 53/UDP")
    ]


def test_our_own_probes_are_not_named_as_outside_the_mesh() -> None:
    client = replace(POD, place=Place(PROBES, "client"), dataplane=Dataplane.NONE)
    seen = replace(facts(client), probes=(PROBES,))
    assert outside(seen, frozenset({"shop"}), ()) == ()
    assert outside(replace(seen, probes=()), frozenset({"shop"}), ()) == (Outside(PROBES, 1, ()),)


def test_namespaces_outside_are_those_with_pods() -> None:
    pods = [replace(POD, place=Place("old", name), dataplane=Dataplane.NONE) for name in "ab"]
    pods += [replace(POD, place=Place("istio-system", "istiod"), dataplane=Dataplane.CONTROL)]
    seen = beside_istiod(facts(*pods, POD, old={}, empty={}), "istio-system")
    found = outside(seen, frozenset({"shop"}), ("shop/web:80",))
    assert found == (Outside("old", 2, ("shop/web:80",)),)
