"""Reads what an Envoy says of its inbound listeners and its certificates (its admin interface: ``/config_dump``).

Only certificates are taken from its secrets; it blanks private keys itself,
and nothing here looks at them.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from meshinstall.engine.mesh.large_answers import parsed
from meshinstall.engine.objects.json_fields import MalformedError, at, flag, number, rows, table, text
from meshinstall.errors import ClusterError
from meshinstall.model.mesh import InboundChain
from meshinstall.model.place import Place

# istiod's name for the listener that takes all inbound traffic, and the agent's names for the workload's secrets
# (istio: pilot/pkg/model/context.go, pkg/security/security.go).
LISTENER = "virtualInbound"
_CERTIFICATE = "default"
_ROOT = "ROOTCA"
# Addresses that stand for all of a pod's, of each IP family.
_ANY_4, _ANY_6 = "0.0.0.0", "::"  # noqa: S104 - nothing is bound here
# Ports of its own that an Envoy is asked about, lest the request get too long.
_MOST_PORTS = 500
_INBOUND = "INBOUND"
_LIVE = "LIVE"
# Bytes: the bootstrap takes 0.1 MiB, and 20 ports with a policy for each another 0.1.
_MAX_DUMP = 4 * 1024**2
# Of a node's name: type, address, pod, domain.
_NODE_PARTS = 4
_ADMIN = "type.googleapis.com/envoy.admin.v3."
_TLS = "envoy.transport_sockets.tls"
_RAW = ("", "envoy.transport_sockets.raw_buffer")


@dataclass(frozen=True, slots=True)
class Chain:
    """An inbound filter chain without its roots: ``trusted`` are they, in PEM, and ``unread`` names those that the dump does not hold."""

    chain: InboundChain
    trusted: bytes = b""
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """An inbound listener on a port of its own; ``fixed`` when it is of Envoy's bootstrap, ``addresses`` are those that it is bound to."""

    port: int
    addresses: tuple[str, ...]
    chains: tuple[Chain, ...]
    fixed: bool

    def covers(self, address: str) -> bool:
        """Whether it gets what is sent to an address of its pod."""
        return address in self.addresses or (_ANY_6 if ":" in address else _ANY_4) in self.addresses


@dataclass(frozen=True, slots=True)
class EnvoyDump:
    """What is used of a dump: Istio's version, the inbound chains, and in PEM the workload's certificates and what it trusts.

    ``bound`` are listeners on ports of their own, ``node`` is whose it is: ``pod.namespace``, as its agent names it.
    """

    version: str
    chains: tuple[Chain, ...]
    bound: tuple[Bound, ...]
    certificates: bytes
    roots: bytes
    node: str = ""


def dump_path(address: str = "", ports: Iterable[int] = ()) -> str:
    """One request for all of it, ``ports`` on a pod's address are those that Envoy may listen on itself (istio: getListenerName).

    Envoy cannot leave the bootstrap out, where its version stands: a field mask must fit every part.
    """
    names = [LISTENER, _CERTIFICATE, _ROOT]
    if own := "|".join(map(str, sorted({*ports})[:_MOST_PORTS])):
        addresses = "|".join(re.escape(one) for one in dict.fromkeys(filter(None, (_ANY_4, _ANY_6, address))))
        names.append(f"({addresses})_({own})")
    pattern = "|".join(names)
    return f"/config_dump?name_regex={quote(f'^({pattern})$', safe='')}"


def read_dump(data: bytes) -> EnvoyDump:
    """The answer to ``dump_path``; raises ClusterError when Envoy would not have said it."""
    try:
        parts = {text(at(part, "@type")).removeprefix(_ADMIN): table(part) for part in rows(at(parsed(data, _MAX_DUMP), "configs"))}
        secrets = {
            text(at(one, "name")): table(at(one, "secret")) for one in _rows_of(parts, "SecretsConfigDump", "dynamic_active_secrets")
        }
        trusted = {name: trusted_by(at(secret, "validation_context")) for name, secret in secrets.items()}
        listeners = [(name, listener, fixed) for name, listener, fixed in _listeners(parts)]
        chains = tuple(chain for name, listener, _ in listeners if name == LISTENER for chain in _chains(listener, trusted))
        bound = tuple(_bound(listener, trusted, fixed=fixed) for name, listener, fixed in listeners if name != LISTENER)
        if any(_ROOT in chain.unread for chain in (*chains, *(chain for one in bound for chain in one.chains))):
            raise ClusterError("its Envoy still waits for its certificates")
        node = at(parts.get("BootstrapConfigDump"), "bootstrap", "node")
        return EnvoyDump(
            version=text(at(node, "metadata", "ISTIO_VERSION")),
            chains=chains,
            bound=bound,
            certificates=_bytes(at(secrets.get(_CERTIFICATE), "tls_certificate", "certificate_chain")),
            roots=trusted.get(_ROOT, Trust()).pem,
            node=node_name(text(at(node, "id"))),
        )
    except ValueError as error:
        raise ClusterError(f"its Envoy's answer could not be parsed: {error}") from error


def node_name(identifier: str) -> str:
    """The third part of ``sidecar~10.0.0.8~pod.namespace~domain`` (istio: pilot/pkg/model/context.go, ParseServiceNodeWithMetadata)."""
    parts = identifier.split("~")
    return parts[2] if len(parts) == _NODE_PARTS else ""


def insist_on(info: Any, place: Place, port: int) -> None:
    """The answer to ``/server_info`` is of a pod's own Envoy, which has got all that it waits for at its start; raises ClusterError."""
    name = node_name(text(at(info, "node", "id")))
    if name != f"{place.name}.{place.namespace}":
        raise ClusterError(f"its port {port} gives the configuration of another proxy: {name or 'one without a name'}")
    if (state := text(at(info, "state")) or _LIVE) != _LIVE:
        raise ClusterError(f"its Envoy is {state}")


def _rows_of(parts: Mapping[str, Mapping[str, Any]], part: str, field: str) -> Iterator[Any]:
    yield from rows(at(parts.get(part), field))


@dataclass(frozen=True, slots=True)
class Trust:
    """Certificates in PEM, and the names of those that stand elsewhere."""

    pem: bytes = b""
    unread: tuple[str, ...] = ()

    def __add__(self, other: "Trust") -> "Trust":
        return Trust(b"\n".join(filter(None, (self.pem, other.pem))), self.unread + other.unread)


def _listeners(parts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Any, bool]]:
    """Inbound listeners with their names, and whether they are of the bootstrap, where no direction is told."""
    for one in _rows_of(parts, "ListenersConfigDump", "dynamic_listeners"):
        listener, name = at(one, "active_state", "listener"), text(at(one, "name"))
        if listener and (name == LISTENER or at(listener, "traffic_direction") == _INBOUND):
            yield name, listener, False
    for one in _rows_of(parts, "ListenersConfigDump", "static_listeners"):
        if listener := at(one, "listener"):
            yield "", listener, True


def _bound(listener: Any, trusted: Mapping[str, Trust], *, fixed: bool) -> Bound:
    first = at(listener, "address", "socket_address")
    port = number(at(first, "port_value"))
    others = [at(one, "address", "socket_address") for one in rows(at(listener, "additional_addresses"))]
    addresses = [at(one, "address") for one in (first, *others) if at(one, "port_value") == port]
    return Bound(port, tuple(map(text, addresses)), tuple(_chains(listener, trusted)), fixed)


def _chains(listener: Any, trusted: Mapping[str, Trust]) -> Iterator[Chain]:
    for chain in rows(at(listener, "filter_chains")):
        yield _chain(chain, trusted)
    if default := at(listener, "default_filter_chain"):
        yield _chain(default, trusted)


def _chain(chain: Any, trusted: Mapping[str, Trust]) -> Chain:
    match = table(at(chain, "filter_chain_match"))
    port = match.get("destination_port")
    found = InboundChain(
        port=None if port is None else number(port),
        transport=text(match.get("transport_protocol")),
        alpn=tuple(text(one) for one in rows(match.get("application_protocols"))),
    )
    socket = text(at(chain, "transport_socket", "name"))
    if socket in _RAW:
        return Chain(found)
    if socket != _TLS:
        raise MalformedError(f"an inbound chain uses the unknown transport socket {socket}")
    context = table(at(chain, "transport_socket", "typed_config"))
    trust = _validated(table(context.get("common_tls_context")), trusted)
    return Chain(
        InboundChain(found.port, found.transport, found.alpn, tls=True, client_certificate=flag(context.get("require_client_certificate"))),
        trust.pem,
        trust.unread,
    )


def _validated(common: Mapping[str, Any], trusted: Mapping[str, Trust]) -> Trust:
    """What client certificates are held against (envoy: api/.../tls/v3/tls.proto, CommonTlsContext)."""
    combined = common.get("combined_validation_context")
    trust = trusted_by(common.get("validation_context")) + trusted_by(at(combined, "default_validation_context"))
    for holder in (common, combined):
        if name := text(at(holder, "validation_context_sds_secret_config", "name")):
            trust += trusted.get(name, Trust(unread=(name,)))
    return trust


def trusted_by(context: Any) -> Trust:
    """The authorities of a CertificateValidationContext; none when it accepts certificates of anybody."""
    if text(at(context, "trust_chain_verification")) == "ACCEPT_UNTRUSTED":
        return Trust()
    # SPIRE sends its bundles so, one for each trust domain.
    bundles = [at(one, "trust_bundle") for one in rows(at(context, "custom_validator_config", "typed_config", "trust_domains"))]
    trust = Trust()
    for source in (at(context, "trusted_ca"), *bundles):
        trust += Trust(_bytes(source), tuple(filter(None, [text(at(source, "filename"))])))
    return trust


def _bytes(source: Any) -> bytes:
    """The content of a DataSource that brings its own."""
    return base64.b64decode(text(at(source, "inline_bytes")), validate=True) or text(at(source, "inline_string")).encode()
