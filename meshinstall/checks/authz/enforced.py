"""Decides one request by the filters that a proxy has, in their order; pure.

What they were made of does not count here. Each filter lets a request through, refuses it, or does something that is not known.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from meshinstall.checks.authz.rules import All, holds_somewhere
from meshinstall.checks.authz.seen import Seen, UnknownError, every, some
from meshinstall.checks.authz.tokens import TokenRule, authenticate
from meshinstall.model.authz import Normalization, Outcome, Request, Verdict
from meshinstall.model.foreign_text import plain

# istiod's name for a rule (istio: pilot/pkg/security/authz/builder/builder.go, policyName).
_NAME = re.compile(r"(?:istio-ext-authz-(?:.*-)?)?ns\[(?P<namespace>[^\]]*)\]-policy\[(?P<name>[^\]]*)\]-rule\[\d+\]")

# Characters of one: what anybody may write beyond them takes time that grows by its square.
_LONGEST_NAME = 1024

_NO_HTTP = "; the proxy does not read this port as HTTP"


def is_read_as_tcp(verdict: Verdict) -> bool:
    """Whether a proxy decided a request of HTTP as a connection of TCP."""
    return verdict.reason.endswith(_NO_HTTP)


class Passed(NamedTuple):
    """A request goes on as it is seen now; ``by`` is the rule that allows it, empty where none had to."""

    seen: Seen
    by: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy of an RBAC filter: some of ``operations`` and some of ``sources`` hold."""

    name: str
    operations: tuple[All, ...]
    sources: tuple[All, ...]

    def matches(self, seen: Seen) -> bool:
        """Whether it is for a request; raises UnknownError where nothing that is known decides."""
        return every((self.operations, self.sources), lambda choices: holds_somewhere(choices, seen))


@dataclass(frozen=True, slots=True)
class Rules:
    """An RBAC filter that enforces."""

    rules: tuple[Rule, ...]
    is_deny: bool

    def judge(self, seen: Seen) -> Verdict | Passed:
        """Raises UnknownError."""
        rule = _matching(self.rules, seen)
        if self.is_deny:
            return Passed(seen) if rule is None else _denied("a DENY of the proxy matches", rule.name)
        return Passed(seen, rule.name) if rule else _denied("no rule of the proxy allows it")


@dataclass(frozen=True, slots=True)
class Asking:
    """A service outside of the mesh is asked about what is for ``rules``."""

    rules: tuple[Rule, ...]

    def judge(self, seen: Seen) -> Verdict | Passed:
        """Raises UnknownError."""
        if rule := _matching(self.rules, seen):
            raise UnknownError(f"what a service outside of the mesh says (CUSTOM, {_policy(rule.name)})")
        return Passed(seen)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Checks tokens; those of the issuers in ``keyless`` are all refused, and of ``remote`` ones nothing is known."""

    rules: tuple[TokenRule, ...]
    keyless: frozenset[str] = frozenset()
    remote: frozenset[str] = frozenset()

    def judge(self, seen: Seen) -> Verdict | Passed:
        """Raises UnknownError."""
        if (http := seen.request.http) is None:
            return Passed(seen)
        issuer = str(http.token.claims.get("iss", "")) if http.token else ""
        if http.token and issuer in self.keyless:
            http = replace(http, token=replace(http.token, valid=False))
        found = authenticate(self.rules, http)
        if found.refused_by is not None:
            why = f"istiod could not fetch the keys of {plain(issuer)}" if issuer in self.keyless else "the proxy does not accept the token"
            return Verdict(found.outcome, why)
        if found.claims is not None and issuer in self.remote:
            raise UnknownError(f"whether the proxy has the keys of {plain(issuer)}, which it fetches itself")
        written = frozenset(name for rule in self.rules for name in rule.written())
        return Passed(replace(seen, claims=found.claims, of_tokens=written | ({found.carrier} - {""})))


@dataclass(frozen=True, slots=True)
class Unread:
    """A filter that may do anything."""

    what: str

    def judge(self, _: Seen) -> Verdict | Passed:
        """Raises UnknownError."""
        raise UnknownError(self.what)


Filter = Rules | Asking | Tokens | Unread


@dataclass(frozen=True, slots=True)
class Manager:
    """What is done with requests of HTTP."""

    normalization: Normalization
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """What a connection goes through: first ``filters``, then for each of its requests those of ``http``, None where it is not read."""

    filters: tuple[Filter, ...]
    http: Manager | None = None

    def decide(self, request: Request) -> Verdict:
        """What happens to a request, with the identity that its connection shows."""
        connected = _through(self.filters, Seen(replace(request, http=None)))
        if self.http is None:
            return replace(connected, reason=f"{connected.reason}{_NO_HTTP}") if request.http else connected
        if connected.outcome is not Outcome.ALLOW:
            return connected
        if request.http is None:
            return Verdict(Outcome.UNDECIDED, f"the proxy reads port {request.port} as HTTP, and this connection is not HTTP")
        return _through(self.http.filters, Seen(request, self.http.normalization))


def _through(filters: Sequence[Filter], seen: Seen) -> Verdict:
    """The first that refuses decides, also behind one that may have refused; what is behind an unknown one is not known."""
    doubt: UnknownError | None = None
    allowed = ""
    for one in filters:
        try:
            found = one.judge(seen)
        except UnknownError as unknown:
            doubt = doubt or unknown
            if isinstance(one, Rules):
                continue
            break
        if isinstance(found, Verdict):
            return found if doubt is None or found.outcome is Outcome.DENY else _undecided(doubt)
        seen, allowed = found.seen, found.by or allowed
    if doubt:
        return _undecided(doubt)
    return _allowed(allowed)


def _matching(rules: Sequence[Rule], seen: Seen) -> Rule | None:
    found: list[Rule] = []

    def matches(rule: Rule) -> bool:
        if is_for := rule.matches(seen):
            found.append(rule)
        return is_for

    return found[0] if some(rules, matches) else None


def _undecided(doubt: UnknownError) -> Verdict:
    return Verdict(Outcome.UNDECIDED, f"the decision depends on something unknown: {plain(doubt)}")


def _denied(reason: str, rule: str = "") -> Verdict:
    return Verdict(Outcome.DENY, reason, _policy(rule))


def _allowed(rule: str) -> Verdict:
    return Verdict(Outcome.ALLOW, "an ALLOW of the proxy matches" if rule else "the proxy has no rule against it", _policy(rule))


def _policy(rule: str) -> str:
    """The object that istiod made a rule of; the rule's own name where somebody else made it."""
    found = _NAME.match(rule) if len(rule) <= _LONGEST_NAME else None
    return plain(f"AuthorizationPolicy {found['namespace']}/{found['name']}" if found else rule)
