"""Proxies that know many hosts are read in pieces, and what they are told alike from one of them."""

from collections.abc import Mapping
from typing import Any

import pytest

from meshinstall.engine.mesh.clients import Group, ask_clients
from meshinstall.engine.mesh.outlook_reader import Hosts, Reader
from meshinstall.errors import ClusterError
from meshinstall.model.clients import Outlook, Tls
from meshinstall.model.mesh import ClientRule, Dataplane, Place, Pod
from tests.envoy_clients import Admin, assignment, automatic, cluster
from tests.fake_kube import NOON
from tests.fakes import FakePods

pytestmark = pytest.mark.anyio

ROOTS = frozenset({"istio-system"})
MIB = 1024**2


class Admins(FakePods):
    """The Envoys of some pods."""

    def __init__(self, admins: Mapping[Place, Admin]) -> None:
        super().__init__()
        self.admins = admins

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """What the Envoy of a pod answers."""
        try:
            return self.admins[Place(namespace, pod)].get(path)
        except KeyError:
            raise ClusterError(f"no port-forward to {namespace}/{pod}, {port}") from None


def name(number: int) -> str:
    return f"outbound|80||web-{number}.team-{number % 50}.svc.cluster.local"


def admin(count: int, plain: tuple[int, ...] = ()) -> Admin:
    """An Envoy that knows so many hosts; to the endpoints of some it sends plaintext."""
    hosts = {number: (f"web-{number}.team-{number % 50}.svc.cluster.local", f"team-{number % 50}") for number in range(count)}
    clusters = {name(number): cluster(name(number), transport_socket_matches=automatic(*told)) for number, told in hosts.items()}
    ends = {name(number): assignment(name(number), (f"10.1.{number // 250}.{number % 250}", 8080, number not in plain)) for number in hosts}
    return Admin({"PassthroughCluster": cluster("PassthroughCluster"), **clusters}, ends)


def pod(namespace: str) -> Pod:
    return Pod(Place(namespace, "client"), "Deployment client", Dataplane.SIDECAR)


def rule(place: str, host: str, **more: Any) -> ClientRule:
    return ClientRule(Place(*place.split("/")), host, NOON, **more)


def hosts(count: int, *rules: ClientRule) -> Hosts:
    return Hosts.of("cluster.local", count, ROOTS, rules)


async def look(admins: Mapping[Place, Admin], told: Hosts) -> dict[str, Outlook]:
    groups = [Group((pod(place.namespace),), "sidecar") for place in admins]
    found = await ask_clients(groups, Admins(admins), told)
    assert all(group.asked for group in found), [group.problem for group in found]
    return {group.pods[0].namespace: group.outlook for group in found}


async def test_fifty_proxies_that_know_two_thousand_hosts_take_less_than_a_hundred_small_answers() -> None:
    one = admin(2000)
    admins = {Place(f"team-{number}", "client"): one for number in range(50)}
    found = await look(admins, hosts(2000))
    assert len(one.asked) <= 100
    assert max(one.asked) <= MIB
    assert len(set(map(id, found.values()))) == 1
    (outlook,) = set(found.values())
    assert {cluster.name for cluster in outlook.clusters} == {name(number) for number in range(2000)}
    assert {end.tls for cluster in outlook.clusters for end in cluster.endpoints} == {Tls.MESH}
    assert outlook.passes_on


async def test_what_may_differ_is_read_from_each() -> None:
    admins = {Place("a", "client"): admin(300), Place("b", "client"): admin(300, plain=(7,)), Place("c", "client"): admin(299)}
    found = await look(admins, hosts(300, rule("b/web", "web-7.team-7.svc.cluster.local")))
    plain = {where: [one.host for one in outlook.clusters if one.endpoints[0].tls is Tls.PLAINTEXT] for where, outlook in found.items()}
    assert plain == {"a": [], "b": ["web-7.team-7.svc.cluster.local"], "c": []}
    assert [len(outlook.clusters) for outlook in found.values()] == [300, 300, 299]


async def test_few_hosts_are_read_at_once() -> None:
    one = admin(20, plain=(3,))
    found = await look({Place("a", "client"): one}, hosts(20))
    assert len(one.asked) == 3
    assert [end.tls for cluster in found["a"].clusters for end in cluster.endpoints].count(Tls.PLAINTEXT) == 1


async def test_whoever_does_not_answer_leaves_the_others_to_be_read() -> None:
    one = admin(300)
    told = hosts(300)
    reader = Reader(Admins({Place("b", "client"): one}), told)
    with pytest.raises(ClusterError):
        await reader.outlook(pod("a"))
    assert len((await reader.outlook(pod("b"))).clusters) == 300


@pytest.mark.parametrize(
    ("told", "alike"),
    [
        ((), True),
        ((rule("shop/web", "web"),), True),
        ((rule("shop/web", "web.shop.svc.cluster.local", export_to=("*",)),), True),
        ((rule("istio-system/all", "*.local"),), True),
        ((rule("shop/web", "web", export_to=("crm",)),), False),
        ((rule("shop/web", "web", selector={"app": "x"}),), False),
        ((rule("crm/web", "web.shop.svc.cluster.local"),), False),
        ((rule("crm/all", "*.shop.svc.cluster.local"),), False),
        ((rule("crm/all", "*.local"),), False),
        ((rule("crm/all", "*"),), False),
        ((rule("crm/web", "web"),), True),
    ],
)
def test_a_rule_for_some_clients_makes_a_host_unlike(told: tuple[ClientRule, ...], alike: bool) -> None:  # noqa: FBT001 - a column
    assert hosts(1, *told).is_alike("web.shop.svc.cluster.local") is alike


def test_two_hosts_outside_kubernetes_may_have_one_name() -> None:
    assert not hosts(1).is_alike("pay.example")
