"""Texts that can never match what Istio compares them with.

Sources: istio, pilot/pkg/security/authz/matcher (exact, prefix, suffix, presence; templates of paths), authz/model (principals, ports),
and the reference of AuthorizationPolicy.
"""

import re
from collections.abc import Iterator

from meshinstall.checks.policies.reading import Policies, Rule, finding, port_number, rules, texts, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import DEFAULT_DOMAIN
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

_SCHEME = "spiffe://"
_STAR = "use one prefix or one suffix, or several entries"
_IDENTITY = re.compile(r"[^/]+/ns/[^/]+/sa/[^/]+")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"})
# What istiod replaces by the mesh's own trust domain and its aliases (istio: pilot/pkg/trustbundle, authz/trustdomain).
_ANY_DOMAIN = DEFAULT_DOMAIN
_TEMPLATE = re.compile(r"\{\*{1,2}\}")
_WITH_NAMESPACE = ("namespaces", "notNamespaces", "principals", "notPrincipals", "serviceAccounts", "notServiceAccounts")
# Of DOMAIN/ns/NAMESPACE/sa/NAME.
_PARTS = 5
_SHORTEST, _PAIR = 4, 2


def never_matching(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Each text of an AuthorizationPolicy that nothing is ever equal to."""
    for rule in rules(policy):
        yield from _principals(policies, rule)
        yield from _namespaces(policies, rule)
        yield from _operations(rule)


def _principals(policies: Policies, rule: Rule) -> Iterator[Finding]:
    for path, source in rule.sources:
        for name in ("principals", "notPrincipals"):
            yield from _identities(policies, rule, (*path, name), texts(source.get(name)))
    for path, condition in rule.conditions:
        if word(condition.get("key")) == "source.principal":
            for name in ("values", "notValues"):
                yield from _identities(policies, rule, (*path, name), texts(condition.get(name)))


def _namespaces(policies: Policies, rule: Rule) -> Iterator[Finding]:
    """Namespaces that look like a slip of one that these files have."""
    known = policies.namespaces()
    for path, source in rule.sources:
        for name in _WITH_NAMESPACE:
            for index, one in enumerate(texts(source.get(name))):
                parts = one.split("/")
                said = parts[2] if len(parts) == _PARTS and parts[1] == "ns" else parts[0] if not name.endswith("rincipals") else ""
                meant = next((space for space in sorted(known) if is_slip(said, space)), "")
                if meant and said not in known:
                    title = f"the namespace {said} is not that of any object of these files, and {meant} is: is it a slip?"
                    place = (*path, name, str(index))
                    yield finding("POL028", Severity.WARNING, (rule.policy, place), title, f"write {meant} if it is meant")


def is_slip(said: str, meant: str) -> bool:
    """Whether a letter inside is too many or too few, or two changed places; another letter in its place may be meant."""
    if min(len(said), len(meant)) < _SHORTEST or said == meant:
        return False
    if len(said) == len(meant):
        at = [index for index, pair in enumerate(zip(said, meant, strict=True)) if pair[0] != pair[1]]
        return len(at) == _PAIR and at[1] == at[0] + 1 and said[at[0]] == meant[at[1]] and said[at[1]] == meant[at[0]]
    long, short = sorted((said, meant), key=len, reverse=True)
    # Names that only end differently, such as shop and shops, are often two.
    if len(long) != len(short) + 1 or long.startswith(short):
        return False
    more = next(index for index, char in enumerate(long) if short[index : index + 1] != char)
    return more > 0 and long[more + 1 :] == short[more:]


def _identities(policies: Policies, rule: Rule, path: KeyPath, found: list[str]) -> Iterator[Finding]:
    for index, one in enumerate(found):
        place = (*path, str(index))
        if one.startswith(_SCHEME):
            hint = f"write it without {_SCHEME}: {one.removeprefix(_SCHEME)}"
            yield _never(rule, place, f"the principal {one} matches nobody: Istio compares without {_SCHEME}", hint)
        elif "*" in one[1:-1]:
            yield _never(rule, place, f"the principal {one} matches nobody: * stands for something only at the start or at the end", _STAR)
        elif "*" not in one:
            yield from _name(policies, rule, place, one)


def _name(policies: Policies, rule: Rule, place: KeyPath, one: str) -> Iterator[Finding]:
    """A principal without *: those that istiod signs are names of service accounts; a gateway's clients may have others."""
    domain = one.partition("/")[0]
    if not _IDENTITY.fullmatch(one):
        title = f"the principal {one} is not the name of a service account, and no workload of the mesh has another"
        yield finding("POL002", Severity.WARNING, (rule.policy, place), title, "write TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT")
    elif domain not in {*policies.trust_domains, _ANY_DOMAIN}:
        title = f"the principal {one} is of the trust domain {domain}, and this mesh has {', '.join(policies.trust_domains)}"
        hint = f"write {_ANY_DOMAIN}, which istiod reads as the mesh's own, or add {domain} to trustDomainAliases"
        yield finding("POL002", Severity.WARNING, (rule.policy, place), title, hint)


def _operations(rule: Rule) -> Iterator[Finding]:
    for path, operation in rule.operations:
        for name in ("methods", "notMethods"):
            for index, one in enumerate(texts(operation.get(name))):
                if one != one.upper() and one.upper().strip("*") in _METHODS:
                    hint = f"write {one.upper()}: methods are compared letter by letter"
                    yield _never(rule, (*path, name, str(index)), f"the method {one} matches no request", hint)
        for name in ("paths", "notPaths"):
            for index, one in enumerate(texts(operation.get(name))):
                yield from _path(rule, (*path, name, str(index)), one)
        for name in ("ports", "notPorts"):
            for index, one in enumerate(texts(operation.get(name))):
                if not port_number(one):
                    yield _never(rule, (*path, name, str(index)), f"{one} is not a port", "write the number of the container's port")


def _path(rule: Rule, place: KeyPath, one: str) -> Iterator[Finding]:
    if not one.startswith(("/", "*", "{")):
        yield _never(rule, place, f"the path {one} matches no request: each begins with /", f"write /{one}")
    elif "?" in one:
        title = f"the path {one} matches no request: what comes after ? is not compared"
        yield _never(rule, place, title, f"write {one.partition('?')[0]}")
    elif "*" in _TEMPLATE.sub("", one)[1:-1] or (_TEMPLATE.search(one) and "*" in _TEMPLATE.sub("", one)):
        title = f"the path {one} matches no request: * stands for something only at the start or at the end"
        yield _never(rule, place, title, "use {*} for one segment and {**} for several (Istio 1.22 and later)")


def _never(rule: Rule, place: KeyPath, title: str, hint: str) -> Finding:
    return finding("POL001", Severity.ERROR, (rule.policy, place), title, hint)
