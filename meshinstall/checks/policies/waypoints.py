"""Policies without targetRefs where a waypoint or ztunnel enforces them, and not a sidecar.

Sources: istio, pilot/pkg/model/policyattachment.go (waypoints go by targetRefs alone) and
pilot/pkg/serviceregistry/ambient/authorization.go (ztunnel knows nothing of HTTP, tokens and trust domains), 1.31.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from meshinstall.checks.policies.reading import (
    ALLOW,
    DENY,
    GATEWAY_LABELS,
    Policies,
    action,
    finding,
    items,
    meets,
    rules,
    selector,
    table,
    texts,
    word,
)
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.labels import INJECTION, MODE, REVISION, USE_WAYPOINT, USE_WAYPOINT_NAMESPACE
from meshinstall.model.policy_kinds import GATEWAY_API
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

WAYPOINT_CLASS = "istio-waypoint"
_NONE = "none"

_IDENTITIES = ("principals", "notPrincipals", "namespaces", "notNamespaces", "serviceAccounts", "notServiceAccounts")
_TRUST_DOMAINS = ("trustDomains", "notTrustDomains")
_ADDRESSES = ("remoteIpBlocks", "notRemoteIpBlocks")
# Keys of conditions that ztunnel knows; it leaves out a rule of an ALLOW with another one.
_KEYS = frozenset({"source.ip", "source.namespace", "source.principal", "destination.ip", "destination.port"})


class _Front(NamedTuple):
    """What is in front of the pods of a policy: the reason in words, whether it is sure, and the waypoint that calls them, if one does."""

    text: str
    is_sure: bool
    name: str
    waypoint: str = ""
    namespace: str = ""

    @property
    def severity(self) -> Severity:
        """Pods with sidecars may be beside a waypoint."""
        return Severity.ERROR if self.is_sure else Severity.WARNING


def not_by_sidecars(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an AuthorizationPolicy or RequestAuthentication without targetRefs: what ztunnel enforces otherwise, and waypoints do not."""
    wanted = selector(policy)
    # ztunnel is not in front of gateways.
    if wanted is None or policy.namespace == policies.root_namespace or GATEWAY_LABELS & wanted.keys():
        return
    if front := _front(policies, policy, wanted):
        yield from _by_ztunnel(policy, front)


def namespace_of(policies: Policies, name: str) -> PolicyObject | None:
    """The Namespace of a name, if the files have it."""
    return next((one for one in policies.of_group("", "Namespace") if one.name == name), None)


def used_waypoint(*labelled: PolicyObject | None) -> str:
    """The waypoint that the first of these objects names which has a word about it; empty for none."""
    said = next(filter(None, (word(one.labels.get(USE_WAYPOINT)) for one in labelled if one)), _NONE)
    return "" if said == _NONE else said


def _front(policies: Policies, policy: PolicyObject, wanted: Mapping[str, str]) -> _Front | None:
    space = namespace_of(policies, policy.namespace)
    services = (
        one
        for one in policies.within("Service", (policy.namespace,))
        if one.labels.get(USE_WAYPOINT) and meets(wanted, table(one.spec.get("selector")))
    )
    service = next(services, None)
    used = used_waypoint(service, space)
    by = service if service and used_waypoint(service) else space
    there = word(by.labels.get(USE_WAYPOINT_NAMESPACE)) if by else ""
    name = used or _waypoint(policies, policy.namespace)
    if space and space.labels.get(MODE) == "ambient":
        return _Front(f"{policy.namespace} is in ambient mode", True, name or "WAYPOINT", used, there or policy.namespace)
    has_sidecars = space and (space.labels.get(INJECTION) == "enabled" or space.labels.get(REVISION) or space.labels.get(MODE) == _NONE)
    if not name or has_sidecars:
        return None
    return _Front(f"the waypoint {name} goes by targetRefs alone", False, name, used, there or policy.namespace)


def _waypoint(policies: Policies, namespace: str) -> str:
    """The name of a waypoint of a namespace."""
    known = (one for one in policies.of_group(GATEWAY_API, "Gateway") if one.spec.get("gatewayClassName") == WAYPOINT_CLASS)
    return next((one.name for one in known if one.namespace == namespace), "")


def _by_ztunnel(policy: PolicyObject, front: _Front) -> Iterator[Finding]:
    # A targetRef is of the policy's own namespace; a waypoint of another one goes by the Services of this.
    is_here = front.namespace in {"", policy.namespace}
    ref = f"{{group: {GATEWAY_API}, kind: Gateway, name: {front.name}}}" if is_here else '{group: "", kind: Service, name: SERVICE}'
    hint = f"attach it to the waypoint: targetRefs: [{ref}] in place of a selector"
    if policy.kind == "RequestAuthentication":
        title = f"no token is read: {front.text}, and ztunnel knows no RequestAuthentication"
        yield finding("POL035", front.severity, (policy, ("spec",)), title, hint)
        return
    if action(policy) not in {ALLOW, DENY}:
        title = f"nothing enforces this {action(policy)}: {front.text}, and ztunnel knows ALLOW and DENY alone"
        yield finding("POL035", front.severity, (policy, ("spec", "action")), title, hint)
        return
    unknown = next(_unknown(policy), None)
    if unknown:
        path, field = unknown
        yield finding("POL035", front.severity, (policy, path), f"{front.text}: ztunnel {_effect(policy, field)}", hint)
    elif front.waypoint:
        yield from _behind(policy, front.namespace, front.waypoint)


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
