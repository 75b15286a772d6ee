"""A pod is read as Kubernetes, the injector and istio-iptables mean it."""

from typing import Any

import pytest

from meshinstall.engine.mesh import kube_objects, pods
from meshinstall.engine.mesh.kube_objects import Service, ServicePort
from meshinstall.model.mesh import (
    Dataplane,
    Place,
    Pod,
    Port,
    ServiceFacts,
)
from tests.unit.engine.mesh.kube_worlds import APP, DAEMON, PLANES, PROXY, REDIRECTED, SERVICE, init, pod, proxy, seen


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


DISCOVERY = {"name": "discovery"}

MANAGED = {"gateway.istio.io/managed": "istio.io-agentgateway-controller"}


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
