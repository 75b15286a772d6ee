"""An Envoy's outbound clusters and endpoints in JSON as its admin interface prints them, with masks and name_regex as it knows them."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from meshinstall.errors import ClusterError

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
RAW = {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {"@type": "type.googleapis.com/envoy…RawBuffer"}}


def _secret(name: str) -> dict[str, Any]:
    """As istiod asks for secrets (istio: pilot/pkg/security/model/authentication.go)."""
    service = {"envoy_grpc": {"cluster_name": "sds-grpc"}}
    source = {"api_type": "GRPC", "grpc_services": [service], "set_node_on_first_message_only": True, "transport_api_version": "V3"}
    return {"name": name, "sds_config": {"api_config_source": source, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}}


def mutual(host: str, namespace: str) -> dict[str, Any]:
    """The mesh's own TLS."""
    names = [{"exact": f"spiffe://cluster.local/ns/{namespace}/sa/default"}]
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["istio-peer-exchange", "istio"],
        "tls_certificate_sds_secret_configs": [_secret("default")],
        "combined_validation_context": {
            "default_validation_context": {"match_subject_alt_names": names},
            "validation_context_sds_secret_config": _secret("ROOTCA"),
        },
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": TLS, "common_tls_context": common, "sni": host}}


def automatic(host: str, namespace: str) -> list[dict[str, Any]]:
    """Automatic mTLS: by what the endpoint says of itself."""
    return [
        {"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transport_socket": mutual(host, namespace)},
        {"name": "tlsMode-disabled", "match": {}, "transport_socket": RAW},
    ]


def cluster(name: str, **more: Any) -> dict[str, Any]:
    """A cluster that has its endpoints from istiod."""
    return {"name": name, "type": "EDS", "eds_cluster_config": {"service_name": name}, **more}


def assignment(name: str, *endpoints: tuple[str, int, bool]) -> dict[str, Any]:
    """Endpoints: address, port, and whether they take mTLS."""
    rows = []
    for address, port, meshed in endpoints:
        metadata: dict[str, Any] = {"istio": {"workload": "web;shop;web;;Kubernetes"}}
        metadata |= {"envoy.transport_socket_match": {"tlsMode": "istio"}} if meshed else {}
        where = {"address": {"socket_address": {"address": address, "port_value": port}}, "health_check_config": {}}
        rows.append({"endpoint": where, "health_status": "HEALTHY", "metadata": {"filter_metadata": metadata}, "load_balancing_weight": 1})
    return {"cluster_name": name, "endpoints": [{"locality": {}, "lb_endpoints": rows, "load_balancing_weight": 1}]}


def listener(target: str = "PassthroughCluster") -> dict[str, Any]:
    """The listener that takes what no other does."""
    proxy = {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster": target}
    chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy}]}
    return {"name": "virtualOutbound", "active_state": {"listener": {"name": "virtualOutbound", "filter_chains": [chain]}}}


def status(address: str, port: int) -> dict[str, Any]:
    """A listener as ``/listeners`` tells it."""
    return {"name": f"{address}_{port}", "local_address": {"socket_address": {"address": address, "port_value": port}}}


class Admin:
    """Answers ``/config_dump`` and ``/listeners`` of one Envoy.

    ``asked`` are the sizes of its answers, ``patterns`` those that it was asked for, ``listens`` where it has listeners.
    """

    def __init__(self, clusters: Mapping[str, Mapping[str, Any]], assignments: Mapping[str, Mapping[str, Any]], passes: str = "") -> None:
        self.clusters = clusters
        self.assignments = assignments
        self.listener = listener(passes or "PassthroughCluster")
        self.listens = [("0.0.0.0", 80)]  # noqa: S104 - nothing is bound here
        self.asked: list[int] = []
        self.patterns: list[str] = []

    def get(self, path: str) -> bytes:
        """The answer; 404 where Envoy has nothing of the kind."""
        query = parse_qs(urlsplit(path).query)
        if path.startswith("/listeners"):
            return self._said(json.dumps({"listener_statuses": [status(*address) for address in self.listens]}, indent=1))
        wanted = re.compile(query.get("name_regex", [".*"])[0])
        self.patterns.append(wanted.pattern)
        match query["resource"][0]:
            case "dynamic_active_clusters":
                fields = [mask.removeprefix("cluster.") for mask in query["mask"][0].split(",")]
                found: list[Any] = [{"cluster": _masked(one, fields)} for name, one in self.clusters.items() if wanted.fullmatch(name)]
            case "dynamic_endpoint_configs":
                if not self.assignments:
                    raise ClusterError("HTTP 404")
                found = [{"endpoint_config": one} for name, one in self.assignments.items() if wanted.fullmatch(name)]
            case _:
                found = [self.listener]
        return self._said(json.dumps({"configs": found} if found else {}, indent=1))

    def _said(self, answer: str) -> bytes:
        self.asked.append(len(answer))
        return answer.encode()


def _masked(told: Mapping[str, Any], fields: list[str]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if any(field.split(".")[0] == name for field in fields)}
