"""The objects of live probes, all in one namespace that is removed afterwards.

Only the image that the mesh itself injects is used. ``client`` is a sidecar
that captures nothing. An EnvoyFilter gives its Envoy a listener on its own
loopback, which only a port-forward reaches: a POST with an address in a header
becomes a connection to that address, its body and that of the answer the bytes
(Envoy: ``connect_config.allow_post``), either as they are or inside the mesh's
TLS with the client's own identity. ``target`` is injected as any other pod and
serves HTTP on a port that it declares, so that a mesh without workloads can be
proven too.

A caller is such a client elsewhere: a pod in the namespace of a service account that it runs as, whose certificate is the account's.
It and its EnvoyFilter belong to the probes' namespace: whoever deletes that lets Kubernetes delete them too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshinstall.model.istio import PROXY_CONTAINER
from meshinstall.model.labels import REVISION
from meshinstall.model.ownership import HOLDER
from meshinstall.model.place import Place
from meshinstall.model.wire import PROBE_LABEL

CLIENT = "client"
TARGET = "target"
# The client's listener on its loopback, and what it takes and tells.
LISTENER = 15480
READY = "/ready"
PLAIN = "/plain"
MESH_TLS12 = "/mesh-tls12"
MESH_TLS13 = "/mesh-tls13"
MESH_HTTP = "/mesh-http"
MESH_TCP = "/mesh-tcp"
ADDRESS = "x-probe-address"
PEER = "x-probe-peer"
OWN = "x-probe-own"
TLS = "x-probe-tls"
WHY = "x-probe-why"
DETAILS = "x-probe-details"
# A port that Istio has no meaning for.
_SERVED = 8080
_ACCOUNT = "probe"
_MANAGED = {"app.kubernetes.io/managed-by": "meshinstall"}
_TYPES = "type.googleapis.com/envoy"
# By path: the protocol that the client names, the oldest and the newest TLS. In TLS 1.2 a handshake ends only when the server has taken
# the client's certificate. ``istio-peer-exchange`` is not named: it would have the server say more than TLS.
_PROBED = {MESH_TLS12: ("istio", "TLSv1_2", "TLSv1_2"), MESH_TLS13: ("istio", "TLSv1_3", "TLSv1_3")}
# As sidecars name them: where a proxy tells protocols apart, by these it takes a connection for HTTP, or for TCP.
_CALLED = {MESH_HTTP: ("istio-http/1.1", "TLSv1_2", "TLSv1_3"), MESH_TCP: ("istio", "TLSv1_2", "TLSv1_3")}
# Seconds after which a caller ends itself, whoever forgot it.
_CALLERS_LIFE = 900
_TELLS = {
    PEER: "%UPSTREAM_PEER_URI_SAN%",
    OWN: "%UPSTREAM_LOCAL_URI_SAN%",
    TLS: "%UPSTREAM_TLS_VERSION%",
    WHY: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    DETAILS: "%RESPONSE_CODE_DETAILS%",
}

_Json = dict[str, Any]


class Placed(NamedTuple):
    """An object and the collection that it is created in."""

    api_version: str
    plural: str
    body: Mapping[str, Any]


def namespace(name: str, revision: str, holder: str) -> _Json:
    """The namespace; ``holder`` names the run that it belongs to. Where there is no istio-cni a sidecar needs NET_ADMIN once."""
    labels = {**_MANAGED, PROBE_LABEL: "namespace", REVISION: revision, "pod-security.kubernetes.io/enforce": "privileged"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels, "annotations": {HOLDER: holder}}}


def settings(*, ipv6: bool) -> tuple[Placed, ...]:
    """What is there before the pods, so that their first configuration is their last; ``ipv6`` when that is what pods have."""
    # The clients' own cluster configuration is all they need: nothing of any other namespace.
    alone = _object("networking.istio.io/v1beta1", "Sidecar", "probe", {"egress": [{"hosts": ["./*"]}]})
    client = _client(_PROBED)
    account = {**_object("v1", "ServiceAccount", _ACCOUNT), "automountServiceAccountToken": False}
    return (
        Placed("v1", "serviceaccounts", account),
        Placed("networking.istio.io/v1beta1", "sidecars", alone),
        Placed("networking.istio.io/v1alpha3", "envoyfilters", _filter(CLIENT, client)),
        Placed("networking.istio.io/v1alpha3", "envoyfilters", _filter(TARGET, [_add("LISTENER", _server(ipv6=ipv6))])),
    )


def pod(name: str) -> _Json:
    """``client`` or ``target``: nothing but a proxy, whose image the mesh fills in."""
    annotations = {"sidecar.istio.io/nativeSidecar": "false"}
    container: _Json = {"name": PROXY_CONTAINER, "image": "auto", "imagePullPolicy": "IfNotPresent"}
    if name == CLIENT:
        annotations["sidecar.istio.io/interceptionMode"] = "NONE"
    else:
        container["ports"] = [{"name": "http", "containerPort": _SERVED}]
    spec = {
        "serviceAccountName": _ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    body = _object("v1", "Pod", name, spec)
    body["metadata"] |= {"labels": {**_MANAGED, PROBE_LABEL: name}, "annotations": annotations}
    return body


@dataclass(frozen=True, slots=True)
class Owner:
    """The probes' namespace that callers belong to; ``revision`` injects them."""

    name: str
    uid: str
    revision: str


def caller(name: str, account: Place, owner: Owner) -> tuple[Placed, _Json]:
    """A client with the identity of a service account, and what makes it one, which has to be there before."""
    marked = {**_MANAGED, PROBE_LABEL: name}
    belonging = [{"apiVersion": "v1", "kind": "Namespace", "name": owner.name, "uid": owner.uid}]
    body, how = pod(CLIENT), _filter(name, _client(_CALLED))
    for one in (body, how):
        one["metadata"] |= {"name": name, "ownerReferences": belonging}
    how["metadata"]["labels"] = marked
    # Whatever the namespace says: the proxy is all that is in it.
    body["metadata"]["labels"] = {**marked, "sidecar.istio.io/inject": "true", REVISION: owner.revision}
    body["spec"] |= {"serviceAccountName": account.name, "activeDeadlineSeconds": _CALLERS_LIFE, "restartPolicy": "Never"}
    return Placed("networking.istio.io/v1alpha3", "envoyfilters", how), body


def _client(ways: Mapping[str, tuple[str, str, str]]) -> list[_Json]:
    """What makes an Envoy a client: clusters of whatever is named, and a listener that leads to them."""
    clusters = {PLAIN: _cluster(PLAIN), **{path: {**_cluster(path), "transport_socket": _mesh_tls(*way)} for path, way in ways.items()}}
    return [*(_add("CLUSTER", cluster) for cluster in clusters.values()), _add("LISTENER", _tunnels(clusters))]


def _object(api_version: str, kind: str, name: str, spec: _Json | None = None) -> _Json:
    body: _Json = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": dict(_MANAGED)}}
    return body if spec is None else {**body, "spec": spec}


def _filter(name: str, patches: list[_Json]) -> _Json:
    spec = {"workloadSelector": {"labels": {PROBE_LABEL: name}}, "configPatches": patches}
    return _object("networking.istio.io/v1alpha3", "EnvoyFilter", name, spec)


def _add(what: str, value: _Json) -> _Json:
    return {"applyTo": what, "match": {"context": "SIDECAR_OUTBOUND"}, "patch": {"operation": "ADD", "value": value}}


def _named(path: str) -> str:
    return f"meshinstall-probe{path.replace('/', '-')}"


def _cluster(path: str) -> _Json:
    """A cluster of whatever address the request names."""
    return {
        "name": _named(path),
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "2s",
        "original_dst_lb_config": {"use_http_header": True, "http_header_name": ADDRESS},
    }


def _mesh_tls(protocol: str, oldest: str, newest: str) -> _Json:
    """TLS as the mesh's own clients do it: their key, and trust in the mesh's root alone."""
    common = {
        "alpn_protocols": [protocol],
        "tls_params": {"tls_minimum_protocol_version": oldest, "tls_maximum_protocol_version": newest},
        "tls_certificate_sds_secret_configs": [_secret("default")],
        "combined_validation_context": {"default_validation_context": {}, "validation_context_sds_secret_config": _secret("ROOTCA")},
    }
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": common},
    }


def _secret(name: str) -> _Json:
    """Where sidecars get their secrets (istio: pilot/pkg/security/model/authentication.go, ConstructSdsSecretConfig)."""
    source = {
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
    }
    return {
        "name": name,
        "sds_config": {"api_config_source": source, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
    }


def _tunnels(paths: Iterable[str]) -> _Json:
    """The client's listener; what of a connection the other side has reset ends at once, too."""
    tells = [{"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for key, value in _TELLS.items()]
    tunnel = {"timeout": "0s", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {"allow_post": True}}]}
    routes = [
        {"match": {"path": READY}, "direct_response": {"status": 200}},
        *({"match": {"path": path}, "route": {"cluster": _named(path), **tunnel}, "response_headers_to_add": tells} for path in paths),
    ]
    # Pods have this loopback whatever the family of their addresses, and a port-forward tries it first.
    return _listener("meshinstall-probe", {"address": "127.0.0.1", "port_value": LISTENER}, routes)


def _server(*, ipv6: bool) -> _Json:
    """The target's listener. An Envoy that cannot bind refuses the listener, and a node may have no IPv6 at all: never both at once."""
    everywhere = {"address": "::", "ipv4_compat": True} if ipv6 else {"address": "0.0.0.0"}  # noqa: S104 - its proxy stands before it
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
    return _listener("meshinstall-probe", {**everywhere, "port_value": _SERVED}, routes)


def _listener(name: str, address: _Json, routes: list[_Json]) -> _Json:
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"}}
    manager = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    config = {
        "@type": f"{_TYPES}.{manager}",
        "stat_prefix": name,
        "stream_idle_timeout": "10s",
        "delayed_close_timeout": "0s",
        "http_filters": [router],
        "route_config": {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": config}]
    return {
        "name": name,
        "address": {"socket_address": address},
        "filter_chains": [{"filters": filters}],
    }
