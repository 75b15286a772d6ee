"""Reads from a proxy's own inbound filter chains which clients it accepts at a port."""

from collections.abc import Sequence
from dataclasses import dataclass

from meshinstall.model.mesh import HeldPort, InboundChain, Mode, Proxy, SyncState
from meshinstall.model.verdict import Evidence, Outcome, Source

_OPEN = (Mode.PERMISSIVE, Mode.DISABLE)


@dataclass(frozen=True, slots=True)
class Entry:
    """Who gets in: bytes without TLS, TLS that ends at the application, TLS without a client certificate, certificates of anybody.

    ``mutual``: those with a certificate of the mesh do.
    """

    plaintext: bool = False
    passed_on: bool = False
    anonymous: bool = False
    anybody: bool = False
    mutual: bool = False


def entry(chains: Sequence[InboundChain], port: int) -> Entry:
    """Who gets in at a port; 0 stands for a port that no chain names."""
    plain = _reached(chains, port, "raw_buffer")
    # Clients choose their ALPN freely, so every chain for TLS can be reached.
    tls = _reached(chains, port, "tls")
    mutual = [chain for chain in tls if chain.tls and chain.client_certificate]
    return Entry(
        plaintext=any(not chain.tls for chain in plain),
        passed_on=any(not chain.tls for chain in tls),
        anonymous=any(chain.tls and not chain.client_certificate for chain in (*plain, *tls)),
        anybody=any(not chain.roots for chain in mutual),
        mutual=bool(mutual),
    )


def _reached(chains: Sequence[InboundChain], port: int, transport: str) -> list[InboundChain]:
    """Envoy's choice: port, then transport, each time the chains that name it, else those that leave it open.

    A port that chains name is not looked up again among the others (envoy: filter_chain_manager_impl.cc), but for
    the listener's default chain, which leaves everything open. It also takes who offers no ALPN that chains ask for.
    """
    pool = [chain for chain in chains if chain.port == port] or [chain for chain in chains if chain.port is None]
    found = [chain for chain in pool if chain.transport == transport] or [chain for chain in pool if not chain.transport]
    if any(not chain.alpn for chain in found):
        return found
    return [*found, *(chain for chain in chains if chain.port is None and not chain.transport and not chain.alpn)]


def is_open(chains: Sequence[InboundChain], port: int) -> bool:
    """Whether anybody without a certificate gets in."""
    found = entry(chains, port)
    return found.plaintext or found.passed_on or found.anonymous


def held(proxy: Proxy | None, port: int) -> HeldPort | None:
    """The listener that a proxy has on a port itself."""
    return next((one for one in proxy.held if one.port == port), None) if proxy and port else None


def proxy_evidence(proxy: Proxy | None, port: int, mode: Mode, policy: str, own: HeldPort | None = None) -> Evidence:
    """A sidecar's own truth against the mode that ``policy``, an object for people, asks for; ``own`` is where it listens itself."""
    problem = "its proxy was not read" if proxy is None else proxy.problem
    chains = own.chains if own else proxy.inbound if proxy else ()
    if proxy is None or problem or not chains:
        said = problem or "it reports no inbound listener"
        return Evidence(Source.PROXY, Outcome.NOT_PROVEN, f"its proxy's configuration could not be read: {said}", code="MTL032")
    found = entry(chains, port)
    if mode in _OPEN:
        return _where_the_policy_is_open(found, mode, policy)
    if found.plaintext:
        return _fail("MTL030", f"its proxy still accepts plaintext although the policy is {mode}: {_push(proxy)}")
    if found.passed_on or found.anonymous:
        who = "passes TLS of any client on to the application" if found.passed_on else "accepts TLS without a client certificate"
        return _fail("MTL031", f"its proxy {who} although the policy is {mode}: {_push(proxy)}")
    if found.anybody:
        text = "its proxy asks for a client certificate, but the roots that it compares with could not be read"
        return Evidence(Source.PROXY, Outcome.NOT_PROVEN, text, code="MTL035")
    return Evidence(Source.PROXY, Outcome.PASS, "its proxy accepts only TLS with a client certificate of the mesh")


def _where_the_policy_is_open(found: Entry, mode: Mode, policy: str) -> Evidence:
    if found.plaintext:
        # One finding is enough: that of the policy.
        text = f"its proxy accepts plaintext, as {policy} says"
        if mode is Mode.PERMISSIVE and (more := _worse_than_permissive(found)):
            return Evidence(Source.PROXY, Outcome.FAIL, f"{text}, and {more}")
        return Evidence(Source.PROXY, Outcome.FAIL, text, by=policy)
    text = f"its proxy accepts only mutual TLS although the policy is {mode}: the policy has not reached it yet"
    return Evidence(Source.PROXY, Outcome.PASS, text, code="MTL033")


def _worse_than_permissive(found: Entry) -> str:
    if found.anonymous:
        return "TLS without a client certificate, as no policy says"
    if not found.mutual:
        return "no mutual TLS, as no policy says"
    return "the roots that it compares certificates with could not be read" if found.anybody else ""


def _push(proxy: Proxy) -> str:
    """Why a proxy may be behind its policy."""
    of = f" of {proxy.istiod}" if proxy.istiod else ""
    match proxy.sync:
        case SyncState.SYNCED:
            return f"it has the last push{of}, so another object opens it (an EnvoyFilter, a Sidecar)"
        case SyncState.REJECTED:
            return f"{proxy.sync_words} (the last push{of})"
        case SyncState.UPDATING | SyncState.STALE:
            return f"it has not acknowledged the last push{of}"
        case _:
            return "it is not known whether it has istiod's last push"


def _fail(code: str, text: str) -> Evidence:
    return Evidence(Source.PROXY, Outcome.FAIL, text, code=code)
