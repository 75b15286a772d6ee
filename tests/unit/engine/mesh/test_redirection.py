"""Which connections to and from a pod are redirected to its proxy, as its spec shows it."""

from collections.abc import Sequence
from typing import Any

import pytest

from meshinstall.engine.mesh.kube_objects import Service, ServicePort
from meshinstall.engine.mesh.pods import joined
from meshinstall.engine.mesh.pods import pod as read_pod
from meshinstall.model.mesh import AsProxy, Outbound, Place, Pod, PortRange

ALL = ["-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020"]
PROXY = {
    "name": "istio-proxy",
    "args": ["proxy", "sidecar"],
    "ports": [{"containerPort": 15090, "name": "http-envoy-prom"}],
    "securityContext": {"runAsUser": 1337, "runAsGroup": 1337},
}
OPEN = Outbound()
CHECK = "istio-validation"


def init(*more: str, name: str = "istio-init", env: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "args": ["istio-iptables", *ALL, *more, "--log_output_level=default:info", *(["--run-validation"] if name == CHECK else ())],
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
    }


def app(name: str = "app", **context: Any) -> dict[str, Any]:
    return {"name": name, "securityContext": context}


def seen(*containers: dict[str, Any], inits: Any = None, proxy: Any = None, services: Sequence[Service] = (), **spec: Any) -> Pod:
    whole = {"initContainers": [init()] if inits is None else inits, "containers": [*(containers or [app()]), proxy or PROXY], **spec}
    meta = {"name": "web", "namespace": "shop", "labels": {"app": "web"}}
    found = read_pod({"metadata": meta, "spec": whole, "status": {"phase": "Running"}}, frozenset())
    assert found is not None
    ((pod,), _) = joined([found], services)
    return pod


def idle(*words: str, **changed: Any) -> dict[str, Any]:
    return {**init(*words), **changed}


@pytest.mark.parametrize(
    "first",
    [
        init(env={"DRY_RUN": "true"}),
        init(env={"SKIP_RULE_APPLY": "1"}),
        init(env={"CLEANUP_ONLY": "T"}),
        init(env={"NETWORK_NAMESPACE": "/proc/1/ns/net"}),
        idle("--dry-run"),
        idle("-n"),
        idle("--skip-rule-apply=true"),
        idle(command=["/bin/true"]),
        idle(args=["sleep", "1"]),
        idle("--istio-inbound-interception-mode=NONE"),
        idle("-m=NONE"),
        idle("-mNONE"),
    ],
)
def test_an_istio_init_that_sets_no_rules_redirects_nothing(first: dict[str, Any]) -> None:
    pod = seen(inits=[first])
    assert (pod.outbound, pod.captured) == (Outbound(captured=False), False)


@pytest.mark.parametrize("first", [init(env={"DRY_RUN": "false"}), idle("--dry-run=false"), idle(command=["pilot-agent"])])
def test_an_istio_init_that_is_told_to_work_redirects(first: dict[str, Any]) -> None:
    assert seen(inits=[first]).outbound == OPEN


def test_long_names_of_settings_count_as_the_short_ones_do() -> None:
    found = outbound(inits=[init("--istio-local-outbound-ports-exclude", "80", "--istio-service-exclude-cidr=10.0.0.0/8")])
    assert (found.not_ports, found.not_networks) == ((PortRange(80, 80),), ("10.0.0.0/8",))


def test_what_a_pod_starts_with_and_what_debugs_it_now_count_as_its_containers_do() -> None:
    as_proxy = {"securityContext": {"runAsUser": 1337}}
    found = seen(inits=[init(), {"name": "wait", **as_proxy}])
    assert found.outbound.as_proxy == (AsProxy("wait", "UID 1337"),)


@pytest.mark.parametrize(("state", "users"), [("running", (AsProxy("debug", "UID 1337"),)), ("terminated", ())])
def test_a_container_for_debugging_counts_while_it_runs(state: str, users: tuple[AsProxy, ...]) -> None:
    spec = {"initContainers": [init()], "containers": [app(), PROXY], "ephemeralContainers": [app("debug", runAsUser=1337)]}
    status = {"phase": "Running", "ephemeralContainerStatuses": [{"name": "debug", "state": {state: {"startedAt": "now"}}}]}
    found = read_pod({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec, "status": status}, frozenset())
    assert found is not None
    assert found.pod.outbound.as_proxy == users


@pytest.mark.parametrize(
    ("status", "ends", "active"),
    [
        ({"phase": "Running"}, True, True),
        ({"phase": "Pending", "initContainerStatuses": [{"name": "wait", "state": {"running": {"startedAt": "now"}}}]}, False, True),
        ({"phase": "Pending", "initContainerStatuses": [{"name": "wait", "state": {"waiting": {}}}]}, False, False),
        ({"phase": "Pending"}, False, False),
    ],
)
def test_a_pod_that_starts_or_ends_may_already_or_still_send(status: dict[str, Any], *, ends: bool, active: bool) -> None:
    meta = {"name": "web", "namespace": "shop", **({"deletionTimestamp": "2026-01-01T00:00:00Z"} if ends else {})}
    found = read_pod({"metadata": meta, "spec": {"containers": [app(), PROXY]}, "status": status}, frozenset())
    assert found is not None
    assert (found.pod.active, found.pod.running) == (active, False)


def listening(*ports: int) -> dict[str, Any]:
    return {"name": "app", "ports": [{"containerPort": port} for port in ports]}


def outbound(*containers: dict[str, Any], **more: Any) -> Outbound:
    return seen(*containers, **more).outbound


def test_all_connections_are_redirected_unless_something_else_is_said() -> None:
    assert outbound() == OPEN


@pytest.mark.parametrize("inits", [[], [{"name": "other", "args": ALL}], [init("-m", "NONE")], [init("-c", "net1,eth0")]])
def test_nothing_is_redirected(inits: list[Any]) -> None:
    assert outbound(inits=inits) == Outbound(captured=False)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["-o", "80,8000:8010,,:22,http"], Outbound(not_ports=(PortRange(1, 22), PortRange(80, 80), PortRange(8000, 8010)))),
        (["-i", "", "-q", "9000:"], Outbound(networks=(), ports=(PortRange(9000, 65535),))),
        (["-i", "10.0.0.0/8,fd00::/8,bad"], Outbound(networks=("10.0.0.0/8", "fd00::/8"))),
        (["-x", "10.1.2.3/16"], Outbound(not_networks=("10.1.0.0/16",))),
        (["-c", "net1"], Outbound(interfaces=("net1",))),
        (["-k", "k6t-eth0"], Outbound(virtual=True)),
        # What follows a flag is its value, whatever it looks like.
        (["-x", "-o", "-q", "80"], Outbound(ports=(PortRange(80, 80),))),
    ],
)
def test_arguments_of_istio_iptables(more: list[str], expected: Outbound) -> None:
    assert outbound(inits=[init(*more)]) == expected


def test_variables_count_where_no_argument_does() -> None:
    env = {"ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE": "80", "ISTIO_SERVICE_CIDR": "10.0.0.0/8"}
    assert outbound(inits=[init(env=env)]) == Outbound(not_ports=(PortRange(80, 80),))


@pytest.mark.parametrize(
    ("context", "pod", "expected"),
    [
        ({"runAsUser": 1337}, {}, "UID 1337"),
        ({}, {"runAsUser": 1337}, "UID 1337"),
        ({"runAsUser": 0}, {"runAsUser": 1337}, ""),
        ({"runAsGroup": 1337}, {}, "GID 1337"),
        ({"runAsUser": 1000, "runAsGroup": 1000}, {"fsGroup": 1337, "supplementalGroups": [1337]}, ""),
    ],
)
def test_a_container_that_runs_as_the_proxy(context: dict[str, Any], pod: dict[str, Any], expected: str) -> None:
    other = app("other", runAsUser=7, runAsGroup=7)
    assert outbound(other, app(**context), securityContext=pod).as_proxy == ((AsProxy("app", expected),) if expected else ())


def test_the_users_of_istio_iptables_arguments_count() -> None:
    given = [init("-u", "2000,2001", "-g", "3000")]
    users = (app("a", runAsUser=1337), app("b", runAsUser=2001), app("c", runAsGroup=3000), app("d", runAsGroup=2000))
    assert outbound(*users, inits=given).as_proxy == (AsProxy("b", "UID 2001"), AsProxy("c", "GID 3000"))


def test_without_a_group_of_its_own_the_proxys_user_is_its_group() -> None:
    assert outbound(app(runAsGroup=2000), inits=[init("-u", "2000")]).as_proxy == (AsProxy("app", "GID 2000"),)


def test_the_cni_plugin_asks_the_proxys_container_who_it_runs_as() -> None:
    proxy = {**PROXY, "securityContext": {"runAsUser": 2000, "runAsGroup": 3000}}
    given = [init("-u", "1337", name="istio-validation")]
    users = (app("a", runAsUser=1337), app("b", runAsUser=2000), app("c", runAsGroup=3000))
    found = outbound(*users, inits=given, proxy=proxy)
    assert found.as_proxy == (AsProxy("b", "UID 2000"), AsProxy("c", "GID 3000"))
    assert found.not_ports == (PortRange(15020, 15020),)


def test_the_cni_plugin_knows_nothing_of_the_pods_variables() -> None:
    env = {"ISTIO_OUTBOUND_OWNER_GROUPS": "7", "ISTIO_OUTBOUND_PORTS": "80"}
    assert outbound(inits=[init(name="istio-validation", env=env)]) == Outbound(not_ports=(PortRange(15020, 15020),))


def test_groups_that_are_redirected_and_groups_that_are_not() -> None:
    users = (app("a", runAsGroup=7), app("b", runAsGroup=8), app("c"))
    only = outbound(*users, inits=[init(env={"ISTIO_OUTBOUND_OWNER_GROUPS": "7"})])
    assert (only.as_proxy, only.unsure) == ((AsProxy("b", "GID 8"),), ("c",))
    but = outbound(*users, inits=[init(env={"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "7"})])
    assert (but.as_proxy, but.unsure) == ((AsProxy("a", "GID 7"),), ())


def test_an_application_on_one_of_istios_ports_is_seen() -> None:
    one = seen(listening(15001, 15002, 15006, 15008, 15020, 15053))
    # Redirected traffic goes to 15001 and 15006, where no application can listen beside the proxy.
    assert [port.number for port in one.ports] == [15002, 15008, 15020, 15053]
    assert one.bypassed == (15008, 15020)


@pytest.mark.parametrize(("target", "port"), [(15020, 15020), ("http-envoy-prom", 15090)])
def test_a_service_that_sends_to_the_proxys_own_ports(target: int | str, port: int) -> None:
    service = Service(Place("shop", "web"), selector={"app": "web"}, ports=(ServicePort(80, target),))
    one = seen(listening(8080), services=[service])
    assert ([found.number for found in one.ports], one.bypassed) == ([8080, port], (port,))


@pytest.mark.parametrize(
    ("more", "bypassed"),
    [
        ([], (15008,)),
        (["-m", "TPROXY"], ()),
        (["-e", "15009"], (15009,)),
        (["-e", "9000"], (9000,)),
        (["-b", "15008,15009"], (8080, 15008)),
    ],
    ids=["first of all", "not in TPROXY's table", "another port for tunnels", "one that nobody declared", "listed"],
)
def test_tunnels_are_never_redirected(more: list[str], bypassed: tuple[int, ...]) -> None:
    assert seen(listening(8080, 15008, 15009), inits=[init(*more)]).bypassed == bypassed


def test_without_ports_in_its_arguments_nothing_is_redirected() -> None:
    assert not seen(inits=[{"name": "istio-init", "args": ["istio-iptables", "-i", "*"]}]).captured
    assert seen(inits=[{"name": "istio-validation", "args": ["istio-iptables", "-i", "*"]}]).captured


def test_ranges_of_ports_that_are_left_out() -> None:
    one = seen(listening(8080, 8091), inits=[init("-d", "8000:8090,9000")])
    assert (one.bypassed, one.others_bypassed) == ((8080, 9000), True)


def test_the_cni_plugin_leaves_out_metrics_and_health_whatever_it_is_given() -> None:
    found = seen(listening(15020, 15021, 15090), inits=[init("-d", "", name="istio-validation")])
    assert found.bypassed == (15020, 15021, 15090)


@pytest.mark.parametrize(
    ("more", "expected", "captured"),
    [
        (["-c", "net1, net2"], ("net1", "net2"), True),
        (["-c", "lo"], (), True),
        (["-k", "k6t-eth0"], ("k6t-eth0",), True),
        (["-c", "eth+"], ("eth+",), False),
        (["-c", "+"], ("+",), False),
        (["-c", "eth1+"], ("eth1+",), True),
    ],
)
def test_interfaces_that_are_left_alone(more: list[str], expected: tuple[str, ...], captured: bool) -> None:  # noqa: FBT001 - a column
    one = seen(inits=[init(*more)])
    assert (one.interfaces, one.captured) == (expected, captured)
