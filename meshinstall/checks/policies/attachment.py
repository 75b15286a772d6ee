"""Where a policy is attached: what its targetRefs name, and what ztunnel makes of a policy without them.

Sources: istio, pilot/pkg/model/policyattachment.go (waypoints go by targetRefs alone, sidecars by selectors alone) and
pilot/pkg/serviceregistry/ambient/authorization.go (ztunnel knows nothing of HTTP, tokens and trust domains), 1.31.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.checks.policies.reading import (
    ALLOW,
    DENY,
    GATEWAY_LABELS,
    Policies,
    action,
    finding,
    items,
    rules,
    selector,
    targets,
    texts,
    word,
)
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_kinds import GATEWAY_API, NETWORKING
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

WAYPOINT_CLASS = "istio-waypoint"
_MODE, _USE_WAYPOINT, _ITS_NAMESPACE = "istio.io/dataplane-mode", "istio.io/use-waypoint", "istio.io/use-waypoint-namespace"
# The groups of what a targetRef names by itself, by kind.
TARGET_GROUPS = {"Gateway": GATEWAY_API, "Service": "", "ServiceEntry": NETWORKING}
_SHOWN = 3

_IDENTITIES = ("principals", "notPrincipals", "namespaces", "notNamespaces", "serviceAccounts", "notServiceAccounts")
_TRUST_DOMAINS = ("trustDomains", "notTrustDomains")
_ADDRESSES = ("remoteIpBlocks", "notRemoteIpBlocks")
# Keys of conditions that ztunnel knows; it leaves out a rule of an ALLOW with another one.
_KEYS = frozenset({"source.ip", "source.namespace", "source.principal", "destination.ip", "destination.port"})


def attached(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an AuthorizationPolicy or RequestAuthentication: what nothing enforces, and what ztunnel enforces otherwise."""
    for path, target in targets(policy):
        yield from _target(policies, policy, path, target)
    wanted = selector(policy)
    space = _namespace(policies, policy.namespace)
    if wanted is None or space is None or policy.namespace == policies.root_namespace or GATEWAY_LABELS & wanted.keys():
        # ztunnel does not stand in front of gateways.
        return
    if space.labels.get(_MODE) == "ambient":
        yield from _by_ztunnel(policies, policy, space)


def _target(policies: Policies, policy: PolicyObject, path: KeyPath, target: Mapping[str, Any]) -> Iterator[Finding]:
    kind, name = word(target.get("kind")), word(target.get("name"))
    if kind == "GatewayClass" and (policy.namespace != policies.root_namespace or name != WAYPOINT_CLASS):
        title = f"nothing enforces it: a GatewayClass counts as {WAYPOINT_CLASS} in {policies.root_namespace} alone"
        hint = "name the waypoint itself, with kind: Gateway, in the namespace that it is in"
        yield finding("POL034", Severity.WARNING, (policy, (*path, "name")), title, hint)
    if kind not in TARGET_GROUPS or not name:
        return
    known = list(policies.of_group(TARGET_GROUPS[kind], kind))
    here = [one for one in known if one.namespace == policy.namespace]
    found = next((one for one in here if one.name == name), None)
    there = [one.namespace for one in known if one.name == name]
    if found is None and (there or here):
        names = ", ".join(sorted(one.name for one in here)[:_SHOWN])
        where = f"it is in {there[0]}, and a targetRef is of the policy's own namespace" if there else f"there is {names}"
        title = f"nothing enforces it: no {kind} of these files is {policy.namespace}/{name}; {where}"
        hint = f"put the policy into {there[0]}" if there else "write the name of what the policy is for"
        yield finding("POL034", Severity.WARNING, (policy, (*path, "name")), title, hint)
    if kind == "Service" and found and not _has_waypoint(policies, found):
        title = f"nothing enforces it: no waypoint is in front of Service {policy.namespace}/{name}, and sidecars do not go by targetRefs"
        hint = f"label the Service or its namespace with {_USE_WAYPOINT}, or select the pods of a workload with a sidecar"
        yield finding("POL034", Severity.WARNING, (policy, (*path, "name")), title, hint)


def _has_waypoint(policies: Policies, service: PolicyObject) -> bool:
    """Whether the label of a Service or of its namespace names one; it may where the namespace is not in the files."""
    space = _namespace(policies, service.namespace)
    said = service.labels.get(_USE_WAYPOINT) or (space.labels.get(_USE_WAYPOINT) if space else "unknown")
    return bool(said) and said != "none"


def _by_ztunnel(policies: Policies, policy: PolicyObject, space: PolicyObject) -> Iterator[Finding]:
    waypoint = word(space.labels.get(_USE_WAYPOINT))
    name = _waypoint(policies, policy.namespace, waypoint)
    hint = f"attach it to the waypoint: targetRefs: [{{group: {GATEWAY_API}, kind: Gateway, name: {name}}}] in place of a selector"
    if policy.kind == "RequestAuthentication":
        title = f"no token is read: {policy.namespace} is in ambient mode, and ztunnel knows no RequestAuthentication"
        yield finding("POL035", Severity.ERROR, (policy, ("spec",)), title, hint)
        return
    if action(policy) not in {ALLOW, DENY}:
        title = f"nothing enforces this {action(policy)}: {policy.namespace} is in ambient mode, and ztunnel knows ALLOW and DENY alone"
        yield finding("POL035", Severity.ERROR, (policy, ("spec", "action")), title, hint)
        return
    unknown = next(_unknown(policy), None)
    if unknown:
        path, field = unknown
        title = f"{policy.namespace} is in ambient mode: ztunnel {_effect(policy, field)}"
        yield finding("POL035", Severity.ERROR, (policy, path), title, hint)
    elif waypoint and waypoint != "none":
        yield from _behind(policy, word(space.labels.get(_ITS_NAMESPACE)) or policy.namespace, waypoint)


def _effect(policy: PolicyObject, field: str) -> str:
    if field in _TRUST_DOMAINS:
        return f"enforces this {action(policy)} without {field}: it matches every trust domain"
    if action(policy) == ALLOW:
        return f"leaves out a rule with {field}: it lets nothing through"
    return f"enforces this DENY without {field}: it blocks all that the rest of the rule matches, often every connection"


def _unknown(policy: PolicyObject) -> Iterator[tuple[KeyPath, str]]:
    """What ztunnel does not know: each place, and how people call it."""
    for rule in rules(policy):
        yield from rule.http_fields()
        for path, source in rule.sources:
            yield from (((*path, name), name) for name in (*_ADDRESSES, *_TRUST_DOMAINS) if items(source.get(name)))
        keys = (((*path, "key"), word(part.get("key"))) for path, part in rule.conditions)
        yield from ((path, key) for path, key in keys if key not in _KEYS)


def _behind(policy: PolicyObject, namespace: str, waypoint: str) -> Iterator[Finding]:
    """A waypoint calls the pods with its own identity, and that is what ztunnel compares."""
    named = [
        (path, name, source) for rule in rules(policy) for path, source in rule.sources for name in _IDENTITIES if items(source.get(name))
    ]
    own = (f"/ns/{namespace}/sa/{waypoint}", f"{namespace}/{waypoint}")
    said = [one for _, name, source in named for one in texts(source.get(name))]
    if not named or any(one == namespace or one.endswith(own) for one in said):
        return
    path, name, _ = named[0]
    effect = "refuses all that comes by the waypoint" if action(policy) == ALLOW else "does not see who called the waypoint"
    title = (
        f"{policy.namespace} is behind the waypoint {waypoint}, by whose own identity it calls: {name} in this {action(policy)} {effect}"
    )
    hint = f"attach it to the waypoint with targetRefs, and let ztunnel allow cluster.local{own[0]} alone"
    yield finding("POL036", Severity.WARNING, (policy, (*path, name)), title, hint)


def _waypoint(policies: Policies, namespace: str, labelled: str) -> str:
    """The name of the waypoint of a namespace, or a word in its place."""
    if labelled and labelled != "none":
        return labelled
    known = (one for one in policies.of_group(GATEWAY_API, "Gateway") if one.spec.get("gatewayClassName") == WAYPOINT_CLASS)
    return next((one.name for one in known if one.namespace == namespace), "WAYPOINT")


def _namespace(policies: Policies, name: str) -> PolicyObject | None:
    return next((one for one in policies.of_group("", "Namespace") if one.name == name), None)
