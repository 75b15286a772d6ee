"""Tokens: RequestAuthentications, and the policies that go by them.

Sources: istio, pilot/pkg/security/authn (a request without a token passes), pilot/pkg/model/jwks_resolver.go; RFC 7517 on private keys.
"""

import json
from collections.abc import Collection, Iterator
from typing import Any

from meshinstall.checks.policies.reading import (
    ALLOW,
    DENY,
    Policies,
    action,
    applies_with,
    finding,
    is_dry_run,
    items,
    maps,
    rules,
    table,
    texts,
    word,
)
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.identity import IdentityKind, kind_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

# Members of a key that only its owner has.
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
_CLAIMS = "request.auth."
_CLIENT = "request.auth.claims[client_id]"


def issuers(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """What is wrong with a RequestAuthentication."""
    for path, rule in maps(policy.spec.get("jwtRules"), ("spec", "jwtRules")):
        uri = word(rule.get("jwksUri"))
        if uri.startswith("http://"):
            title = f"keys come from {uri} without TLS: whoever is on the way can make tokens of his own"
            yield finding("POL011", Severity.ERROR, (policy, (*path, "jwksUri")), title, "write https://, or put the public keys into jwks")
        if not items(rule.get("audiences")) and not _is_by_client(policies, policy, word(rule.get("issuer"))):
            title = f"a token that {word(rule.get('issuer')) or 'this issuer'} made for any other service is accepted here: no audiences"
            hint = "list the audiences that this service is called by"
            if kind_of(word(rule.get("issuer"))) is IdentityKind.COGNITO:
                hint = f"{hint}; access tokens of Cognito have none: demand when: [{{key: {_CLIENT!r}, values: [CLIENT-ID]}}]"
            yield finding("POL012", Severity.WARNING, (policy, (*path, "issuer")), title, hint)
        yield from _keys(policy, (*path, "jwks"), rule.get("jwks"))
    if items(policy.spec.get("jwtRules")) and not _is_demanded(policies, policy):
        title = "a request without a token passes: a RequestAuthentication refuses only tokens that are wrong"
        hint = 'add an AuthorizationPolicy that demands one: action ALLOW with from.source.requestPrincipals: ["ISSUER/*"]'
        yield finding("POL013", Severity.WARNING, (policy, ("spec", "jwtRules")), title, hint)


def _is_by_client(policies: Policies, policy: PolicyObject, issuer: str) -> bool:
    """Whether tokens of Cognito are told apart by their client, as those for access have no audience."""
    if kind_of(issuer) is not IdentityKind.COGNITO:
        return False
    others = (one for one in policies.near("AuthorizationPolicy", policy) if applies_with(policy, one, policies.root_namespace))
    return any(word(part.get("key")) == _CLIENT for one in others for rule in rules(one) for _, part in rule.conditions)


def _keys(policy: PolicyObject, path: KeyPath, value: Any) -> Iterator[Finding]:
    if not value:
        return
    try:
        found = json.loads(word(value))
    except (ValueError, RecursionError):
        yield finding("POL014", Severity.ERROR, (policy, path), "jwks is not JSON: every token is refused", "write a JSON Web Key Set")
        return
    for key in items(table(found).get("keys")):
        if members := sorted(PRIVATE_MEMBERS & table(key).keys()):
            title = f"jwks holds a secret (member {', '.join(members)}): who reads this file makes tokens"
            hint = "replace that key at its issuer now, and write only the public one"
            yield finding("POL014", Severity.ERROR, (policy, path), title, hint)


def _is_demanded(policies: Policies, policy: PolicyObject) -> bool:
    """Whether some AuthorizationPolicy for a pod of it refuses a request without a token."""
    others = (one for one in policies.near("AuthorizationPolicy", policy) if applies_with(policy, one, policies.root_namespace))
    return any(_refuses_without(one) for one in others if not is_dry_run(one))


def _refuses_without(policy: PolicyObject) -> bool:
    """Whether a rule allows only by what a token has, or denies what has it not."""
    names = {ALLOW: ("requestPrincipals", "values"), DENY: ("notRequestPrincipals", "notValues")}.get(action(policy))
    if names is None:
        return False
    principals, values = names
    by_source = any(items(source.get(principals)) for rule in rules(policy) for _, source in rule.sources)
    keys = (part for rule in rules(policy) for _, part in rule.conditions if word(part.get("key")).startswith(_CLAIMS))
    return by_source or any(items(part.get(values)) for part in keys)


def demands(policy: PolicyObject) -> Iterator[KeyPath]:
    """Where an AuthorizationPolicy goes by tokens."""
    for rule in rules(policy):
        for path, source in rule.sources:
            yield from ((*path, name) for name in ("requestPrincipals", "notRequestPrincipals") if items(source.get(name)))
        yield from ((*path, "key") for path, part in rule.conditions if word(part.get("key")).startswith(_CLAIMS))


def without_issuer(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an AuthorizationPolicy: tokens that no RequestAuthentication reads, and issuers that none names."""
    demanded = next(demands(policy), None)
    if demanded is None:
        return
    readers = [one for one in policies.near("RequestAuthentication", policy) if applies_with(policy, one, policies.root_namespace)]
    if not readers:
        effect = "no request ever has one, and this rule lets nothing through" if action(policy) == ALLOW else "no request ever has one"
        title = f"it goes by a token, and no RequestAuthentication of these files reads one for this workload: {effect}"
        yield finding("POL015", Severity.WARNING, (policy, demanded), title, "add a RequestAuthentication with the same selector")
        return
    known = {word(rule.get("issuer")) for one in readers for _, rule in maps(one.spec.get("jwtRules"), ())}
    for rule in rules(policy):
        for path, source in rule.sources:
            for index, one in enumerate(texts(source.get("requestPrincipals"))):
                issuer = one.rpartition("/")[0]
                if issuer and "*" not in issuer and issuer not in known:
                    place = (policy, (*path, "requestPrincipals", str(index)))
                    yield finding("POL016", Severity.ERROR, place, _of_nobody(one, issuer, known), f"known: {', '.join(sorted(known))}")


def _of_nobody(principal: str, issuer: str, known: Collection[str]) -> str:
    """Why no token has a principal: Istio takes what is before its last slash for the issuer."""
    named = next((one for one in known if one and principal.startswith(f"{one}/")), "")
    if named:
        sub = principal.removeprefix(f"{named}/")
        return (
            f"nobody has the principal {principal}: Istio cuts it at its last slash, and so never compares the sub {sub}; "
            'go by when: request.auth.claims[sub] beside requestPrincipals: ["ISSUER/*"]'
        )
    return f"no RequestAuthentication for this workload names the issuer {issuer}: nobody has this principal"


def refused_all_the_same(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an ALLOW: paths for which it asks for no token, and where a bad one is refused before it is asked."""
    if action(policy) != ALLOW:
        return
    readers = [one for one in policies.near("RequestAuthentication", policy) if applies_with(policy, one, policies.root_namespace)]
    reader = next((one for one in readers if items(one.spec.get("jwtRules"))), None)
    for rule in rules(policy) if reader else ():
        keys = any(word(part.get("key")).startswith(_CLAIMS) for _, part in rule.conditions)
        if keys or any(items(source.get(name)) for _, source in rule.sources for name in source):
            continue
        for path, operation in rule.operations:
            if items(operation.get("paths")):
                title = f"a request with a token that has expired gets 401 here too: {reader} refuses it before this rule is asked"
                hint = "clients leave the token out on these paths, or they are served by a workload without RequestAuthentication"
                yield finding("POL051", Severity.INFO, (policy, (*path, "paths")), title, hint)
