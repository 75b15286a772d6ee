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
    Dataplane,
    ExternalService,
    Mode,
    NamespaceFacts,
    PeerPolicy,
    Place,
    Pod,
    Port,
    ServiceFacts,
)
from tests.unit.engine.hostile import mutated

BORN = datetime(2026, 11, 21, 11, 7, 27, tzinfo=UTC)
PLANES = frozenset({"istio-system"})
REDIRECT = ["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", ""]
PROXY = {
    "name": "istio-proxy",
    "image": "docker.io/istio/proxyv2:1.31.0",
    "args": ["proxy", "sidecar", "--domain", "shop.svc.cluster.local"],
    "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
}
APP = {"name": "app", "image": "app", "ports": [{"containerPort": 8080, "name": "http"}, {"containerPort": 5353, "protocol": "UDP"}]}


def metadata(name: str = "web", namespace: str = "shop", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-21T11:07:27Z", **more}


def init(include: str = "*", exclude: str = "15090,15021,15020", name: str = "istio-init", *more: str) -> dict[str, Any]:
    """What redirects inbound traffic."""
    own = ["--run-validation"] if name == "istio-validation" else []
    return {
        "name": name,
        "image": PROXY["image"],
        "args": [*REDIRECT, "-b", include, "-d", exclude, *more, *own, "--log_output_level=default:info"],
    }


def pod(*, containers: Any = None, inits: Any = None, spec: Any = None, status: Any = None, **meta: Any) -> dict[str, Any]:
    """A pod with a sidecar, unless it is told otherwise."""
    native = {**PROXY, "restartPolicy": "Always"}
    whole = {
        "initContainers": [init(), native] if inits is None else inits,
        "containers": containers or [APP],
        "serviceAccountName": "web",
        **(spec or {}),
    }
    return {"metadata": metadata(**meta), "spec": whole, "status": status or {"phase": "Running", "podIP": "10.0.0.8"}}


def seen(*services: Service, **given: Any) -> Pod:
    """The facts of a pod to which ``services`` send."""
    one = pods.pod(pod(**given), PLANES)
    assert one
    (found,), _ = pods.joined([one], services)
    return found


POLICY = {
    "metadata": metadata("holes"),
    "spec": {
        "selector": {"matchLabels": {"app": "holes"}},
        "mtls": {"mode": "STRICT"},
        "portLevelMtls": {"9090": {"mode": "DISABLE"}, "8080": {}},
    },
}
RULE = {
    "metadata": metadata("web"),
    "spec": {
        "host": "web.shop.svc.cluster.local",
        "exportTo": ["."],
        "workloadSelector": {"matchLabels": {"app": "client"}},
        "trafficPolicy": {
            "tls": {"mode": "ISTIO_MUTUAL"},
            "portLevelSettings": [
                {"port": {"number": 80}, "tls": {"mode": "DISABLE"}},
                {"port": {"number": 80}, "tls": {"mode": "SIMPLE"}},
                {"port": {"number": 90}},
                {"port": {"number": 91}, "tls": {}},
            ],
        },
        "subsets": [{"name": "v1", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}}, {"name": "v2"}],
    },
}
SERVICE = {
    "metadata": metadata("web"),
    "spec": {
        "type": "NodePort",
        "selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": "http"}, {"port": 9090}, {"port": 53, "targetPort": 5353, "protocol": "UDP"}],
    },
}
ENTRY = {
    "metadata": metadata("pay"),
    "spec": {
        "hosts": ["pay.example", "*.pay.example"],
        "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 80}],
        "resolution": "DNS",
    },
}
ISTIOD = {
    "metadata": metadata("istiod-canary", "istio-system", labels={"istio.io/rev": "canary", "app.kubernetes.io/version": "1.30.0"}),
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "istiod", "istio.io/rev": "canary"}},
            "spec": {
                "containers": [
                    {
                        "name": "discovery",
                        "image": "reg:5000/pilot:1.31.0-distroless@sha256:0",
                        "args": ["discovery", "--domain", "mesh.corp"],
                    }
                ]
            },
        }
    },
}


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


def test_a_pod_with_a_sidecar() -> None:
    labels = {"app": "web", "pod-template-hash": "5d9", "istio.io/rev": "tag"}
    annotations = {"istio.io/rev": "default", "sidecar.istio.io/status": "{}", "other": "long", "sidecar.istio.io/inject": "true"}
    owner = [{"kind": "ReplicaSet", "name": "web-5d9", "controller": True}]
    assert seen(name="web-5d9-x", labels=labels, annotations=annotations, ownerReferences=owner) == Pod(
        place=Place("shop", "web-5d9-x"),
        workload="Deployment web",
        dataplane=Dataplane.SIDECAR,
        service_account="web",
        ip="10.0.0.8",
        ports=(Port(5353, "", "UDP"), Port(8080, "http")),
        labels=labels,
        annotations={"istio.io/rev": "default", "sidecar.istio.io/inject": "true"},
        revision="default",
    )


@pytest.mark.parametrize(
    ("owner", "labels", "workload"),
    [
        (("ReplicaSet", "web-5d9"), {"pod-template-hash": "5d9"}, "Deployment web"),
        (("ReplicaSet", "web-5d9"), {"pod-template-hash": "999"}, "ReplicaSet web-5d9"),
        (("ReplicaSet", "web-5d9"), {}, "ReplicaSet web-5d9"),
        (("StatefulSet", "db"), {}, "StatefulSet db"),
        (("Node", "node1"), {}, "Pod web"),
    ],
)
def test_a_pod_belongs_to_the_workload_that_people_know(owner: tuple[str, str], labels: dict[str, str], workload: str) -> None:
    owners = [{"kind": "Other", "name": "x"}, {"kind": owner[0], "name": owner[1], "controller": True}]
    assert seen(labels=labels, ownerReferences=owners).workload == workload
    assert seen().workload == "Pod web"


def proxy(role: str, name: str = "istio-proxy") -> dict[str, Any]:
    return {**PROXY, "name": name, "args": ["proxy", role]}


DAEMON = [{"kind": "DaemonSet", "name": "x", "controller": True}]
DISCOVERY = {"name": "discovery"}
MANAGED = {"gateway.istio.io/managed": "istio.io-agentgateway-controller"}
REDIRECTED = {"ambient.istio.io/redirection": "enabled"}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Dataplane.SIDECAR, {}),
        (Dataplane.SIDECAR, {"inits": [init()], "containers": [APP, PROXY]}),
        (Dataplane.SIDECAR, {"annotations": REDIRECTED}),
        (Dataplane.SIDECAR, {"annotations": {"inject.istio.io/templates": "gateway"}}),
        (Dataplane.GATEWAY, {"inits": [], "containers": [proxy("router")]}),
        (Dataplane.GATEWAY, {"inits": [], "containers": [proxy("waypoint")]}),
        (Dataplane.GATEWAY, {"inits": [], "containers": [{"name": "agentgateway"}], "labels": MANAGED}),
        (Dataplane.AMBIENT, {"inits": [], "annotations": REDIRECTED}),
        (Dataplane.CONTROL, {"inits": [], "containers": [DISCOVERY], "labels": {"app": "istiod"}, "namespace": "istio-system"}),
        (Dataplane.CONTROL, {"inits": [], "containers": [proxy("ztunnel")], "ownerReferences": DAEMON, "namespace": "istio-system"}),
        (Dataplane.CONTROL, {"inits": [], "containers": [proxy("ztunnel")], "ownerReferences": DAEMON, "namespace": "kube-system"}),
        (Dataplane.CONTROL, {"inits": [], "containers": [{"name": "install-cni"}], "ownerReferences": DAEMON, "namespace": "kube-system"}),
        (Dataplane.NONE, {"inits": []}),
        (Dataplane.NONE, {"inits": [PROXY]}),
        (Dataplane.NONE, {"inits": [], "containers": [{"name": "agentgateway"}]}),
        (Dataplane.NONE, {"inits": [], "containers": [DISCOVERY], "labels": {"app": "istiod"}}),
        (Dataplane.NONE, {"inits": [], "containers": [{"name": "install-cni"}], "namespace": "kube-system"}),
        (Dataplane.NONE, {"inits": [], "containers": [proxy("ztunnel")], "ownerReferences": DAEMON}),
        (Dataplane.NONE, {"inits": [], "containers": [{"name": "install-cni"}], "ownerReferences": DAEMON}),
    ],
    ids=[
        "a sidecar that Kubernetes knows as one",
        "a sidecar among the containers",
        "a sidecar in ambient",
        "a sidecar with a gateway's annotation",
        "a gateway",
        "a waypoint",
        "a gateway without Envoy",
        "ambient",
        "istiod",
        "ztunnel",
        "ztunnel beside the system's own",
        "the CNI's node agent",
        "no proxy",
        "an init container of that name that ends",
        "a container called like a gateway",
        "a pod labelled istiod where no istiod is",
        "a pod with a container like the CNI's",
        "a DaemonSet like ztunnel elsewhere",
        "a DaemonSet like the CNI's elsewhere",
    ],
)
def test_what_carries_a_pods_traffic_is_told_by_what_runs_in_it(kind: Dataplane, given: dict[str, Any]) -> None:
    assert seen(**given).dataplane is kind


def redirecting(one: dict[str, Any]) -> dict[str, Any]:
    return {"inits": [one, {**PROXY, "restartPolicy": "Always"}], "containers": [APP, {"name": "b", "ports": [{"containerPort": 9090}]}]}


@pytest.mark.parametrize(
    ("bypassed", "others", "given"),
    [
        ((), False, {}),
        ((), False, {"annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "8080"}}),
        ((9090, 9999), False, redirecting(init(exclude="15090,15021,9999,9090,15020"))),
        ((9090,), True, redirecting(init(include="8080"))),
        ((9090,), True, redirecting(init(include="8080", name="istio-validation"))),
        ((), False, redirecting(init("*", "", "istio-init", "-c", "eth1"))),
    ],
    ids=["all", "annotated afterwards", "excluded", "a list", "a list for the CNI", "not on another interface"],
)
def test_what_passes_a_sidecar_is_told_by_what_redirects(
    bypassed: tuple[int, ...],
    others: bool,  # noqa: FBT001 - a column of the table
    given: dict[str, Any],
) -> None:
    one = seen(**given)
    assert one.captured is True
    assert one.bypassed == bypassed
    assert one.others_bypassed == others


@pytest.mark.parametrize(
    "given",
    [
        {"inits": [PROXY | {"restartPolicy": "Always"}]},
        redirecting(init(include="")),
        redirecting({"name": "istio-init", "args": ["istio-iptables", "-m", "NONE", "-b", "*"]}),
        redirecting(init("*", "", "istio-init", "-c", "eth1,eth0")),
        {"spec": {"hostNetwork": True}},
        {"inits": [], "annotations": REDIRECTED | {"ambient.istio.io/bypass-inbound-capture": "true"}},
    ],
    ids=["nothing redirects", "no port", "mode NONE", "not on the pod's interface", "the node's network", "ambient told to let it be"],
)
def test_traffic_that_nothing_redirects_is_not_captured(given: dict[str, Any]) -> None:
    one = seen(**given)
    assert one.captured is False
    assert one.others_bypassed is False


@pytest.mark.parametrize(
    "given",
    [
        {"containers": [proxy("router"), APP]},
        {"inits": [APP | {"restartPolicy": "Always"}], "containers": [proxy("waypoint")]},
        {"containers": [{"name": "agentgateway", "ports": [{"containerPort": 8443}]}, APP], "labels": MANAGED},
    ],
    ids=["an application", "a helper that Kubernetes knows as one", "beside a gateway without Envoy"],
)
def test_what_stands_beside_a_gateways_proxy_is_reached_past_it(given: dict[str, Any]) -> None:
    one = seen(**{"inits": [], **given})
    assert one.dataplane == Dataplane.GATEWAY
    assert one.bypassed == (8080,)


BOTH = ("10.0.0.8", "fd00::8")
DUAL = {"env": [{"name": "ISTIO_DUAL_STACK", "value": "true"}]}
CNI = init(name="istio-validation")
NATIVE = {**PROXY, "restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("addresses", "inits", "expected"),
    [
        (BOTH, [init(), NATIVE], True),
        (BOTH[:1], [init(), NATIVE], False),
        (("10.0.0.8", "10.0.0.9"), [init(), NATIVE], False),
        (BOTH, [init() | DUAL, NATIVE], False),
        (BOTH, [init(), NATIVE | DUAL], True),
        (BOTH, [CNI, NATIVE | DUAL], False),
        (BOTH, [CNI, NATIVE], True),
        (BOTH, [], False),
    ],
    ids=["two families", "one", "two of one", "dual stack", "of the proxy alone", "with the CNI", "not with the CNI", "no sidecar"],
)
def test_without_dual_stack_one_ip_family_is_redirected(addresses: tuple[str, ...], inits: list[dict[str, Any]], expected: bool) -> None:  # noqa: FBT001 - a column
    status = {"phase": "Running", "podIP": addresses[0], "podIPs": [{"ip": ip} for ip in addresses]}
    assert seen(inits=inits, status=status).one_family is expected


@pytest.mark.parametrize("kind", ["gateway", "none", "ambient"])
def test_where_nothing_needs_to_redirect_all_is_captured(kind: str) -> None:
    kinds: dict[str, dict[str, Any]] = {"gateway": {"containers": [proxy("router")]}, "none": {}, "ambient": {"annotations": REDIRECTED}}
    given = kinds[kind]
    one = seen(inits=[], **given)
    assert one.captured is True
    assert one.bypassed == ()
    assert one.others_bypassed is False
    assert one.host_network is False


def test_the_proxys_own_ports_are_not_the_workloads() -> None:
    assert seen().ports == (Port(5353, "", "UDP"), Port(8080, "http"))
    custom = PROXY | {"ports": [{"containerPort": 15090}, {"containerPort": 8443}]}
    assert seen(containers=[custom]).ports == (Port(8443),)


def test_ports_are_those_that_are_declared_and_those_that_services_send_to() -> None:
    service = kube_objects.service(SERVICE)
    assert seen(service, labels={"app": "web"}).ports == (Port(5353, "", "UDP"), Port(8080, "http"), Port(9090))
    assert seen(service, labels={"app": "other"}).ports == (Port(5353, "", "UDP"), Port(8080, "http"))
    assert seen(service, labels={"app": "web"}, namespace="elsewhere").ports == (Port(5353, "", "UDP"), Port(8080, "http"))
    everything = Service(Place("shop", "all"), ports=(ServicePort(1, 1),))
    assert Port(1) not in seen(everything).ports


def test_names_of_a_services_targets_are_resolved_by_its_pods() -> None:
    one = pods.pod(pod(labels={"app": "web"}), PLANES)
    other = pods.pod(
        pod(name="x", labels={"app": "web"}, containers=[{"name": "a", "ports": [{"containerPort": 1, "name": "http"}]}]), PLANES
    )
    assert one
    assert other
    _, (facts,) = pods.joined([one, other], [kube_objects.service(SERVICE)])
    assert facts == ServiceFacts(Place("shop", "web"), {"app": "web"}, {80: 8080, 9090: 9090}, "NodePort", more_ports={80: (1,)})
    _, (alone,) = pods.joined([], [kube_objects.service(SERVICE)])
    assert alone.ports == {9090: 9090}


def test_a_pod_that_is_done_is_none_and_one_that_ends_does_not_run() -> None:
    assert pods.pod(pod(status={"phase": "Succeeded"}), PLANES) is None
    assert pods.pod(pod(status={"phase": "Failed"}), PLANES) is None
    assert not seen(status={"phase": "Pending"}).running
    assert not seen(deletionTimestamp="2026-11-21T12:00:00Z").running
    assert seen().running


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
