"""Proxies that know many hosts are read in pieces, and what they are told alike from one of them."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from meshinstall.engine.mesh.clients import Group, ask_clients
from meshinstall.engine.mesh.outlook_reader import Hosts, Reader
from meshinstall.engine.mesh.special_hosts import Special, plain_pods
from meshinstall.errors import ClusterError
from meshinstall.model.clients import Outlook, Tls
from meshinstall.model.istio import full_host
from meshinstall.model.mesh import ClientRule, Dataplane, Place, Pod, ServiceFacts
from tests.envoy_clients import Admin, assignment, automatic, cluster
from tests.fake_kube import NOON
from tests.fakes import FakePods

pytestmark = pytest.mark.anyio

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


def rule(place: str, host: str) -> ClientRule:
    return ClientRule(Place(*place.split("/")), host, NOON)


def service(number: int) -> ServiceFacts:
    app = {"app": f"web-{number}"}
    return ServiceFacts(Place(f"team-{number % 50}", f"web-{number}"), app, {80: 8080}, addresses=(f"10.9.{number // 250}.{number % 250}",))


def hosts(count: int, *rules: ClientRule) -> Hosts:
    special = Special(hosts=frozenset(full_host(one.host, one.place.namespace, "cluster.local") for one in rules))
    return Hosts.of(map(service, range(count)), "cluster.local", special)


async def look(admins: Mapping[Place, Admin], told: Hosts) -> dict[str, Outlook]:
    groups = [Group((pod(place.namespace),), "sidecar") for place in admins]
    found = await ask_clients(groups, Admins(admins), told)
    assert all(group.asked for group in found), [group.problem for group in found]
    return {group.pods[0].namespace: group.outlook for group in found}


async def test_fifty_proxies_that_know_two_thousand_hosts_take_sixty_eight_small_answers() -> None:
    one = admin(2000)
    admins = {Place(f"team-{number}", "client"): one for number in range(50)}
    found = await look(admins, hosts(2000))
    # The names from each; from one of them 2,000 clusters with their endpoints by 250, and two about its listeners.
    assert len(one.asked) == 50 + 2 * 8 + 2
    assert max(one.asked) <= MIB
    assert len(set(map(id, found.values()))) == 1
    (outlook,) = set(found.values())
    assert {cluster.name for cluster in outlook.clusters} == {name(number) for number in range(2000)}
    assert {end.tls for cluster in outlook.clusters for end in cluster.endpoints} == {Tls.MESH}


async def test_what_may_differ_is_read_from_each() -> None:
    admins = {Place("a", "client"): admin(300), Place("b", "client"): admin(300, plain=(7,)), Place("c", "client"): admin(299)}
    found = await look(admins, hosts(300, rule("b/web", "web-7.team-7.svc.cluster.local")))
    plain = {where: [one.host for one in outlook.clusters if one.endpoints[0].tls is Tls.PLAINTEXT] for where, outlook in found.items()}
    assert plain == {"a": [], "b": ["web-7.team-7.svc.cluster.local"], "c": []}
    assert [len(outlook.clusters) for outlook in found.values()] == [300, 300, 299]


async def test_few_hosts_are_read_at_once() -> None:
    one = admin(20, plain=(3,))
    found = await look({Place("a", "client"): one}, hosts(20))
    assert len(one.asked) == 4
    assert [end.tls for cluster in found["a"].clusters for end in cluster.endpoints].count(Tls.PLAINTEXT) == 1


async def test_whoever_does_not_answer_leaves_the_others_to_be_read() -> None:
    one = admin(300)
    told = hosts(300)
    reader = Reader(Admins({Place("b", "client"): one}), told)
    with pytest.raises(ClusterError):
        await reader.outlook(pod("a"))
    assert len((await reader.outlook(pod("b"))).clusters) == 300


@pytest.mark.parametrize(("count", "told"), [(20, hosts(20)), (300, hosts(301)), (300, replace(hosts(300), taken=True))])
async def test_each_says_where_it_listens_and_whether_it_passes_on_the_rest(count: int, told: Hosts) -> None:
    bound = admin(count)
    bound.listens = [("127.0.0.1", 80), ("127.0.0.1", 15080)]
    found = await look({Place("a", "client"): admin(count), Place("b", "client"): bound}, told)
    assert [outlook.passes_on for outlook in found.values()] == [True, True]
    listens = [sorted(outlook.listens or ()) for outlook in found.values()]
    assert listens == [[("0.0.0.0", 80)], [("127.0.0.1", 80), ("127.0.0.1", 15080)]]  # noqa: S104 - nothing is bound here


@pytest.mark.parametrize(
    ("ports", "more", "taken"),
    [({80: 8080}, {}, False), ({15021: 15021}, {}, False), ({15090: 8080}, {}, True), ({15021: 15021}, {15021: (8080,)}, True)],
)
def test_who_takes_all_services_alike_leaves_none_at_a_port_of_the_proxy(
    ports: dict[int, int],
    more: dict[int, tuple[int, ...]],
    taken: bool,  # noqa: FBT001 - a column
) -> None:
    one = replace(service(1), ports=ports, more_ports=more)
    assert Hosts.of([one], "cluster.local", Special()).taken is taken


async def test_listeners_of_a_kind_are_read_from_one_that_knows_all_services() -> None:
    hidden, usual, other = admin(299), admin(300), admin(300)
    found = await look({Place("a", "client"): hidden, Place("b", "client"): usual, Place("c", "client"): other}, hosts(300))
    assert {outlook.passes_on for outlook in found.values()} == {True}
    assert [outlook.listens for outlook in found.values()] == [frozenset(usual.listens)] * 3
    assert sum("virtualOutbound" in pattern for one in (hidden, usual, other) for pattern in one.patterns) == 2
    assert "virtualOutbound" in "".join(hidden.patterns)


WEB = ServiceFacts(Place("shop", "web"), {"app": "web"}, {80: 8080}, addresses=("10.9.0.1",))
PLAIN = Pod(Place("shop", "web-1"), "Deployment web", Dataplane.NONE, labels={"app": "web"})
OFF = Pod(Place("shop", "web-1"), "Deployment web", Dataplane.SIDECAR, labels={"app": "web", "security.istio.io/tlsMode": "disabled"})


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (Special(), True),
        (Special(hosts=frozenset({"web.shop.svc.cluster.local"})), False),
        (Special(hosts=frozenset({"*.shop.svc.cluster.local"})), False),
        (Special(hosts=frozenset({"*.local"})), False),
        (Special(hosts=frozenset({"*"})), False),
        (Special(hosts=frozenset({"web.crm.svc.cluster.local"})), True),
        (Special(services=frozenset({("shop", "web")})), False),
        (Special(namespaces=frozenset({"shop"})), False),
        (Special(pods=plain_pods([PLAIN])), False),
        (Special(pods=plain_pods([OFF])), False),
        (Special(pods=plain_pods([replace(PLAIN, labels={"app": "other"})])), True),
        (Special(everything=True), False),
    ],
)
def test_one_proxy_speaks_for_others_only_of_what_no_object_is_about(told: Special, found: bool) -> None:  # noqa: FBT001 - a column
    assert ("web.shop.svc.cluster.local" in Hosts.of([WEB], "cluster.local", told).plain) is found


@pytest.mark.parametrize("special", [replace(WEB, addresses=()), replace(WEB, selector={}), replace(WEB, type="ExternalName")])
def test_headless_services_and_those_without_pods_are_read_from_each(special: ServiceFacts) -> None:
    assert Hosts.of([special], "cluster.local", Special()).plain == frozenset()


def test_a_rules_short_host_is_a_service_beside_it() -> None:
    assert full_host("web", "shop", "cluster.local") == "web.shop.svc.cluster.local"
    assert full_host("pay.example", "shop", "cluster.local") == "pay.example"


async def test_long_names_make_shorter_pieces() -> None:
    long = {f"outbound|80||{'n' * 60}-{number}.{'s' * 60}.svc.cluster.local": number for number in range(400)}
    one = Admin({name: cluster(name) for name in long}, {name: assignment(name, ("10.0.0.1", 8080, True)) for name in long})
    outlook = await Reader(Admins({Place("a", "client"): one}), hosts(300)).outlook(pod("a"))
    assert len(outlook.clusters) == 400
    assert max(len(regex) for regex in one.patterns) < 28_000
