"""A proxy as one that decides requests, beside the policies that it should have; pure.

What differs between both by their nature is undecided: requests of HTTP at ports that the proxy reads as TCP, connections of TCP at those
that it reads as HTTP, TLS without a certificate of the mesh at a sidecar, and what no server of a gateway takes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from meshinstall.checks.authz.chains import Chain, decide_as_gateway, decide_by
from meshinstall.checks.authz.conditions import UNKNOWN
from meshinstall.checks.authz.enforced import Asking, Filter, Passed, Rule, Rules, Tokens, Unread, is_read_as_tcp
from meshinstall.checks.authz.seen import Seen
from meshinstall.checks.authz.tokens import TokenRule
from meshinstall.checks.policies.reading import Policies
from meshinstall.model.access import HTTP, TCP, Openness, openness
from meshinstall.model.authz import Outcome, Request, Verdict
from meshinstall.model.mesh import PROXY_PORTS


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a proxy has, read once; ``unread`` is what of it may decide and is not known, ``asks``: a service outside of the mesh may.

    A gateway has servers of its own, which no PeerAuthentication is for.
    """

    policies: Policies
    chains: Sequence[Chain]
    checks: tuple[Tokens, ...]
    found: tuple[tuple[str, Rule], ...]
    marks: Mapping[int, object]
    unread: tuple[str, ...]
    asks: bool
    is_gateway: bool = False

    @classmethod
    def of(cls, policies: Policies, chains: Sequence[Chain], *, is_gateway: bool = False) -> "Pushed":
        """Read all chains; ``policies`` are of the mesh that they are compared with."""
        kept = [one for one in chains if one.port not in PROXY_PORTS]
        filters = [(protocol, one) for chain in kept for protocol, one in _filters(chain)]
        # Most chains have the same ones.
        checks = {id(one): one for _, one in filters if isinstance(one, Tokens)}
        rules = {(protocol, id(rule)): (protocol, rule) for protocol, one in filters for rule in _rules(one)}
        marks: dict[int, list[object]] = {}
        for chain in kept:
            if chain.port is not None:
                marks.setdefault(chain.port, []).append(_mark(chain))
        unread = (*_unread(kept, [one for _, one in filters]), *(["several checks of tokens"] if len(checks) > 1 else []))
        unread += tuple(_unlike(kept)) if is_gateway else ()
        asks = any(isinstance(one, Asking) for _, one in filters)
        found, own = tuple(rules.values()), {port: tuple(some_marks) for port, some_marks in marks.items()}
        known = tuple(dict.fromkeys((*unread, *_unknown(found))))
        return cls(policies, kept, tuple(checks.values()), found, own, known, asks, is_gateway)

    @property
    def tokens(self) -> tuple[TokenRule, ...]:
        """Whose tokens are accepted, and where they are looked for."""
        return tuple(rule for one in self.checks for rule in one.rules)

    @property
    def written(self) -> frozenset[str]:
        """Headers that the proxy writes from tokens."""
        return frozenset(name for rule in self.tokens for name in rule.written())

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """All rules, each with the protocol that it is for."""
        yield from self.found

    def ports(self) -> Mapping[int, object]:
        """Ports with filter chains of their own."""
        return self.marks

    def seen(self, request: Request) -> Seen | Outcome:
        """A request as rules see it; how a token is answered that is refused before. Raises UnknownError."""
        if request.http is None:
            return Seen(request)
        seen = Seen(request, self.policies.normalization)
        for check in self.checks[:1]:
            found = check.judge(seen)
            return found.seen if isinstance(found, Passed) else found.outcome
        return seen

    def decide(self, request: Request) -> Verdict:
        """What the proxy does to a request that it reads as such."""
        if request.port in PROXY_PORTS:
            return Verdict(Outcome.UNDECIDED, "a port of the proxy's own")
        if self.is_gateway:
            return decide_as_gateway(self.chains, request)
        if request.server_name and not request.principal:
            return Verdict(Outcome.UNDECIDED, "TLS without a certificate of the mesh, which policies do not tell from plaintext")
        verdict = decide_by(self.chains, request)
        if is_read_as_tcp(verdict):
            return Verdict(Outcome.UNDECIDED, verdict.reason)
        return verdict


def _filters(chain: Chain) -> Iterator[tuple[str, Filter]]:
    way = chain.read()
    yield from ((TCP, one) for one in way.filters)
    yield from ((HTTP, one) for one in (way.http.filters if way.http else ()))


def _rules(one: Filter) -> Iterator[Rule]:
    if isinstance(one, Rules | Asking):
        yield from one.rules


def _mark(chain: Chain) -> object:
    """The same for chains of a port that do the same."""
    return chain.transport, chain.protocols, chain.tls, chain.certificate, *_does(chain)


def _does(chain: Chain) -> tuple[bool, object]:
    does = tuple((protocol, getattr(one, "is_deny", None), *map(id, getattr(one, "rules", ()))) for protocol, one in _filters(chain))
    return chain.read().http is None, does


def _unlike(chains: Sequence[Chain]) -> Iterator[str]:
    """Ports of a gateway whose servers do not do alike: istiod gives all of them the same rules."""
    known: dict[tuple[int | None, bool], object] = {}
    for one in chains:
        is_tcp, does = _does(one)
        if known.setdefault((one.port, is_tcp), does) != does:
            yield f"servers at port {one.port} with different rules"


def _unread(chains: Sequence[Chain], filters: Sequence[Filter]) -> Iterator[str]:
    if any(one.asks_more for one in chains):
        yield "filter chains that go by more than a request tells"
    for one in filters:
        if isinstance(one, Unread):
            yield one.what
        elif isinstance(one, Tokens):
            yield from (f"whether it has the keys of {issuer}, which it fetches itself" for issuer in sorted(one.remote))


def _unknown(found: Sequence[tuple[str, Rule]]) -> Iterator[str]:
    for _, rule in found:
        for test in (test for choice in (*rule.operations, *rule.sources) for test in choice):
            yield from test.values if test.key == UNKNOWN else ()


def is_behind(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether of policies and a proxy one lets a request through and the other does not."""
    return {openness(one) for one in verdicts} == {Openness.OPEN, Openness.CLOSED}
