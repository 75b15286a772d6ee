"""Chooses the filter chain of a proxy that takes a connection, as Envoy does (envoy: filter_chain_manager_impl.cc); pure.

A request does not say all that chains are chosen by. Where several may take it, each decides, and only what all of them say is told.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from meshinstall.checks.authz.enforced import Way
from meshinstall.model.authz import Outcome, Request, Verdict

_TLS, _RAW = "tls", "raw_buffer"
# What proxies of the mesh offer each other, for requests of HTTP and for all else (istio: pilot/pkg/xds/filters, networking/util).
_MESH_HTTP = (frozenset({"istio-http/1.0", "istio-http/1.1", "istio-h2"}), frozenset({"istio"}))
_MESH_TCP = (frozenset({"istio-peer-exchange", "istio"}),)
# What Envoy finds in plaintext, and what other clients offer.
_PLAIN_HTTP = (frozenset({"http/1.0", "http/1.1", "h2c"}),)
_OFFERED = (frozenset({"h2", "http/1.1"}),)


@dataclass(frozen=True, slots=True)
class Chain:
    """A filter chain and the connections that it takes; ``port`` is None for any.

    ``asks_more``: also other things must fit, such as addresses. ``tls``: it ends TLS, with a client certificate where ``certificate``
    is set. ``read`` makes what it does.
    """

    port: int | None
    read: Callable[[], Way]
    transport: str = ""
    protocols: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()
    asks_more: bool = False
    tls: bool = False
    certificate: bool = False

    @property
    def takes_plaintext(self) -> bool:
        """Whether a connection without TLS may come here."""
        return self.transport in {"", _RAW} and not self.tls

    @property
    def is_of_tls(self) -> bool:
        """Whether it ends TLS, or passes it on."""
        return self.tls or self.transport == _TLS

    @property
    def takes_tls(self) -> bool:
        """Whether a connection with TLS may come here."""
        return self.transport in {"", _TLS}


def decide_by(chains: Iterable[Chain], request: Request) -> Verdict:
    """What a proxy with these chains does to a request."""
    verdicts = [verdict for chain in _taking(tuple(chains), request) for verdict in _decided(chain, request)]
    if not verdicts:
        what = "with the mesh's TLS" if request.principal else "without a certificate of the mesh"
        return Verdict(Outcome.DENY, f"no filter chain of the proxy takes a connection to port {request.port} {what}")
    return _of_one_mind(verdicts, "the proxy's filter chains")


def _of_one_mind(verdicts: Sequence[Verdict], of: str) -> Verdict:
    if len({one.outcome for one in verdicts}) == 1:
        return verdicts[0]
    said = " or ".join(dict.fromkeys(one.outcome for one in verdicts))
    return Verdict(Outcome.UNDECIDED, f"the request does not say which of {of} takes it: {said}")


def decide_as_gateway(chains: Iterable[Chain], request: Request) -> Verdict:
    """What the rules of a gateway say, whichever of its servers takes a request.

    Undecided where none does: what servers a gateway has, and whom they ask for a certificate, is not of policies.
    """
    at_port = [one for one in chains if one.port == request.port and (one.read().http is None) == (request.http is None)]
    is_tls = bool(request.principal or request.server_name)
    taking = [one for one in at_port if (one.tls if request.principal else not one.certificate) and (one.is_of_tls or not is_tls)]
    verdicts = [verdict for one in taking for verdict in _let_in(one, request)]
    if not verdicts:
        return Verdict(Outcome.UNDECIDED, f"no server of the gateway takes it at port {request.port}")
    return _of_one_mind(verdicts, "servers of the gateway")


def _decided(chain: Chain, request: Request) -> Iterator[Verdict]:
    if chain.tls and chain.certificate and not request.principal:
        yield Verdict(Outcome.DENY, "the proxy asks for a certificate of the mesh")
        return
    yield from _let_in(chain, request)


def _let_in(chain: Chain, request: Request) -> Iterator[Verdict]:
    """One verdict, or one with the client's identity and one without it, where nobody asks for it."""
    shows, way = chain.tls and bool(request.principal), chain.read()
    if shows:
        yield way.decide(request)
    if not shows or not chain.certificate:
        yield way.decide(replace(request, principal="", server_name=request.server_name if chain.takes_tls else ""))


def _taking(chains: Sequence[Chain], request: Request) -> Iterator[Chain]:
    """Those that may take it: at each step those that fit best, as Envoy never comes back to others."""
    at_port = [one for one in chains if one.port == request.port] or [one for one in chains if one.port is None]
    if any(one.asks_more for one in at_port):
        yield from at_port
        return
    tls = _named([one for one in at_port if one.takes_tls], request.server_name)
    if request.server_name is not None or not any(one.server_names for one in tls):
        tls = _nearest(tls, _TLS)
    # Plaintext names no server.
    unnamed = [one for one in at_port if one.transport in {"", _RAW} and not one.server_names]
    plain = [one for one in _nearest(unnamed, _RAW) if one.takes_plaintext]
    is_http = request.http is not None
    if request.principal and tls:
        yield from _spoken(tls, _MESH_HTTP if is_http else _MESH_TCP)
        return
    # Such a port takes plaintext alone, and clients of the mesh know it.
    if request.principal or not request.server_name:
        yield from _spoken(plain, _PLAIN_HTTP if is_http else ())
    if not request.principal:
        anonymous = tls if request.server_name else [one for one in tls if one.tls and not one.certificate]
        yield from _spoken(anonymous, _OFFERED if is_http else ())


def _nearest(chains: Sequence[Chain], transport: str) -> Sequence[Chain]:
    """Those that name the transport, before those that take any."""
    return [one for one in chains if one.transport == transport] or chains


def _spoken(chains: Sequence[Chain], offered: Iterable[Collection[str]]) -> Sequence[Chain]:
    for names in offered:
        if fitting := [one for one in chains if not set(names).isdisjoint(one.protocols)]:
            return fitting
    return [one for one in chains if not one.protocols]


def _named(chains: Sequence[Chain], name: str | None) -> Sequence[Chain]:
    """Those with the most exact of the server names that fit; all of them where the name is not known."""
    if name is None:
        return chains
    fitting = {pattern for one in chains for pattern in one.server_names if _fits(pattern, name.lower())}
    if not fitting:
        return [one for one in chains if not one.server_names]
    best = max(fitting, key=lambda pattern: (not pattern.startswith("*"), len(pattern)))
    return [one for one in chains if best in one.server_names]


def _fits(pattern: str, name: str) -> bool:
    return pattern == name or (pattern.startswith("*.") and name.endswith(pattern[1:]))
