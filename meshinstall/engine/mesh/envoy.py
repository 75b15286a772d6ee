"""Reads what an Envoy says of its inbound listener and its certificates (its admin interface: ``/config_dump``).

Only certificates are taken from its secrets; it blanks private keys itself,
and nothing here looks at them.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from meshinstall.engine.objects.json_fields import MalformedError, at, flag, number, rows, table, text
from meshinstall.errors import ClusterError
from meshinstall.model.mesh import InboundChain

# istiod's name for the listener that takes all inbound traffic, and the agent's names for the workload's secrets
# (istio: pilot/pkg/model/context.go, pkg/security/security.go).
_LISTENER = "virtualInbound"
_CERTIFICATE = "default"
_ROOT = "ROOTCA"
# One request for all three. Envoy cannot leave the bootstrap out, where its version stands: a field mask must fit every part.
DUMP = f"/config_dump?name_regex={quote(f'^({_LISTENER}|{_CERTIFICATE}|{_ROOT})$', safe='')}"
# Bytes: the bootstrap takes 0.1 MiB, and 20 ports with a policy for each another 0.1.
_MAX_DUMP = 16 * 1024**2
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
class EnvoyDump:
    """What is used of a dump: Istio's version, the inbound chains, and in PEM the workload's certificates and what it trusts."""

    version: str
    chains: tuple[Chain, ...]
    certificates: bytes
    roots: bytes


def read_dump(data: bytes) -> EnvoyDump:
    """The answer to ``DUMP``; raises ClusterError when Envoy would not have said it."""
    if len(data) > _MAX_DUMP:
        raise ClusterError(f"its Envoy's configuration is larger than {_MAX_DUMP // 1024**2} MiB")
    try:
        parts = {text(at(part, "@type")).removeprefix(_ADMIN): table(part) for part in rows(at(json.loads(data), "configs"))}
        secrets = {
            text(at(one, "name")): table(at(one, "secret")) for one in _rows_of(parts, "SecretsConfigDump", "dynamic_active_secrets")
        }
        trusted = {name: _trusted(at(secret, "validation_context")) for name, secret in secrets.items()}
        chains = tuple(_chains(parts, trusted))
        if any(_ROOT in chain.unread for chain in chains):
            raise ClusterError("its Envoy still waits for its certificates")
        return EnvoyDump(
            version=text(at(parts.get("BootstrapConfigDump"), "bootstrap", "node", "metadata", "ISTIO_VERSION")),
            chains=chains,
            certificates=_bytes(at(secrets.get(_CERTIFICATE), "tls_certificate", "certificate_chain")),
            roots=trusted.get(_ROOT, _Trust()).pem,
        )
    except (ValueError, RecursionError) as error:
        raise ClusterError(f"its Envoy's answer could not be parsed: {error}") from error


def _rows_of(parts: Mapping[str, Mapping[str, Any]], part: str, field: str) -> Iterator[Any]:
    yield from rows(at(parts.get(part), field))


@dataclass(frozen=True, slots=True)
class _Trust:
    """Certificates in PEM, and the names of those that stand elsewhere."""

    pem: bytes = b""
    unread: tuple[str, ...] = ()

    def __add__(self, other: "_Trust") -> "_Trust":
        return _Trust(b"\n".join(filter(None, (self.pem, other.pem))), self.unread + other.unread)


def _chains(parts: Mapping[str, Mapping[str, Any]], trusted: Mapping[str, _Trust]) -> Iterator[Chain]:
    for one in _rows_of(parts, "ListenersConfigDump", "dynamic_listeners"):
        listener = at(one, "active_state", "listener")
        if text(at(one, "name")) == _LISTENER and listener:
            for chain in rows(at(listener, "filter_chains")):
                yield _chain(chain, trusted)
            if default := at(listener, "default_filter_chain"):
                yield _chain(default, trusted)


def _chain(chain: Any, trusted: Mapping[str, _Trust]) -> Chain:
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


def _validated(common: Mapping[str, Any], trusted: Mapping[str, _Trust]) -> _Trust:
    """What client certificates are held against (envoy: api/.../tls/v3/tls.proto, CommonTlsContext)."""
    combined = common.get("combined_validation_context")
    trust = _trusted(common.get("validation_context")) + _trusted(at(combined, "default_validation_context"))
    for holder in (common, combined):
        if name := text(at(holder, "validation_context_sds_secret_config", "name")):
            trust += trusted.get(name, _Trust(unread=(name,)))
    return trust


def _trusted(context: Any) -> _Trust:
    """The authorities of a CertificateValidationContext; none when it accepts certificates of anybody."""
    if text(at(context, "trust_chain_verification")) == "ACCEPT_UNTRUSTED":
        return _Trust()
    # SPIRE sends its bundles so, one for each trust domain.
    bundles = [at(one, "trust_bundle") for one in rows(at(context, "custom_validator_config", "typed_config", "trust_domains"))]
    trust = _Trust()
    for source in (at(context, "trusted_ca"), *bundles):
        trust += _Trust(_bytes(source), tuple(filter(None, [text(at(source, "filename"))])))
    return trust


def _bytes(source: Any) -> bytes:
    """The content of a DataSource that brings its own."""
    return base64.b64decode(text(at(source, "inline_bytes")), validate=True) or text(at(source, "inline_string")).encode()
