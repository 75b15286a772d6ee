"""A proxy as one that decides requests, beside the policies that it should have; pure.

What differs between both by their nature is undecided: requests of HTTP at ports that the proxy reads as TCP, connections of TCP at those
that it reads as HTTP, and TLS without a certificate of the mesh.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from meshinstall.checks.authz.chains import Chain, decide_by
from meshinstall.checks.authz.enforced import Asking, Filter, Rule, Rules, Tokens, Unread, is_read_as_tcp
from meshinstall.checks.authz.seen import Seen
from meshinstall.checks.authz.tokens import TokenRule, authenticate
from meshinstall.checks.policies.reading import Policies
from meshinstall.model.access import HTTP, TCP, Openness, openness
from meshinstall.model.authz import Outcome, Request, Verdict
from meshinstall.model.mesh import PROXY_PORTS


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a proxy has, read once."""

    policies: Policies
    chains: Sequence[Chain]
    tokens: tuple[TokenRule, ...]
    unread: tuple[str, ...]
    found: tuple[tuple[str, Rule], ...]
    marks: Mapping[int, object]

    @classmethod
    def of(cls, policies: Policies, chains: Sequence[Chain]) -> "Pushed":
        """Read all chains; ``policies`` are of the mesh that they are compared with."""
        kept = [one for one in chains if one.port not in PROXY_PORTS]
        rules: dict[tuple[str, int], tuple[str, Rule]] = {}
        tokens: dict[int, TokenRule] = {}
        unread: dict[str, None] = {}
        marks: dict[int, list[object]] = {}
        for chain in kept:
            way = chain.read()
            of_http = way.http.filters if way.http else ()
            for one in (*way.filters, *of_http):
                tokens |= {id(rule): rule for rule in (one.rules if isinstance(one, Tokens) else ())}
                unread |= {one.what: None} if isinstance(one, Unread) else {}
            for protocol, filters in ((HTTP, of_http), (TCP, way.filters)):
                rules |= {(protocol, id(rule)): (protocol, rule) for rule in _rules(filters)}
            if chain.port is not None:
                mark = (
                    chain.transport,
                    chain.protocols,
                    chain.tls,
                    chain.certificate,
                    way.http is None,
                    *map(id, (*way.filters, *of_http)),
                )
                marks.setdefault(chain.port, []).append(mark)
        own = {port: tuple(found) for port, found in marks.items()}
        return cls(policies, kept, tuple(tokens.values()), tuple(unread), tuple(rules.values()), own)

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

    def seen(self, request: Request) -> Seen | None:
        """A request as rules see it; None for a token that is refused before. Raises UnknownError."""
        if request.http is None:
            return Seen(request)
        token = authenticate(self.tokens, request.http)
        carriers = self.written | ({token.carrier} - {""})
        return None if token.refused_by else Seen(request, self.policies.normalization, token.claims, carriers)

    def decide(self, request: Request) -> Verdict:
        """What the proxy does to a request that it reads as such."""
        if request.port in PROXY_PORTS:
            return Verdict(Outcome.UNDECIDED, "a port of the proxy's own")
        if request.server_name and not request.principal:
            return Verdict(Outcome.UNDECIDED, "TLS without a certificate of the mesh, which policies do not tell from plaintext")
        verdict = decide_by(self.chains, request)
        if is_read_as_tcp(verdict):
            return Verdict(Outcome.UNDECIDED, verdict.reason)
        return verdict


def _mark(one: Filter) -> object:
    """The same for filters that do the same."""
    if isinstance(one, Rules):
        return one.is_deny, id(one.rules)
    return tuple(map(id, one.rules)) if isinstance(one, Asking | Tokens) else one.what


def _rules(filters: Sequence[Filter]) -> Iterator[Rule]:
    for one in filters:
        if isinstance(one, Rules | Asking):
            yield from one.rules


def is_behind(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether of policies and a proxy one lets a request through and the other does not."""
    return {openness(one) for one in verdicts} == {Openness.OPEN, Openness.CLOSED}
