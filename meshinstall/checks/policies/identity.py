"""Issuers of RequestAuthentications, held against the identity providers of the environment and against the form of their kind.

Sources: istio, pilot/pkg/security/authn/policy_applier.go and pkg/model/jwks_resolver.go; what each kind's issuer looks like is in
model/identity.py.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.checks.policies.reading import Policies, Rule, applies_with, finding, maps, rules, texts, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.identity import IdentityKind, IdentityProvider, kind_of, same_but, trap_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath


def against_providers(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """What a RequestAuthentication says otherwise than the provider whose issuer it has, or than any issuer of its kind."""
    for path, rule in maps(policy.spec.get("jwtRules"), ("spec", "jwtRules")):
        issuer, where = word(rule.get("issuer")), (policy, (*path, "issuer"))
        provider = next((one for one in policies.identity if one.issuer == issuer), None)
        if provider:
            yield from _differs(provider, policy, path, rule)
        elif trap := trap_of(kind_of(issuer), issuer) if kind_of(issuer) is not IdentityKind.GENERIC else None:
            yield finding("POL021", Severity.ERROR, where, f"no token has the issuer {issuer}: {trap.text}", trap.hint)
        elif near := next((one for one in policies.identity if same_but(one.issuer, issuer)), None):
            title = f"the issuer {issuer} is not that of {near.name}: tokens are compared with it letter by letter"
            yield finding("POL021", Severity.ERROR, where, title, f"write {near.issuer} ({near.origin})")
        elif policies.identity:
            known = ", ".join(one.name for one in policies.identity)
            title = f"the issuer {issuer} is not one of this environment's identity providers: whoever runs it decides who is let in"
            yield finding("POL022", Severity.WARNING, where, title, f"add it to identity of meshinstall.yaml, or remove it; known: {known}")


def _differs(provider: IdentityProvider, policy: PolicyObject, path: KeyPath, rule: Mapping[str, Any]) -> Iterator[Finding]:
    uri = word(rule.get("jwksUri"))
    if uri and uri != provider.keys:
        title = f"keys come from {uri}, and {provider.name} has them at {provider.keys}: who holds the other address makes its tokens"
        yield finding("POL023", Severity.ERROR, (policy, (*path, "jwksUri")), title, f"write {provider.keys} ({provider.origin})")
    if rule.get("jwks"):
        title = f"the keys of {provider.name} are written here: when it changes them, every token is refused"
        yield finding("POL023", Severity.WARNING, (policy, (*path, "jwks")), title, f"write jwksUri: {provider.keys} instead")
    for index, one in enumerate(texts(rule.get("audiences"))):
        if one not in provider.audiences:
            allowed = f"its audiences are {', '.join(provider.audiences)}" if provider.audiences else "its tokens have none"
            title = f"the audience {one} is not one of {provider.name}: {allowed}"
            place = (policy, (*path, "audiences", str(index)))
            yield finding("POL023", Severity.ERROR, place, title, f"add it to audiences at {provider.origin}, or remove it here")


def without_subject(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an AuthorizationPolicy: principals of tokens that have no sub, for Istio makes a principal of iss and sub alone."""
    lacking = {one.issuer: one.name for one in policies.identity if not one.has_subject}
    issuers = _issuers(policies, policy) if lacking else frozenset()
    some = ", ".join(lacking[one] for one in sorted(issuers & lacking.keys()))
    every = some if issuers <= lacking.keys() else ""
    for rule in rules(policy):
        for path, is_meant, values in _principals(rule):
            for index, one in enumerate(values):
                named = lacking.get(one.rpartition("/")[0]) or ((every if is_meant else some) if one == "*" else "")
                if named:
                    effect = f"nobody has the principal {one}" if is_meant else f"nobody is spared by the principal {one}"
                    title = f"{effect}: tokens of {named} have no sub, and Istio makes no principal without"
                    hint = 'go by claims: when: [{key: "request.auth.claims[iss]", values: [ISSUER]}]'
                    yield finding("POL024", Severity.ERROR, (policy, (*path, str(index))), title, hint)


def _principals(rule: Rule) -> Iterator[tuple[KeyPath, bool, list[str]]]:
    """Lists of principals of tokens, each with its place and whether those in it are meant, or spared."""
    for path, source in rule.sources:
        yield (*path, "requestPrincipals"), True, texts(source.get("requestPrincipals"))
        yield (*path, "notRequestPrincipals"), False, texts(source.get("notRequestPrincipals"))
    for path, part in rule.conditions:
        if word(part.get("key")) == "request.auth.principal":
            yield (*path, "values"), True, texts(part.get("values"))
            yield (*path, "notValues"), False, texts(part.get("notValues"))


def _issuers(policies: Policies, policy: PolicyObject) -> frozenset[str]:
    """Issuers that a workload of the policy may know."""
    readers = (one for one in policies.near("RequestAuthentication", policy) if applies_with(policy, one, policies.root_namespace))
    return frozenset(word(rule.get("issuer")) for one in readers for _, rule in maps(one.spec.get("jwtRules"), ()))
