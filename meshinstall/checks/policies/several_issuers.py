"""Rules for tokens that count for one workload together: each adds to what the others accept.

Sources: istio, pilot/pkg/security/authn/policy_applier.go (a request passes by one good token, or where each that is there is good); Envoy,
source/extensions/filters/http/jwt_authn, asked with two providers: of a good token and a bad one at another place, the bad one is not
looked at.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from meshinstall.checks.policies.reading import ALLOW, Policies, Rule, action, applies_with, finding, items, maps, rules, texts, word
from meshinstall.model.authz import AUTHORIZATION, BEARER
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

_PLACES = ("fromHeaders", "fromParams", "fromCookies")
_CLAIMS = "request.auth.claims["
_ISSUER = "request.auth.claims[iss]"
_SHOWN = 3


class Reader(NamedTuple):
    """One rule for tokens, with its place."""

    policy: PolicyObject
    path: KeyPath
    fields: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """Whose tokens; empty for everybody's."""
        return word(self.fields.get("issuer"))

    @property
    def places(self) -> frozenset[str]:
        """Where it looks for tokens."""
        if not any(items(self.fields.get(name)) for name in _PLACES):
            return frozenset({f"header {AUTHORIZATION} after {BEARER!r}", "parameter access_token"})
        headers = (
            (word(one.get("name")).lower(), word(one.get("prefix"))) for _, one in maps(self.fields.get("fromHeaders"), ("fromHeaders",))
        )
        named = [f"header {name} after {prefix!r}" if prefix else f"header {name}" for name, prefix in headers]
        named += [f"parameter {name}" for name in texts(self.fields.get("fromParams"))]
        return frozenset([*named, *(f"cookie {name}" for name in texts(self.fields.get("fromCookies")))])


def together(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of a RequestAuthentication: rules that make another one of the same workload wider."""
    readers = _readers(policies, policy)
    for number, own in enumerate(readers):
        # Each pair is named once, at the later of both.
        before = readers[:number]
        if own.policy is not policy:
            continue
        if not own.issuer:
            yield from _of_everybody(own, [one.issuer for one in readers if one.issuer])
            continue
        twin = next((one for one in before if one.issuer == own.issuer and one.places & own.places and _differs(one, own)), None)
        if twin:
            yield from _twice(own, twin)
        apart = next((one for one in before if one.issuer and one.issuer != own.issuer and not one.places & own.places), None)
        if apart:
            title = (
                f"a bad token in {_named(own)} passes beside a good one in {_named(apart)}: the proxy looks at no more once a token is good"
            )
            hint = "go by requestPrincipals of this issuer in an ALLOW: then a token that was not checked lets nobody in"
            yield finding("POL043", Severity.WARNING, (own.policy, (*own.path, "issuer")), title, hint)


def _readers(policies: Policies, policy: PolicyObject) -> list[Reader]:
    """All rules for workloads of a policy, in one order whichever of them is asked about."""
    others = [
        one for one in policies.near("RequestAuthentication", policy) if one is policy or applies_with(policy, one, policies.root_namespace)
    ]
    others.sort(key=lambda one: (one.source, one.place(())))
    return [Reader(one, path, rule) for one in others for path, rule in maps(one.spec.get("jwtRules"), ("spec", "jwtRules"))]


def _named(reader: Reader) -> str:
    return min(reader.places)


def _differs(one: Reader, other: Reader) -> bool:
    audiences = set(texts(one.fields.get("audiences"))) != set(texts(other.fields.get("audiences")))
    return audiences or any(word(one.fields.get(name)) != word(other.fields.get(name)) for name in ("jwksUri", "jwks"))


def _twice(own: Reader, twin: Reader) -> Iterator[Finding]:
    line, _ = twin.policy.place(twin.path)
    title = (
        f"tokens of {own.issuer} have a second rule beside that of {twin.policy} ({twin.policy.source}:{line}): what either accepts gets in"
    )
    hint = "write one rule for each issuer; who calls a workload by which audience is for its AuthorizationPolicy: request.auth.audiences"
    yield finding("POL044", Severity.WARNING, (own.policy, (*own.path, "issuer")), title, hint)


def _of_everybody(own: Reader, others: list[str]) -> Iterator[Finding]:
    names = ", ".join(sorted(set(others))[:_SHOWN])
    more = f", also one of {names}" if names else ""
    title = f"a rule without an issuer accepts whatever iss these keys sign{more}: whoever has the keys is anybody"
    hint = "write the issuer, letter by letter as iss in its tokens"
    yield finding("POL045", Severity.ERROR if others else Severity.WARNING, (own.policy, own.path), title, hint)


def of_any_issuer(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an ALLOW: rules by tokens that each of several issuers may make."""
    if action(policy) != ALLOW:
        return
    for rule in rules(policy):
        place = _claims(rule) or _everybody(rule)
        if place is None or _names_issuer(rule):
            continue
        readers = [one for one in policies.near("RequestAuthentication", policy) if applies_with(policy, one, policies.root_namespace)]
        issuers = sorted({word(part.get("issuer")) for one in readers for _, part in maps(one.spec.get("jwtRules"), ())} - {""})
        if len(issuers) > 1:
            what, path = place
            title = f"{what} may be of any issuer here ({', '.join(issuers[:_SHOWN])}): each of them decides who is let in"
            hint = f'name each issuer that is meant: requestPrincipals: ["ISSUER/*"], or {{key: "{_ISSUER}", values: [ISSUER]}}'
            yield finding("POL046", Severity.WARNING, (policy, path), title, hint)


def _everybody(rule: Rule) -> tuple[str, KeyPath] | None:
    """Where a rule takes every principal of a token."""
    return next(
        (("*", (*path, "requestPrincipals")) for path, source in rule.sources if "*" in texts(source.get("requestPrincipals"))), None
    )


def _claims(rule: Rule) -> tuple[str, KeyPath] | None:
    """The first claim that a rule demands."""
    keys = ((word(part.get("key")), (*path, "key")) for path, part in rule.conditions if items(part.get("values")))
    return next(((key, path) for key, path in keys if key.startswith(_CLAIMS)), None)


def _names_issuer(rule: Rule) -> bool:
    """Whether each way to meet a rule goes by an issuer."""
    for _, part in rule.conditions:
        key, values = word(part.get("key")), texts(part.get("values"))
        if values and (key == _ISSUER or (key == "request.auth.principal" and "*" not in values)):
            return True
    principals = [texts(source.get("requestPrincipals")) for _, source in rule.sources]
    return bool(principals) and all(found and not any(one.startswith("*") for one in found) for found in principals)
