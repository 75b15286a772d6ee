"""Decides one request to a workload with a sidecar, or to a gateway.

The order is Envoy's: the connection (PeerAuthentication), the token (RequestAuthentication), CUSTOM, DENY, ALLOW. What waypoints do with
policies is not decided.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from meshinstall.checks.authz.fronts import Fronts
from meshinstall.checks.authz.identities import mode_at, object_of, peers, port_modes
from meshinstall.checks.authz.rules import Action, Made, Placed, made
from meshinstall.checks.authz.seen import Seen, UnknownError, some
from meshinstall.checks.authz.tokens import Authenticated, TokenRule, authenticate, token_rules
from meshinstall.checks.mtls.peer_authentication import Effective
from meshinstall.checks.mtls.peer_authentication import Policies as Peers
from meshinstall.checks.policies.reading import ALLOW, CUSTOM, DENY, GATEWAY_NAME, Policies
from meshinstall.checks.words import first
from meshinstall.model.access import HTTP, TCP
from meshinstall.model.authz import Http, Outcome, Request, Verdict, Workload
from meshinstall.model.mesh import Mode
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

_OWN_SERVERS = Effective(Mode.PERMISSIVE, None)
# Names in one reason.
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Filters:
    """The policies of one workload, in the order in which Envoy asks them."""

    custom: Action
    deny: Action
    allow: Action


@dataclass(frozen=True, slots=True)
class World:
    """All policies of a mesh, read once."""

    policies: Policies
    peers: Peers
    rules: Placed
    tokens: Placed
    fronts: Fronts

    def applying(self, kind: Placed, workload: Workload) -> tuple[PolicyObject, ...]:
        """Those of ``rules`` or of ``tokens`` that are for a workload."""
        if GATEWAY_NAME not in workload.labels:
            return kind.selecting(workload)
        return tuple(one for one in kind.near(workload) if self.fronts.is_for(one, workload))


def world(policies: Policies) -> World:
    """Sort the policies of a mesh by where they are."""
    rules, tokens = (Placed.of(policies, kind) for kind in ("AuthorizationPolicy", "RequestAuthentication"))
    return World(policies, peers(policies), rules, tokens, Fronts.of(policies))


@dataclass(frozen=True, slots=True)
class Guard:
    """All that decides for one workload."""

    world: World
    workload: Workload
    tokens: tuple[TokenRule, ...]
    http: Filters
    tcp: Filters

    @property
    def policies(self) -> Policies:
        """All policies of the mesh, and what is known of it."""
        return self.world.policies

    @property
    def written(self) -> frozenset[str]:
        """Headers that the proxy writes from tokens."""
        return frozenset(name for rule in self.tokens for name in rule.written())

    def rules(self) -> Iterator[tuple[str, Made]]:
        """All rules, each with the protocol that it is for."""
        for protocol, filters in ((HTTP, self.http), (TCP, self.tcp)):
            yield from ((protocol, rule) for rule in (*filters.custom.rules, *filters.deny.rules, *filters.allow.rules))

    def ports(self) -> Mapping[int, object]:
        """Ports with something of their own beside rules: a mode of mTLS."""
        return port_modes(self.world.peers, self.workload)

    def seen(self, request: Request) -> Seen | Outcome:
        """See ``seen_by``."""
        return seen_by(self, request)

    def decide(self, request: Request) -> Verdict:
        """See ``decide``."""
        return decide(self, request)


def guard(of: World, workload: Workload) -> Guard:
    """Read the policies that are for a workload."""
    found, domains = of.applying(of.rules, workload), of.policies.trust_domains
    http, tcp = (Filters(*(made(found, one, domains, is_tcp=tcp) for one in (CUSTOM, DENY, ALLOW))) for tcp in (False, True))
    return Guard(of, workload, token_rules(of.applying(of.tokens, workload)), http, tcp)


def decide(by: Guard, request: Request) -> Verdict:
    """What happens to a request."""
    if why := by.world.fronts.why_undecided(by.workload):
        return Verdict(Outcome.UNDECIDED, why)
    try:
        found = _decided(by, request)
    except UnknownError as unknown:
        found = Verdict(Outcome.UNDECIDED, f"the decision depends on something unknown: {unknown}")
    if GATEWAY_NAME in by.workload.labels:
        return found
    attached = [one for placed in (by.world.rules, by.world.tokens) for one in placed.attached_near(by.workload)]
    if not attached:
        return found
    return replace(
        found, reason=f"{found.reason}; without {first(list(map(str, attached)), _SHOWN)}: a sidecar has no policy with targetRefs"
    )


def _decided(by: Guard, request: Request) -> Verdict:
    # istio, pilot/pkg/networking/core/gateway.go: listeners of gateways are made without PeerAuthentications.
    has_servers = by.workload.is_gateway or GATEWAY_NAME in by.workload.labels
    mode, source, _ = _OWN_SERVERS if has_servers else mode_at(by.world.peers, by.workload, request.port)
    if mode is Mode.STRICT and not request.principal:
        reason = "mTLS is STRICT: a connection without a certificate of the mesh is closed"
        return _verdict(Outcome.DENY, reason, object_of(by.world.policies, source) if source else None, ("spec",))
    known = request if mode is not Mode.DISABLE else _without_identity(request)
    if known.http is None:
        return _authorized(by.tcp, Seen(known))
    return _of_http(by, known, known.http)


def _of_http(by: Guard, request: Request, http: Http) -> Verdict:
    token = authenticate(by.tokens, http)
    if (rule := token.refused_by) is not None:
        what = "is for another audience" if token.outcome is Outcome.DENY else f"is not one that {rule.issuer or 'this rule'} signed"
        return _verdict(token.outcome, f"the token {what}", rule.policy, rule.path)
    return _authorized(by.http, _seen(by, request, token))


def _seen(by: Guard, request: Request, token: Authenticated) -> Seen:
    return Seen(request, by.world.policies.normalization, token.claims, by.written | ({token.carrier} - {""}))


def seen_by(by: Guard, request: Request) -> Seen | Outcome:
    """A request as the rules for a workload see it, whatever its port does with identities; the answer to a token that is refused before.

    Raises UnknownError.
    """
    if request.http is None:
        return Seen(request)
    token = authenticate(by.tokens, request.http)
    return token.outcome if token.refused_by else _seen(by, request, token)


def _without_identity(request: Request) -> Request:
    """As a port sees it that takes plaintext alone."""
    return replace(request, principal="", server_name="")


def _authorized(filters: Filters, seen: Seen) -> Verdict:
    if (rule := _matching(filters.custom, seen)) is not None:
        return _by_rule(Outcome.UNDECIDED, "a service outside of the mesh decides (CUSTOM)", rule)
    try:
        rule = _matching(filters.deny, seen)
    except UnknownError:
        # What no ALLOW lets in is denied in any case.
        if (verdict := _allowed(filters.allow, seen)).outcome is Outcome.DENY:
            return verdict
        raise
    return _allowed(filters.allow, seen) if rule is None else _by_rule(Outcome.DENY, "a DENY matches", rule)


def _allowed(allow: Action, seen: Seen) -> Verdict:
    if not allow.policies:
        return Verdict(Outcome.ALLOW, "no DENY matches, and no ALLOW is for this workload")
    if (rule := _matching(allow, seen)) is not None:
        return _by_rule(Outcome.ALLOW, "an ALLOW matches", rule)
    policy, *others = allow.policies
    more = f", nor one of {len(others)} other ALLOW {'policy' if len(others) == 1 else 'policies'}" if others else ""
    return _verdict(Outcome.DENY, f"no rule of this ALLOW matches{more}", policy, ("spec",))


def _matching(action: Action, seen: Seen) -> Made | None:
    """The first rule that is for a request; raises UnknownError where none is known to be, and one may."""
    found: list[Made] = []

    def matches(rule: Made) -> bool:
        if is_for := rule.matches(seen):
            found.append(rule)
        return is_for

    return found[0] if some(action.rules, matches) else None


def _by_rule(outcome: Outcome, reason: str, found: Made) -> Verdict:
    return _verdict(outcome, reason, found.rule.policy, found.rule.path)


def _verdict(outcome: Outcome, reason: str, policy: PolicyObject | None, path: KeyPath) -> Verdict:
    if policy is None:
        return Verdict(outcome, reason)
    # An object of a cluster is in no file.
    place = f"{policy.source}:{policy.place(path)[0]}" if policy.source else ""
    return Verdict(outcome, reason, str(policy), place)
