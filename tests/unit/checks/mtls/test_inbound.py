"""What a proxy lets in: Envoy's choice of a filter chain, and how it stands to the policy."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.mtls.inbound import Entry, entry, proxy_evidence
from meshinstall.model.mesh import InboundChain, Mode, Proxy, SyncState
from meshinstall.model.verdict import Outcome

ROOTS = ("aa",)
ALPN = ("istio-peer-exchange", "istio")
CLOSED = Entry(mutual=True)


def mutual(port: int | None = None, transport: str = "tls", alpn: tuple[str, ...] = (), roots: tuple[str, ...] = ROOTS) -> InboundChain:
    return InboundChain(port, transport, alpn, tls=True, client_certificate=True, roots=roots)


def plain(port: int | None = None, transport: str = "raw_buffer", alpn: tuple[str, ...] = ()) -> InboundChain:
    return InboundChain(port, transport, alpn)


def anonymous(port: int | None = None) -> InboundChain:
    return InboundChain(port, "tls", tls=True)


# As istiod makes them (pilot/pkg/networking/core/filterchain_options.go).
STRICT = (mutual(), mutual(alpn=("istio-http/1.1",)))
PERMISSIVE = (mutual(alpn=ALPN), plain(), plain(alpn=("http/1.1",)), plain(transport="tls"))
BLACKHOLE = plain(15006, "")


@pytest.mark.parametrize(
    ("chains", "port", "expected"),
    [
        (STRICT, 8080, CLOSED),
        ((*STRICT, BLACKHOLE), 8080, CLOSED),
        (PERMISSIVE, 8080, Entry(plaintext=True, passed_on=True, mutual=True)),
        # Plaintext only, and TLS is not inspected.
        ((plain(),), 8080, Entry(plaintext=True)),
        # HTTP by its name: TLS of others is not passed on.
        ((mutual(alpn=ALPN), plain()), 8080, Entry(plaintext=True, mutual=True)),
        # A port of its own is not looked up among the others, in either direction.
        ((*STRICT, plain(8080)), 8080, Entry(plaintext=True)),
        ((*STRICT, plain(8080)), 9090, CLOSED),
        ((*PERMISSIVE, mutual(8080)), 8080, CLOSED),
        ((*PERMISSIVE, mutual(8080)), 0, Entry(plaintext=True, passed_on=True, mutual=True)),
        # What leaves the transport open takes what nothing names.
        ((mutual(transport=""),), 8080, CLOSED),
        ((mutual(), plain(transport="")), 8080, Entry(plaintext=True, mutual=True)),
        ((plain(8080, ""), mutual(8080)), 8080, Entry(plaintext=True, mutual=True)),
        # The default chain takes what the port's own do not.
        ((mutual(8080), plain(transport="")), 8080, Entry(plaintext=True, mutual=True)),
        # ... and who offers no protocol that they ask for.
        ((mutual(8080, transport="", alpn=ALPN), plain(transport="")), 8080, Entry(plaintext=True, passed_on=True, mutual=True)),
        ((anonymous(),), 8080, Entry(anonymous=True)),
        ((InboundChain(8080, "", tls=True),), 8080, Entry(anonymous=True)),
        # The weakest of several protocols counts: who connects chooses.
        ((mutual(alpn=ALPN), anonymous()), 8080, Entry(anonymous=True, mutual=True)),
        ((mutual(roots=()),), 8080, Entry(anybody=True, mutual=True)),
        ((), 8080, Entry()),
    ],
)
def test_who_gets_in(chains: tuple[InboundChain, ...], port: int, expected: Entry) -> None:
    assert entry(chains, port) == expected


some_chains = st.lists(
    st.builds(
        InboundChain,
        st.sampled_from([None, 1, 2]),
        st.sampled_from(["", "tls", "raw_buffer"]),
        st.sampled_from([(), ("a",), ("b", "c")]),
        tls=st.booleans(),
        client_certificate=st.booleans(),
        roots=st.sampled_from([(), ROOTS]),
    ),
    max_size=6,
)


def walked(chains: list[InboundChain], port: int, transport: str, alpn: str) -> list[InboundChain]:
    """Envoy's maps, level by level: a level that names the value is entered for good, and the default chain is the last resort."""
    pool = chains
    default = [chain for chain in chains if (chain.port, chain.transport, chain.alpn) == (None, "", ())]
    for named, left in (
        (lambda chain: chain.port == port, lambda chain: chain.port is None),
        (lambda chain: chain.transport == transport, lambda chain: not chain.transport),
        (lambda chain: alpn in chain.alpn, lambda chain: not chain.alpn),
    ):
        pool = list(filter(named, pool)) or list(filter(left, pool))
    return pool or default


@given(some_chains, st.sampled_from([1, 2, 3]))
def test_every_connection_that_envoy_would_take_is_seen(chains: list[InboundChain], port: int) -> None:
    found = entry(chains, port)
    for alpn in ("", "a", "b", "c"):
        assert found.plaintext or all(chain.tls for chain in walked(chains, port, "raw_buffer", alpn))
        for chain in walked(chains, port, "tls", alpn):
            assert found.passed_on or chain.tls
            assert found.anonymous or not chain.tls or chain.client_certificate
            assert found.anybody or not (chain.tls and chain.client_certificate) or chain.roots


PROXY = Proxy(inbound=STRICT, sync=SyncState.SYNCED, istiod="istiod-1")
OPEN = replace(PROXY, inbound=PERMISSIVE)


@pytest.mark.parametrize(
    ("proxy", "mode", "outcome", "code"),
    [
        (PROXY, Mode.STRICT, Outcome.PASS, ""),
        (OPEN, Mode.PERMISSIVE, Outcome.FAIL, ""),
        (OPEN, Mode.STRICT, Outcome.FAIL, "MTL030"),
        (replace(PROXY, inbound=(anonymous(),)), Mode.STRICT, Outcome.FAIL, "MTL031"),
        (replace(PROXY, inbound=(plain(transport="tls"), mutual(transport="raw_buffer"))), Mode.STRICT, Outcome.FAIL, "MTL031"),
        (replace(PROXY, inbound=(mutual(roots=()),)), Mode.STRICT, Outcome.NOT_PROVEN, "MTL035"),
        (PROXY, Mode.PERMISSIVE, Outcome.PASS, "MTL033"),
        (PROXY, Mode.DISABLE, Outcome.PASS, "MTL033"),
        (None, Mode.STRICT, Outcome.NOT_PROVEN, "MTL032"),
        (Proxy(problem="timed out", inbound=STRICT), Mode.STRICT, Outcome.NOT_PROVEN, "MTL032"),
        (Proxy(), Mode.STRICT, Outcome.NOT_PROVEN, "MTL032"),
    ],
)
def test_a_proxy_against_its_policy(proxy: Proxy | None, mode: Mode, outcome: Outcome, code: str) -> None:
    found = proxy_evidence(proxy, 8080, mode, "PeerAuthentication shop/web")
    assert found.outcome == outcome
    assert found.code == code


@pytest.mark.parametrize(
    ("sync", "words"),
    [
        (SyncState.STALE, "it has not acknowledged the last push of istiod-1"),
        (SyncState.UPDATING, "it has not acknowledged the last push of istiod-1"),
        (SyncState.REJECTED, "it rejects Listener: address in use (the last push of istiod-1)"),
        (SyncState.SYNCED, "another object opens it"),
        (SyncState.NOTHING_SENT, "is not known"),
        (SyncState.UNKNOWN, "is not known"),
    ],
)
def test_why_a_proxy_is_weaker_than_its_policy(sync: SyncState, words: str) -> None:
    proxy = replace(OPEN, sync=sync, sync_words="it rejects Listener: address in use" if sync is SyncState.REJECTED else "")
    assert words in proxy_evidence(proxy, 8080, Mode.STRICT, "the policy").text
