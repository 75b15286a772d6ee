"""What the Envoy of a gateway says of itself, made of a few servers; and the same said in another way."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from meshinstall.engine.mesh.gateway_config import read_gateway_config
from meshinstall.engine.mesh.gateway_pods import GatewayPod
from meshinstall.model.gateway_config import GatewayConfig
from meshinstall.model.mesh import CertificateFacts, Place

POD = GatewayPod(Place("istio-ingress", "istio-ingress-1"), "10.0.0.9")
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
TLS = {"name": "envoy.transport_sockets.tls", "typed_config": {"common_tls_context": {}}}
DAY = datetime(2026, 11, 21, tzinfo=UTC)

Json = dict[str, Any]


def read_roots(pem: bytes) -> tuple[CertificateFacts, ...]:
    """Each line is a certificate, and its fingerprint."""
    return tuple(CertificateFacts(one, "", DAY, DAY) for one in pem.decode().split())


@dataclass
class Dump:
    """The four answers of an Envoy."""

    info: Json
    listeners: list[Json]
    tables: list[Json]
    secrets: list[Json]

    def answers(self) -> list[bytes]:
        """As they come."""
        return [json.dumps(self.info).encode(), *(json.dumps({"configs": one}).encode() for one in self._lists())]

    def config(self, pod: GatewayPod = POD) -> GatewayConfig:
        """What is read of them."""
        return read_gateway_config(self.answers(), pod, read_roots)

    def copy(self) -> "Dump":
        """One of its own."""
        return Dump(*json.loads(json.dumps([self.info, *self._lists()])))

    def _lists(self) -> tuple[list[Json], ...]:
        return self.listeners, self.tables, self.secrets


def info(pod: GatewayPod = POD) -> Json:
    """Whose Envoy it is."""
    return {"state": "LIVE", "node": {"id": f"router~{pod.ip}~{pod.place.name}.{pod.place.namespace}~istio-ingress.svc.cluster.local"}}


def route(path: str, *clusters: str, **match: Any) -> Json:
    """A route of a path prefix to one cluster or to several."""
    weighted = {"clusters": [{"name": one, "weight": 1} for one in clusters]}
    action = {"cluster": clusters[0]} if len(clusters) == 1 else {"weighted_clusters": weighted}
    return {"match": {"prefix": path, "case_sensitive": True, **match}, "route": {**action, "timeout": "0s"}}


def http(port: int, hosts: Mapping[str, Sequence[Json]], *, names: Sequence[str] = (), table: str = "") -> tuple[Json, Json]:
    """A listener with one chain, and its route configuration; one with server names terminates TLS."""
    named = table or f"http.{port}"
    config = {"@type": MANAGER, "stat_prefix": f"outbound_0.0.0.0_{port}", "rds": {"route_config_name": named}}
    chain: Json = {"filters": [{"name": "http", "typed_config": config}]}
    if names:
        chain |= {"filter_chain_match": {"server_names": [*names]}, "transport_socket": TLS}
    virtual = [{"name": f"{domain}:{port}", "domains": [domain], "routes": [*some]} for domain, some in hosts.items()]
    return listener(port, chain), {"version_info": "1", "route_config": {"name": named, "virtual_hosts": virtual}}


def tcp(port: int, *clusters: str, names: Sequence[str] = ()) -> Json:
    """A listener that passes connections on, by server name where there are some."""
    weighted = {"clusters": [{"name": one, "weight": 1} for one in clusters]}
    action = {"cluster": clusters[0]} if len(clusters) == 1 else {"weighted_clusters": weighted}
    chain: Json = {"filters": [{"name": "tcp", "typed_config": {"@type": PROXY, "stat_prefix": "x", **action}}]}
    if names:
        chain["filter_chain_match"] = {"server_names": [*names], "transport_protocol": "tls"}
    return listener(port, chain)


def listener(port: int, *chains: Json) -> Json:
    """As it stands in the dump."""
    address = {"socket_address": {"address": "0.0.0.0", "port_value": port}}  # noqa: S104 - nothing is bound here
    name = f"0.0.0.0_{port}"
    return {"name": name, "active_state": {"version_info": "7", "listener": {"name": name, "address": address, "filter_chains": [*chains]}}}


def secret(name: str, *roots: str) -> Json:
    """A secret that came: a certificate, or roots."""
    inline = base64.b64encode("\n".join(roots).encode()).decode()
    held: Json = {"validation_context": {"trusted_ca": {"inline_bytes": inline}}} if roots else {"tls_certificate": {}}
    return {"name": name, "version_info": "1", "secret": {"name": name, **held}}


def shop() -> Dump:
    """A gateway with plain HTTP, HTTPS for two names, and TCP."""
    web, api = "outbound|80||web.shop.svc.cluster.local", "outbound|80||api.shop.svc.cluster.local"
    plain, plain_table = http(80, {"shop.example.com": [route("/", web), route("/api", api)], "*": [route("/", web)]})
    hosts = {"shop.example.com": [route("/", web)], "api.example.com": [route("/", api)]}
    secure, secure_table = http(443, hosts, names=["shop.example.com", "api.example.com"], table="https.443.https.shop.shop")
    return Dump(
        info(),
        [plain, secure, tcp(9000, "outbound|9000||db.shop.svc.cluster.local")],
        [plain_table, secure_table],
        [secret("default"), secret("ROOTCA", "root-1"), secret("kubernetes://shop-tls")],
    )


_LABEL = st.text("abcdefghij", min_size=1, max_size=5)
_CLUSTERS = st.lists(_LABEL.map(lambda one: f"outbound|80||{one}.shop.svc.cluster.local"), min_size=1, max_size=3, unique=True)
_ROUTES = st.lists(st.tuples(_LABEL, _CLUSTERS), min_size=1, max_size=3, unique_by=lambda one: one[0])
_HOSTS = st.lists(st.tuples(_LABEL, _ROUTES), min_size=1, max_size=3, unique_by=lambda one: one[0])


@st.composite
def dumps(draw: st.DrawFn) -> Dump:
    """A gateway with up to four listeners."""
    made = Dump(info(), [], [], [secret("default"), secret("ROOTCA", *draw(st.lists(_LABEL, min_size=1, max_size=3, unique=True)))])
    for port in draw(st.lists(st.integers(1, 65535), max_size=4, unique=True)):
        kind = draw(st.sampled_from(["http", "https", "tcp", "tls"]))
        hosts = {f"{name}.example.com": [route(f"/{path}", *some) for path, some in routes] for name, routes in draw(_HOSTS)}
        if kind in {"tcp", "tls"}:
            made.listeners.append(tcp(port, *draw(_CLUSTERS), names=[*hosts] if kind == "tls" else ()))
            continue
        found, table = http(port, hosts, names=[*hosts] if kind == "https" else (), table=f"{kind}.{port}")
        made.listeners.append(found)
        made.tables.append(table)
        if kind == "https":
            made.secrets.append(secret(f"kubernetes://tls-{port}"))
    return made


def chains(dump: Dump) -> list[Json]:
    """All filter chains."""
    return [chain for one in dump.listeners for chain in one["active_state"]["listener"]["filter_chains"]]


def hosts_of(dump: Dump) -> list[Json]:
    """All virtual hosts."""
    return [host for one in dump.tables for host in one["route_config"]["virtual_hosts"]]


def removals(dump: Dump) -> list[tuple[str, Callable[[], object]]]:
    """Every element that can be taken out of a dump, with words that must name it, and how it is taken out."""
    found: list[tuple[str, Callable[[], object]]] = []

    def of(items: list[Any], words: Callable[[Any], str]) -> None:
        found.extend((words(one), lambda one=one: items.remove(one)) for one in items)  # type: ignore[misc]

    of(dump.listeners, lambda one: f"listener {one['name'].replace('_', ':')}")
    for chain in chains(dump):
        names = chain.get("filter_chain_match", {}).get("server_names", [])
        if len(names) > 1:
            of(names, lambda one: f"server name {one},")
    for host in hosts_of(dump):
        of(host["routes"], lambda one, host=host: f"host {host['domains'][0]}, path prefix {one['match']['prefix']}")  # type: ignore[misc]
    for table in dump.tables:
        of(table["route_config"]["virtual_hosts"], lambda one: f"host {one['domains'][0]},")
    of(dump.secrets, lambda one: f"secret {one['name']}")
    return found


def other_words(data: st.DataObject, dump: Dump) -> Dump:
    """The same gateway as another version of Istio, another pod or another push would say it."""
    said = dump.copy()
    mark = data.draw(_LABEL)
    for number, table in enumerate(said.tables):
        before = table["route_config"]["name"]
        table["route_config"]["name"] = f"{mark}.{number}"
        table["version_info"] = mark
        for chain in chains(said):
            rds = chain["filters"][0]["typed_config"].get("rds")
            if rds and rds["route_config_name"] == before:
                rds["route_config_name"] = f"{mark}.{number}"
    for host in hosts_of(said):
        host["name"] = mark
        host["routes"] = data.draw(st.permutations(host["routes"]))
        for one in host["routes"]:
            one |= {"name": mark, "metadata": {"filter_metadata": {"istio": {"config": mark}}}, "decorator": {"operation": mark}}
            one["route"] |= {"timeout": "15s", "retry_policy": {"num_retries": 3}}
            if data.draw(st.booleans()):
                del one["match"]["case_sensitive"]
    for one in said.listeners:
        one["name"] = f"{mark}-{one['name']}"
        one["active_state"]["version_info"] = mark
        one["active_state"]["listener"] |= {"name": mark, "metadata": {mark: {}}, "listener_filters": [{"name": mark}]}
    for chain in chains(said):
        chain["name"] = mark
        chain["filters"][0]["typed_config"] |= {"stat_prefix": mark, "stream_idle_timeout": "1s", "server_name": mark}
        chain["filters"].insert(0, {"name": mark, "typed_config": {"@type": "type.googleapis.com/envoy.rbac.v3.RBAC"}})
    for chain in chains(said):
        chain["filters"].reverse()
    return Dump(
        said.info,
        data.draw(st.permutations(said.listeners)),
        data.draw(st.permutations(said.tables)),
        data.draw(st.permutations(said.secrets)),
    )
