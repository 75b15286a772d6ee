"""Applications of Argo CD that are to ignore differences, and do not, or write them all the same; pure.

Sources: argo-cd, docs/user-guide/diffing.md and sync-options.md, util/argo/normalizers/diff_normalizer.go (group and kind have to match).
"""

from collections.abc import Iterator
from typing import Any

from meshinstall.checks.policies.reading import finding, maps, table, texts, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_kinds import groups_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

_GROUPS = {
    "apps": ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"),
    "autoscaling": ("HorizontalPodAutoscaler",),
    "policy": ("PodDisruptionBudget",),
    "apiextensions.k8s.io": ("CustomResourceDefinition",),
    "rbac.authorization.k8s.io": ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    "admissionregistration.k8s.io": (
        *("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    ),
    "": ("ConfigMap", "Namespace", "Secret", "Service", "ServiceAccount"),
}
_PATTERN = frozenset("*?[{\\")
_RESPECT = "RespectIgnoreDifferences=true"


def ignoring(one: PolicyObject) -> Iterator[Finding]:
    """Of an Application, or of an ApplicationSet's template."""
    path: KeyPath = ("spec",) if one.kind == "Application" else ("spec", "template", "spec")
    spec: Any = one.manifest
    for key in path:
        spec = table(spec).get(key)
    rules = list(maps(table(spec).get("ignoreDifferences"), (*path, "ignoreDifferences")))
    for place, rule in rules:
        yield from _of_no_kind(one, place, word(rule.get("group")), word(rule.get("kind")))
    options = texts(table(table(spec).get("syncPolicy")).get("syncOptions"))
    if rules and _RESPECT not in options:
        title = "what is ignored does not start a sync, and the next one for any other reason writes it all the same"
        yield finding("POL064", Severity.WARNING, (one, (*path, "ignoreDifferences")), title, f"add {_RESPECT} to syncPolicy.syncOptions")


def _of_no_kind(one: PolicyObject, place: KeyPath, group: str, kind: str) -> Iterator[Finding]:
    known = (*(name for name, kinds in _GROUPS.items() if kind in kinds), *groups_of(kind))
    # Argo CD takes both for patterns (gobwas/glob).
    if not known or _PATTERN & set(group) or group in known:
        return
    said = f"the group {group}" if group else "no group"
    title = f"this rule ignores nothing: {kind} is in {known[0] or 'the core group'}, and it has {said}"
    hint = f"write group: {known[0]}" if known[0] else "leave group out"
    yield finding("POL063", Severity.WARNING, (one, place), title, hint)
