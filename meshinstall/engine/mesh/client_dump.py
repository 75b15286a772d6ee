"""Reads from an Envoy what it would do with the connections of its own pod (its admin interface: ``/config_dump``).

Field masks keep the answers small: Envoy cannot mask below a repeated field, so sockets come whole.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from meshinstall.engine.mesh.large_answers import parsed
from meshinstall.engine.objects.json_fields import at, number, rows, table, text
from meshinstall.errors import ClusterError
from meshinstall.model.clients import Endpoint, OutboundCluster, Tls

# istiod's names for the listener that takes all outbound traffic and for the cluster that passes on what is not known
# (istio: pilot/pkg/model/context.go, pilot/pkg/networking/util/util.go).
_LISTENER = "virtualOutbound"
_CATCH_ALL = (_LISTENER, "virtualInbound")
_PASSTHROUGH = "PassthroughCluster"
# The workload's secrets (istio: pkg/security/security.go).
_CERTIFICATE, _ROOT = "default", "ROOTCA"
_MATCH = "envoy.transport_socket_match"
_RAW = ("", "envoy.transport_sockets.raw_buffer")
_TLS = "envoy.transport_sockets.tls"
_INTERNAL = "envoy.transport_sockets.internal_upstream"
# Sockets around another one.
_WRAPPERS = ("envoy.transport_sockets.upstream_proxy_protocol", "envoy.transport_sockets.tap")
# direction|port|subset|host (istio: pilot/pkg/model/service.go, BuildSubsetKey).
_NAME = re.compile(r"outbound\|(\d{1,5})\|([^|]*)\|(.+)")
# What istiod and the agent make for the proxy itself, and gateways' ways for TLS that passes through.
_OWN = re.compile(
    r"inbound\||outbound_\.|InboundPassthroughCluster|PassthroughCluster$|BlackHoleCluster$|prometheus_stats$|agent$|(sds|xds)-grpc$"
)
# Bytes of one answer: a cluster takes 2.5 KiB.
_MAX_ANSWER = 8 * 1024**2
_CLUSTER_FIELDS = ("name", "type", "eds_cluster_config.service_name", "load_assignment", "transport_socket", "transport_socket_matches")
NAMES = "/config_dump?resource=dynamic_active_clusters&mask=cluster.name"
CLUSTERS = "/config_dump?resource=dynamic_active_clusters&mask=" + quote(",".join(f"cluster.{name}" for name in _CLUSTER_FIELDS), safe=",")
ENDPOINTS = "/config_dump?include_eds&resource=dynamic_endpoint_configs&mask=endpoint_config.cluster_name,endpoint_config.endpoints"
# Where it has listeners: their addresses alone, which no field mask of a dump can choose.
ADDRESSES = "/listeners?format=json"
LISTENER = f"/config_dump?resource=dynamic_listeners&name_regex={quote(f'^{_LISTENER}$', safe='')}"


def read_clusters(clusters: bytes, endpoints: bytes, *, whole: bool = False) -> tuple[OutboundCluster, ...]:
    """The answers to ``CLUSTERS`` and ``ENDPOINTS``, to the ``whole`` of them; raises ClusterError for what no Envoy says."""
    with _refusing():
        assigned = {text(at(one, "cluster_name")): one for one in _configs(endpoints, "endpoint_config")}
        held = _configs(clusters, "cluster")
        if whole:
            _refuse_nothing(held)
        return tuple(_cluster(one, assigned) for one in held if not _OWN.match(text(at(one, "name"))))


def read_passing_on(listener: bytes) -> bool:
    """The answer to ``LISTENER``: whether what is not known leaves as it came; raises ClusterError."""
    with _refusing():
        return any(name == _PASSTHROUGH for name in _targets(listener))


def read_addresses(listeners: bytes) -> frozenset[tuple[str, int]]:
    """The answer to ``ADDRESSES``: where its listeners take connections; raises ClusterError."""
    with _refusing():
        held = rows(at(_parsed(listeners), "listener_statuses"))
        own = [at(one, "local_address") for one in held if text(at(one, "name")) not in _CATCH_ALL]
        more = [address for one in held for address in rows(at(one, "additional_local_addresses"))]
        sockets = [at(one, "socket_address") for one in (*own, *more)]
        return frozenset((text(at(one, "address")), number(at(one, "port_value"))) for one in sockets)


def read_names(clusters: bytes) -> set[str]:
    """The answer to ``NAMES``: the clusters; raises ClusterError."""
    with _refusing():
        held = _configs(clusters, "cluster")
        _refuse_nothing(held)
        return {name for one in held if not _OWN.match(name := text(at(one, "name")))}


def host_of(name: str) -> str:
    """The host of a cluster by its name, which stands for itself where istiod did not make it."""
    parts = _NAME.fullmatch(name)
    return parts[3] if parts else name


def ordered(clusters: Iterable[OutboundCluster]) -> tuple[OutboundCluster, ...]:
    """The same clusters always in the same order; two may have one name."""
    return tuple(sorted(clusters, key=lambda one: (*one[:4], one.anywhere or "", one.endpoints)))


def _refuse_nothing(clusters: list[Any]) -> None:
    # istiod gives every proxy some, such as BlackHoleCluster.
    if not clusters:
        raise ClusterError("its Envoy has no clusters yet")


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ClusterError(f"its Envoy's answer could not be parsed: {error}") from error


def _configs(data: bytes, part: str) -> list[Any]:
    """The resources of a dump; an empty one has none."""
    return [at(one, part) for one in rows(at(_parsed(data), "configs"))]


def _parsed(data: bytes) -> Any:
    return parsed(data, _MAX_ANSWER)


def _kind(cluster: Any) -> str:
    # The first of the API's list is not written; a type of an extension has its own field.
    return text(at(cluster, "type")) or "STATIC"


def _cluster(cluster: Any, assigned: Mapping[str, Any]) -> OutboundCluster:
    name, kind = text(at(cluster, "name")), _kind(cluster)
    parts = _NAME.fullmatch(name)
    port, subset, host = (int(parts[1]), parts[2], parts[3]) if parts else (0, "", name)
    if kind == "ORIGINAL_DST":
        return OutboundCluster(name, host, port, subset, _socket(cluster, {}), ())
    key = text(at(cluster, "eds_cluster_config", "service_name")) or name
    if kind == "EDS" and key not in assigned:
        return OutboundCluster(name, host, port, subset, Tls.UNKNOWN, ())
    held = assigned[key] if kind == "EDS" else at(cluster, "load_assignment")
    found = {endpoint for one in _endpoints(held) for endpoint in _addresses(cluster, one)}
    return OutboundCluster(name, host, port, subset, None, tuple(sorted(found)))


def _endpoints(assignment: Any) -> Iterator[Any]:
    for locality in rows(at(assignment, "endpoints")):
        yield from rows(at(locality, "lb_endpoints"))


def _addresses(cluster: Any, one: Any) -> Iterator[Endpoint]:
    """An endpoint with addresses of two IP families has all but the first beside it."""
    tls = _socket(cluster, table(at(one, "metadata", "filter_metadata", _MATCH)))
    more = (at(other, "address") for other in rows(at(one, "endpoint", "additional_addresses")))
    for address in (at(one, "endpoint", "address"), *more):
        if internal := at(address, "envoy_internal_address"):
            host, _, port = text(at(internal, "endpoint_id")).rpartition(":")
            yield Endpoint(host.strip("[]"), int(port) if port.isdecimal() else 0, tls)
        else:
            socket = at(address, "socket_address")
            yield Endpoint(text(at(socket, "address")).lower().rstrip("."), number(at(socket, "port_value")), tls)


def _socket(cluster: Any, metadata: Mapping[str, Any]) -> Tls:
    """The first match of which the endpoint has every word, else the cluster's own (envoy: transport_socket_match_impl.cc)."""
    for one in rows(at(cluster, "transport_socket_matches")):
        if table(at(one, "match")).items() <= metadata.items():
            return _tls(at(one, "transport_socket"))
    return _tls(at(cluster, "transport_socket"))


def _tls(socket: Any) -> Tls:
    name = text(at(socket, "name"))
    if name in _RAW:
        return Tls.PLAINTEXT
    if name == _INTERNAL:
        return Tls.TUNNEL
    config = table(at(socket, "typed_config"))
    if name in _WRAPPERS:
        return _tls(config.get("transport_socket"))
    if name != _TLS:
        return Tls.UNKNOWN
    common = table(config.get("common_tls_context"))
    certificates = {text(at(one, "name")) for one in rows(common.get("tls_certificate_sds_secret_configs"))}
    root = text(at(common, "combined_validation_context", "validation_context_sds_secret_config", "name"))
    return Tls.MESH if certificates == {_CERTIFICATE} and root == _ROOT else Tls.OTHER


def _targets(listener: bytes) -> Iterator[str]:
    """The clusters to which the outbound listener sends what it does not know."""
    for one in _configs(listener, "active_state"):
        held = at(one, "listener")
        for chain in (*rows(at(held, "filter_chains")), at(held, "default_filter_chain")):
            for part in rows(at(chain, "filters")):
                config = table(at(part, "typed_config"))
                if text(config.get("@type")).endswith(".TcpProxy"):
                    yield text(config.get("cluster"))
                    yield from (text(at(each, "name")) for each in rows(at(config, "weighted_clusters", "clusters")))
