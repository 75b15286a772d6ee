"""Where a policy is attached: what its targetRefs name.

Source: istio, pilot/pkg/model/policyattachment.go (waypoints go by targetRefs alone, sidecars by selectors alone), 1.31.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.checks.policies.reading import Policies, finding, targets, word
from meshinstall.checks.policies.waypoints import WAYPOINT_CLASS, namespace_of, used_waypoint
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.labels import USE_WAYPOINT
from meshinstall.model.policy_kinds import GATEWAY_API, NETWORKING
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

# The groups of what a targetRef names by itself, by kind.
TARGET_GROUPS = {"Gateway": GATEWAY_API, "Service": "", "ServiceEntry": NETWORKING}
_SHOWN = 3


def attached(policies: Policies, policy: PolicyObject) -> Iterator[Finding]:
    """Of an AuthorizationPolicy or RequestAuthentication: what its targetRefs name and nothing enforces."""
    for path, target in targets(policy):
        yield from _target(policies, policy, path, target)


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
        hint = f"label the Service or its namespace with {USE_WAYPOINT}, or select the pods of a workload with a sidecar"
        yield finding("POL034", Severity.WARNING, (policy, (*path, "name")), title, hint)


def _has_waypoint(policies: Policies, service: PolicyObject) -> bool:
    """Whether the label of a Service or of its namespace names one; it may where the namespace is not in the files."""
    space = namespace_of(policies, service.namespace)
    return space is None or bool(used_waypoint(service, space))
