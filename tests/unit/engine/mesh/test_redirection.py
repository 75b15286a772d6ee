"""Which of a pod's own connections are redirected to its proxy, as its spec shows it."""

from typing import Any

import pytest

from meshinstall.engine.mesh.pods import pod as read_pod
from meshinstall.model.mesh import AsProxy, Outbound, PortRange

ALL = ["-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020"]
PROXY = {"name": "istio-proxy", "args": ["proxy", "sidecar"], "securityContext": {"runAsUser": 1337, "runAsGroup": 1337}}
OPEN = Outbound()


def init(*more: str, name: str = "istio-init", env: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "args": ["istio-iptables", *ALL, *more, "--log_output_level=default:info"],
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
    }


def app(name: str = "app", **context: Any) -> dict[str, Any]:
    return {"name": name, "securityContext": context}


def outbound(*containers: dict[str, Any], inits: Any = None, proxy: Any = None, **spec: Any) -> Outbound:
    whole = {"initContainers": [init()] if inits is None else inits, "containers": [*(containers or [app()]), proxy or PROXY], **spec}
    item = {"metadata": {"name": "web", "namespace": "shop"}, "spec": whole, "status": {"phase": "Running"}}
    seen = read_pod(item, frozenset())
    assert seen is not None
    return seen.pod.outbound


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
