"""Rules that istiod's webhook refuses, so that no cluster has the object.

Source: istio, pkg/config/validation/validation.go (ValidateAuthorizationPolicy, ValidateRequestAuthentication) and
pkg/config/security/security.go (1.31).
"""

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any, NamedTuple

from meshinstall.checks.policies.reading import CUSTOM, Rule, action, finding, items, maps, port_number, rules, table, targets, texts, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_kinds import GATEWAY_API, NETWORKING
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

_MOST_ACCOUNTS, _LONGEST_ACCOUNT = 16, 320
_ONE, _ANY = "{*}", "{**}"
_MASK = re.compile(r"/.*[^0-9]")
_LITERAL = re.compile(r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]+")
_KEYS = frozenset(
    {
        *("source.ip", "remote.ip", "source.namespace", "source.serviceAccount", "source.principal", "source.trustDomain"),
        *("request.auth.principal", "request.auth.audiences", "request.auth.presenter"),
        *("destination.ip", "destination.port", "connection.sni"),
    }
)
_BRACKETED = ("request.headers", "request.auth.claims", "experimental.envoy.filters.")
# What the values of a key are, beside those of fields.
_OF_KEY = {
    "source.ip": "ipBlocks",
    "remote.ip": "ipBlocks",
    "destination.ip": "ipBlocks",
    "destination.port": "port",
    "source.serviceAccount": "serviceAccounts",
    "source.trustDomain": "trustDomains",
}


# What targetRefs may name, by group and kind.
_TARGETS = ((GATEWAY_API, "Gateway"), (GATEWAY_API, "GatewayClass"), ("", "Service"), ("core", "Service"), (NETWORKING, "ServiceEntry"))


class Fault(NamedTuple):
    """Where a policy is refused, why, and what to do."""

    path: KeyPath
    text: str
    hint: str


def refused(policy: PolicyObject) -> Iterator[Finding]:
    """Why istiod refuses an AuthorizationPolicy or a RequestAuthentication, place by place.

    POL006 has DENY and CUSTOM without rules, POL029 CUSTOM by who calls.
    """
    for fault in faults(policy):
        title = f"istiod refuses this policy: {fault.text}"
        yield finding("POL030", Severity.ERROR, (policy, fault.path), title, fault.hint)


def faults(policy: PolicyObject) -> Iterator[Fault]:
    """The same without a code; nothing for other kinds."""
    if policy.kind in {"AuthorizationPolicy", "RequestAuthentication"}:
        yield from _attached(policy)
    if policy.kind == "RequestAuthentication":
        for path, written in maps(policy.spec.get("jwtRules"), ("spec", "jwtRules")):
            yield from _of_tokens(path, written)
    if policy.kind == "AuthorizationPolicy":
        yield from _of_policy(policy)


def _attached(policy: PolicyObject) -> Iterator[Fault]:
    for path, target in targets(policy):
        group, kind = word(target.get("group")), word(target.get("kind"))
        if target.get("namespace"):
            hint = "put the policy into the namespace of what it is for, and remove namespace"
            yield Fault((*path, "namespace"), "a targetRef names a namespace", hint)
        if not word(target.get("name")):
            yield Fault(path, "a targetRef has no name", "name what the policy is for")
        if (group, kind) not in _TARGETS:
            text = f"a targetRef names {kind or 'no kind'} of the group {group or 'of the core'}"
            known = ", ".join(f"{kind} of {group}" if group else kind for group, kind in _TARGETS if group != "core")
            yield Fault((*path, "kind"), text, f"known: {known}")
    for key, value in table(table(policy.spec.get("selector")).get("matchLabels")).items():
        if not key or "*" in f"{key}{word(value)}":
            path = ("spec", "selector", "matchLabels", key)
            yield Fault(path, "a selector has an empty label or a *", "write each label as the pods have it")


def _of_tokens(path: KeyPath, rule: Mapping[str, Any]) -> Iterator[Fault]:
    uri = word(rule.get("jwksUri"))
    if not (word(rule.get("issuer")) or uri):
        yield Fault(path, "a rule has neither issuer nor jwksUri", "write the issuer, letter by letter as iss in its tokens")
    if uri and not uri.startswith(("https://", "http://")):
        yield Fault((*path, "jwksUri"), f"{uri} does not begin with https://", "write the address of the issuer's keys")
    for name in ("audiences", "fromParams", "fromCookies"):
        for index, value in enumerate(texts(rule.get(name))):
            if not value:
                yield Fault((*path, name, str(index)), f"an entry of {name} is empty", "remove it")
    for at, header in maps(rule.get("fromHeaders"), (*path, "fromHeaders")):
        if not word(header.get("name")):
            yield Fault(at, "an entry of fromHeaders has no name", "name the header")
    for at, claim in maps(rule.get("outputClaimToHeaders"), (*path, "outputClaimToHeaders")):
        if not (word(claim.get("header")) and word(claim.get("claim"))):
            yield Fault(at, "an entry of outputClaimToHeaders lacks header or claim", "write both")


def _of_policy(policy: PolicyObject) -> Iterator[Fault]:
    if policy.spec.get("provider") and action(policy) != CUSTOM:
        yield Fault(
            ("spec", "provider"), f"provider is for CUSTOM, and this is {action(policy)}", "remove provider, or write action: CUSTOM"
        )
    for path, written in maps(policy.spec.get("rules"), ("spec", "rules")):
        for name in ("from", "to"):
            if written.get(name) == []:
                yield Fault((*path, name), f"{name} is an empty list", f"remove {name}; without it the rule is for all")
    for rule in rules(policy):
        yield from _of_rule(rule)


def _of_rule(rule: Rule) -> Iterator[Fault]:
    for path, part in (*rule.sources, *rule.operations):
        if not any(items(value) for value in part.values()):
            yield Fault(path, f"{path[-1]} is empty", "write what is meant, or remove the entry")
        for name in part:
            yield from _of_values((*path, name), name, texts(part.get(name)))
    for path, source in rule.sources:
        yield from _mixed(path, source)
    for path, condition in rule.conditions:
        yield from _of_condition(path, condition)


def _mixed(path: KeyPath, source: Mapping[str, Any]) -> Iterator[Fault]:
    accounts = next((name for name in ("serviceAccounts", "notServiceAccounts") if items(source.get(name))), "")
    others = (name for name in ("principals", "notPrincipals", "namespaces", "notNamespaces") if items(source.get(name)))
    if accounts and (other := next(others, "")):
        yield Fault((*path, accounts), f"{accounts} beside {other}", "a service account has its namespace: write NAMESPACE/NAME alone")


def _of_condition(path: KeyPath, condition: Mapping[str, Any]) -> Iterator[Fault]:
    key = word(condition.get("key"))
    if not items(condition.get("values")) and not items(condition.get("notValues")):
        yield Fault(path, f"the condition {key} has neither values nor notValues", "write one of them")
    elif key not in _KEYS and not _is_bracketed(key):
        hint = f"known: {', '.join(sorted(_KEYS))}, request.headers[NAME], request.auth.claims[NAME]"
        yield Fault((*path, "key"), f"there is no key {key}", hint)
    for name in ("values", "notValues"):
        yield from _of_values((*path, name), _OF_KEY.get(key, name), texts(condition.get(name)))


def _is_bracketed(key: str) -> bool:
    return key.startswith(_BRACKETED) and re.fullmatch(r"[^\[]+\[.+\]", key) is not None


def _of_values(path: KeyPath, name: str, values: list[str]) -> Iterator[Fault]:
    """Values of a field or of a key; each is judged by what the field holds."""
    field = name[3:4].lower() + name[4:] if name.startswith("not") else name
    if field == "serviceAccounts" and len(values) > _MOST_ACCOUNTS:
        yield Fault(path, f"{name} has more than {_MOST_ACCOUNTS} entries", "write a second source")
    for index, value in enumerate(values):
        if not value:
            yield Fault((*path, str(index)), f"an entry of {name} is empty", "remove it")
        elif field in _JUDGES and (text := _JUDGES[field][0](value)):
            yield Fault((*path, str(index)), f"{value} {text}", _JUDGES[field][1])


def _wrong_address(value: str) -> str:
    try:
        # A mask in place of the number of bits is none to Go.
        is_known = not _MASK.search(value) and bool(ip_network(value, strict=False))
    except ValueError:
        is_known = False
    return "" if is_known else "is neither an address nor a block of them"


def _wrong_port(value: str) -> str:
    return "is not a port" if port_number(value) is None else ""


def _wrong_account(value: str) -> str:
    space, slash, name = value.partition("/")
    if "*" in value:
        return "has a *, which does not count in serviceAccounts"
    is_form = "/" not in name and (bool(space and name) if slash else bool(space))
    return "" if is_form and len(value) <= _LONGEST_ACCOUNT else "is not NAME or NAMESPACE/NAME"


def _wrong_domain(value: str) -> str:
    if "/" in value:
        return "has a slash, and a trust domain has none"
    inner = value.count("*") > 1 or "*" in value[1:-1]
    return "has a * that is not alone at the start or at the end" if inner else ""


def _wrong_path(value: str) -> str:
    segments = value.strip("/").split("/")
    operators = [one for one in segments if one in {_ONE, _ANY}]
    others = [one for one in segments if one not in {_ONE, _ANY}]
    if any(char in one for one in others for char in "{}"):
        return "has a brace outside of {*} and {**}, which are whole segments"
    if _ANY in operators[:-1]:
        return "has an operator after {**}"
    if operators and not all(_LITERAL.fullmatch(one) for one in others):
        return "has a segment beside {*} that is empty or has a character that none may have"
    return ""


_OF_ADDRESSES = (_wrong_address, "write an address, or a block such as 10.0.0.0/8")
# What judges a value of a field, and what to write.
_JUDGES = {
    "ipBlocks": _OF_ADDRESSES,
    "remoteIpBlocks": _OF_ADDRESSES,
    # Of a condition; POL001 has those of operations.
    "port": (_wrong_port, "write a number from 0 to 65535"),
    "serviceAccounts": (_wrong_account, "write each account in full: NAME, or NAMESPACE/NAME"),
    "trustDomains": (_wrong_domain, "write the trust domain of a certificate; * stands for something at its start or its end"),
    "paths": (_wrong_path, "{*} is one segment; {**} is several, and comes last"),
}
