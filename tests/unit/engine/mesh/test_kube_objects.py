"""Facts of a mesh as Kubernetes' objects say them: policies, rules, Services, istiods and pods."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.mesh import kube_objects, pods
from meshinstall.engine.mesh.kube_objects import MeshSettings, Service, ServicePort
from meshinstall.model.mesh import (
    ClientRule,
    ControlPlane,
    ExternalService,
    Mode,
    NamespaceFacts,
    PeerPolicy,
    Place,
    Port,
)
from tests.unit.engine.hostile import mutated
from tests.unit.engine.mesh.kube_worlds import APP, DAEMON, ENTRY, ISTIOD, PLANES, POLICY, PROXY, REDIRECTED, RULE, SERVICE, metadata, pod

BORN = datetime(2026, 11, 21, 11, 7, 27, tzinfo=UTC)


def test_a_peer_authentication_has_a_mode_a_selector_and_ports() -> None:
    ports = {9090: Mode.DISABLE, 8080: Mode.UNSET}
    assert kube_objects.peer_policy(POLICY) == PeerPolicy(Place("shop", "holes"), BORN, Mode.STRICT, {"app": "holes"}, ports)
    assert kube_objects.peer_policy({"metadata": metadata()}) == PeerPolicy(Place("shop", "web"), BORN)


def test_a_destination_rule_has_a_mode_for_the_host_its_ports_and_its_subsets() -> None:
    assert kube_objects.client_rule(RULE) == ClientRule(
        Place("shop", "web"),
        "web.shop.svc.cluster.local",
        BORN,
        "ISTIO_MUTUAL",
        # The first of two for one port counts; settings without TLS inherit nothing; TLS without a mode is DISABLE.
        {80: "DISABLE", 90: "", 91: "DISABLE"},
        {"v1": ("SIMPLE", {}), "v2": ("", {})},
        (".",),
        {"app": "client"},
        has_policy=True,
    )
    bare = kube_objects.client_rule({"metadata": metadata(), "spec": {"host": "web"}})
    assert bare.mode == ""
    assert bare.has_policy is False
    assert bare.export_to == ()


def test_a_service_entry_leads_out_of_the_mesh_unless_it_says_otherwise() -> None:
    found = ExternalService(Place("shop", "pay"), ("pay.example", "*.pay.example"), (Port(443, "tls", "TLS"), Port(80, "", "TCP")))
    assert kube_objects.external_service(ENTRY) == found
    for location, leads_out in (("MESH_EXTERNAL", True), ("MESH_INTERNAL", False)):
        entry = {**ENTRY, "spec": {**ENTRY["spec"], "location": location}}
        assert (kube_objects.external_service(entry) == found) is leads_out


def test_a_service_sends_to_numbers_and_names() -> None:
    ports = (ServicePort(80, "http"), ServicePort(9090, 9090), ServicePort(53, 5353, "UDP"))
    assert kube_objects.service(SERVICE) == Service(Place("shop", "web"), "NodePort", {"app": "web"}, ports)
    outside = {"metadata": metadata(), "spec": {"type": "ExternalName", "externalName": "example.com", "selector": {"app": "web"}}}
    assert kube_objects.service(outside).selector == {}


def test_what_is_only_labelled_like_istiod_is_none() -> None:
    spec = {"template": {"spec": {"containers": [{"name": "web", "image": "pilot:1.31.0"}]}}}
    assert kube_objects.istiod({"metadata": metadata("istiod", labels={"app": "istiod"}), "spec": spec}) is None


def test_an_istiod_says_its_revision_version_and_domain() -> None:
    plane = kube_objects.istiod(ISTIOD)
    assert plane
    assert plane.settings == "istio-canary"
    assert plane.revision == "canary"
    settings = MeshSettings("mesh", "corp", ("old",), auto_mtls=False)
    expected = ControlPlane(Place("istio-system", "istiod-canary"), "canary", "1.31.0", "mesh", "corp", ("old",), False, "mesh.corp")
    assert kube_objects.control_plane(plane, settings) == expected


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("docker.io/istio/pilot:1.31.0", "1.31.0"),
        ("pilot:1.32.0-beta.1-debug", "1.32.0-beta.1"),
        ("reg:5000/pilot:1.31.0-alpha.0123456", "1.31.0-alpha.0123456"),
        ("reg:5000/pilot", "1.29.9"),
        ("pilot@sha256:0", "1.29.9"),
        ("pilot:latest", "1.29.9"),
    ],
)
def test_the_version_is_the_images_and_else_the_charts(image: str, version: str) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "other", "image": "x:9.9.9"}, {"name": "discovery", "image": image}]}}}
    found = kube_objects.istiod({"metadata": metadata(labels={"app.kubernetes.io/version": "1.29.9"}), "spec": spec})
    assert found
    assert found.version == version
    assert found.revision == "default"
    assert found.settings == "istio"
    assert found.domain == "cluster.local"


@pytest.mark.parametrize(
    ("mesh", "settings"),
    [
        ("", MeshSettings("istio-system", "cluster.local", (), auto_mtls=True)),
        ("rootNamespace: root\ntrustDomain: corp\nenableAutoMtls: true", MeshSettings("root", "corp")),
        ("root_namespace: root\nenable_auto_mtls: false", MeshSettings("root", auto_mtls=False)),
        (
            "trustDomainAliases: [old]\ncaCertificates: [{pem: PEM}, {spiffeBundleUrl: x}]",
            MeshSettings("istio-system", "cluster.local", ("old",), authorities=("PEM",)),
        ),
    ],
    ids=["istiod's defaults", "camel", "snake", "lists"],
)
def test_the_mesh_configuration_is_read_as_istiod_reads_it(mesh: str, settings: MeshSettings) -> None:
    assert kube_objects.mesh_settings({"data": {"mesh": mesh}}) == settings


def test_a_shared_mesh_configuration_is_under_the_own_and_aliases_add_up() -> None:
    own = {"data": {"mesh": "trust_domain: own\ntrustDomainAliases: [a]\ncaCertificates: [{pem: x}]"}}
    shared = {"data": {"mesh": "trustDomain: other\nrootNamespace: top\ntrustDomainAliases: [b, a]\ncaCertificates: [{pem: y}]"}}
    assert kube_objects.mesh_settings(own, shared) == MeshSettings("top", "own", ("a", "b"), authorities=("x",))


@pytest.mark.parametrize(
    ("mesh", "words"),
    [
        ("a: {", "not YAML"),
        ("- a", "dict expected"),
        ("trustDomain: 3", "str expected"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("[" * 300_000, "too deep"),
    ],
)
def test_a_mesh_configuration_that_is_no_such_thing_is_refused(mesh: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kube_objects.mesh_settings({"data": {"mesh": mesh}})


def test_a_namespace_has_labels() -> None:
    item: dict[str, Any] = {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}
    assert kube_objects.namespace(item) == NamespaceFacts("shop", {"istio-injection": "enabled"})
    item["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert kube_objects.namespace(item) == NamespaceFacts("shop", {"istio-injection": "enabled"}, ending=True)


READERS: list[tuple[Callable[[Any], object], dict[str, Any]]] = [
    (kube_objects.peer_policy, POLICY),
    (kube_objects.client_rule, RULE),
    (kube_objects.external_service, ENTRY),
    (kube_objects.service, SERVICE),
    (kube_objects.istiod, ISTIOD),
    (kube_objects.mesh_settings, {"data": {"mesh": "trustDomain: corp\nenableAutoMtls: true"}}),
    (kube_objects.namespace, {"metadata": {"name": "shop", "labels": {"a": "b"}}}),
    (
        lambda item: pods.pod(item, PLANES),
        pod(labels={"app": "web"}, annotations=REDIRECTED, ownerReferences=DAEMON, containers=[APP, PROXY]),
    ),
]


@pytest.mark.parametrize(("read", "item"), READERS)
@given(data=st.data())
def test_whatever_an_object_holds_is_read_or_refused(read: Callable[[Any], object], item: dict[str, Any], data: st.DataObject) -> None:
    try:
        found = read(data.draw(mutated(item)))
    except ValueError:
        return
    if isinstance(found, pods.PodSeen):
        pods.joined([found], [kube_objects.service(SERVICE)])
    hash(str(found))
