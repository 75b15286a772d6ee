"""Gateways: what locks them, and the preflights of browsers that policies refuse there.

Sources: istio, pilot/pkg/model/authorization.go (policies of the root namespace are for gateways too), pilot/pkg/security/authn
(preflights carry no token and pass the check of tokens), pilot/pkg/networking/core/listener_builder.go (CORS is answered after
AuthorizationPolicies), 1.31.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from meshinstall.checks.policies.reading import (
    ALLOW,
    DENY,
    GATEWAY_NAME,
    HTTP_SOURCES,
    IDENTITIES,
    NOT_IDENTITIES,
    GatewayPods,
    Policies,
    Rule,
    action,
    finding,
    is_dry_run,
    items,
    maps,
    meets,
    rules,
    selector,
    table,
    targets,
    texts,
    word,
)
from meshinstall.checks.policies.waypoints import WAYPOINT_CLASS
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_kinds import GATEWAY_API, NETWORKING
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

_TOKENS = "request.auth."
_PREFLIGHT = "OPTIONS"
_SHOWN = 3


def locked(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an AuthorizationPolicy of the root namespace: that clients from outside are refused at the gateways."""
    if policy.namespace != policies.root_namespace or selector(policy) != {} or is_dry_run(policy):
        return
    if action(policy) == ALLOW and not items(policy.spec.get("rules")):
        shut = [pods.name for pods in _gateways(policies) if not _lets_in(policies, pods)]
        if shut:
            names = f"{', '.join(shut[:_SHOWN])}{f' and {len(shut) - _SHOWN} more' if len(shut) > _SHOWN else ''}"
            title = f"it lets nobody in at {names} either: no ALLOW of these files is for clients of that gateway"
            hint = "add an ALLOW for each gateway, with its selector or targetRefs and to.operation.ports or hosts"
            yield finding("POL037", Severity.WARNING, (policy, ("spec",)), title, hint)
    if action(policy) == DENY:
        for rule in rules(policy):
            yield from _denied_outside(policies, rule)


def _denied_outside(policies: Policies, rule: Rule) -> Iterator[Finding]:
    for path, source in rule.sources:
        named = [name for name in NOT_IDENTITIES if items(source.get(name))]
        if named and set(source) <= {*NOT_IDENTITIES} and not rule.ports():
            title = f"this DENY is in {policies.root_namespace}: {named[0]} means every client from outside, and gateways refuse them all"
            hint = "put it into the namespaces that are meant: no ALLOW, wherever it is, lets in what a DENY refuses"
            yield finding("POL037", Severity.WARNING, (rule.policy, (*path, named[0])), title, hint)


def _gateways(policies: Policies) -> Iterator[GatewayPods]:
    """Gateways of the environment, and those that objects of the files name; waypoints are not among them."""
    yield from policies.gateways
    for one in policies.of_group(NETWORKING, "Gateway"):
        labels = {key: word(value) for key, value in table(one.spec.get("selector")).items()}
        if labels and not any(meets(labels, known.labels) for known in policies.gateways):
            yield GatewayPods(f"the pods of Gateway {one.namespace}/{one.name}", "", labels)
    yield from map(_of_gateway_api, _routed(policies))


def _routed(policies: Policies) -> Iterator[PolicyObject]:
    return (one for one in policies.of_group(GATEWAY_API, "Gateway") if one.spec.get("gatewayClassName") != WAYPOINT_CLASS)


def _of_gateway_api(gateway: PolicyObject) -> GatewayPods:
    return GatewayPods(f"Gateway {gateway.namespace}/{gateway.name}", gateway.namespace, {GATEWAY_NAME: gateway.name})


def _lets_in(policies: Policies, pods: GatewayPods) -> bool:
    return any(
        action(one) == ALLOW and items(one.spec.get("rules")) and not is_dry_run(one) and _is_for(policies, one, pods)
        for one in policies.of("AuthorizationPolicy")
    )


def _is_for(policies: Policies, policy: PolicyObject, pods: GatewayPods) -> bool:
    """Whether a policy may be for the pods of a gateway, of which not all labels are known."""
    wanted = selector(policy)
    if wanted is None:
        name = pods.labels.get(GATEWAY_NAME)
        return policy.namespace == pods.namespace and any(word(one.get("name")) == name for _, one in targets(policy))
    here = not pods.namespace or policy.namespace in {pods.namespace, policies.root_namespace}
    # A label that is not known may be there, beside one that is.
    known = not wanted or bool(wanted.keys() & pods.labels.keys())
    return here and known and all(pods.labels.get(key, value) == value for key, value in wanted.items())


def preflights(policies: Policies, route: PolicyObject) -> Iterator[Finding]:
    """Of a route with CORS: that policies of its gateways refuse the preflights, which carry neither token nor certificate."""
    place = _cors(route)
    if place is None:
        return
    for pods in _gateways_of(policies, route):
        for by in policies.once(("preflights", pods.name), partial(_refusing, policies, pods)):
            title = f"{by} refuses the preflights of browsers at {pods.name}: they carry no token, and CORS is answered after policies"
            hint = 'let them pass: an ALLOW with methods: ["OPTIONS"], and notMethods: ["OPTIONS"] in a DENY'
            yield finding("POL038", Severity.WARNING, (route, place), title, hint)


def _cors(route: PolicyObject) -> KeyPath | None:
    """Where a route has the gateway answer preflights."""
    if route.kind == "VirtualService":
        found = ((*path, "corsPolicy") for path, one in maps(route.spec.get("http"), ("spec", "http")) if one.get("corsPolicy"))
    else:
        found = (
            at
            for path, rule in maps(route.spec.get("rules"), ("spec", "rules"))
            for at, one in maps(rule.get("filters"), (*path, "filters"))
            if word(one.get("type")) == "CORS"
        )
    return next(found, None)


def _gateways_of(policies: Policies, route: PolicyObject) -> Iterator[GatewayPods]:
    """The gateways of these files that a route is for."""
    if route.kind == "VirtualService":
        names = {one if "/" in one else f"{route.namespace}/{one}" for one in texts(route.spec.get("gateways")) if one != "mesh"}
        for one in policies.of_group(NETWORKING, "Gateway"):
            labels = {key: word(value) for key, value in table(one.spec.get("selector")).items()}
            if labels and f"{one.namespace}/{one.name}" in names:
                space = next((known.namespace for known in policies.gateways if meets(labels, known.labels)), "")
                yield GatewayPods(f"Gateway {one.namespace}/{one.name}", space, labels)
        return
    parents = {(word(one.get("namespace")) or route.namespace, word(one.get("name"))) for _, one in maps(route.spec.get("parentRefs"), ())}
    yield from (_of_gateway_api(one) for one in _routed(policies) if (one.namespace, one.name) in parents)


def _refusing(policies: Policies, pods: GatewayPods) -> Iterator[PolicyObject]:
    """Policies by which a preflight is refused: each DENY that matches it, or the first ALLOW where none matches."""
    applying = [one for one in policies.of("AuthorizationPolicy") if not is_dry_run(one) and _is_for(policies, one, pods)]
    # Where it is not known in which namespace the pods are, a policy without a selector may be for others.
    sure = [one for one in applying if pods.namespace or selector(one) != {} or one.namespace == policies.root_namespace]
    yield from (one for one in sure if action(one) == DENY and any(map(_denies_without_token, rules(one))))
    allows = [one for one in applying if action(one) == ALLOW]
    refusing = [one for one in sure if action(one) == ALLOW and any(rule for rule in rules(one) if _is_by_token(rule))]
    if refusing and not any(_lets_pass(rule) for one in allows for rule in rules(one)):
        yield refusing[0]


def _denies_without_token(rule: Rule) -> bool:
    """Whether a rule of a DENY is for requests without a token, of any method."""
    by_source = [source for _, source in rule.sources if items(source.get("notRequestPrincipals"))]
    alone = any(set(source) == {"notRequestPrincipals"} for source in by_source)
    return alone and not rule.conditions and _takes(rule.operations)


def _takes(operations: tuple[tuple[KeyPath, Mapping[str, Any]], ...]) -> bool:
    """Whether operations take a preflight, whatever its path and host."""
    return not operations or any(_has_method(one) for _, one in operations)


def _has_method(operation: Mapping[str, Any]) -> bool:
    methods = texts(operation.get("methods"))
    named = not methods or any(one in {_PREFLIGHT, "*"} or one in {"OPT*", "O*"} for one in methods)
    return named and _PREFLIGHT not in texts(operation.get("notMethods"))


def _is_by_token(rule: Rule) -> bool:
    keys = any(word(part.get("key")).startswith(_TOKENS) and items(part.get("values")) for _, part in rule.conditions)
    return keys or any(items(source.get(HTTP_SOURCES[0])) for _, source in rule.sources)


def _lets_pass(rule: Rule) -> bool:
    """Whether a rule of an ALLOW may let a preflight in."""
    keys = any(word(part.get("key")).startswith((_TOKENS, "source.")) and items(part.get("values")) for _, part in rule.conditions)
    wants = (HTTP_SOURCES[0], *IDENTITIES)
    by_source = bool(rule.sources) and all(any(items(source.get(name)) for name in wants) for _, source in rule.sources)
    return not keys and not by_source and _takes(rule.operations)
