"""Selectors that match no workload, where the files say which there are."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.checks.mtls.selecting import Selected
from meshinstall.checks.policies.reading import GATEWAY_LABELS, Policies, finding, selector, table
from meshinstall.checks.words import first
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_kinds import NETWORKING
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath

_POD = ("spec", "template", "metadata", "labels")
# Where objects have the labels of the pods, or of the machines, that are made of them.
_LABELS: Mapping[tuple[str, str], tuple[str, ...]] = {
    **{("apps", kind): _POD for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")},
    ("argoproj.io", "Rollout"): _POD,
    ("batch", "Job"): _POD,
    ("batch", "CronJob"): ("spec", "jobTemplate", *_POD),
    ("", "Pod"): ("metadata", "labels"),
    (NETWORKING, "WorkloadEntry"): ("spec", "labels"),
    (NETWORKING, "WorkloadGroup"): ("spec", "metadata", "labels"),
}
_LATER = frozenset({"pod-template-hash", "controller-revision-hash", "pod-template-generation", "job-name", "controller-uid"})
_MAKERS = ("istio.io", "statefulset.kubernetes.io", "apps.kubernetes.io", "batch.kubernetes.io", "topology.kubernetes.io")
_SHOWN = 3


# What has labels: its kind and name for people, empty for a Service, and the labels.
_Labelled = tuple[str, Mapping[str, str]]
# As a namespace: all of them.
_EVERYWHERE = ""


class Workloads:
    """Those of the files by namespace; a Service that selects pods says that there are some, in other files."""

    def __init__(self, policies: Policies) -> None:
        self._root = policies.root_namespace
        self._named: dict[str, list[str]] = {}
        found: dict[str, list[_Labelled]] = {}
        for namespace, one in _labelled(policies):
            for place in (namespace, _EVERYWHERE):
                found.setdefault(place, []).append(one)
                self._named.setdefault(place, []).extend([f"{one[0]} ({_said(one[1])})"] if one[0] else [])
        self._selected = {namespace: Selected(some, lambda one: one[1]) for namespace, some in found.items()}

    def unmatched(self, policy: PolicyObject) -> Iterator[Finding]:
        """Of a policy: a selector that no workload of its namespace meets; nothing where the files have no workload there."""
        wanted = selector(policy)
        if not wanted or any(name in GATEWAY_LABELS or _comes_later(name) for name in wanted):
            return
        is_everywhere = policy.namespace == self._root and policy.kind != "PeerAuthentication"
        place = _EVERYWHERE if is_everywhere else policy.namespace
        if not (names := self._named.get(place)) or self._selected[place].by(wanted):
            return
        where = "" if is_everywhere else f" of {policy.namespace}"
        title = f"its selector matches nothing: no workload{where} in these files has {_said(wanted)}"
        hint = f"select labels of the pods that it is for; there are {first(names, _SHOWN)}"
        yield finding("POL052", Severity.WARNING, (policy, ("spec", "selector")), title, hint)


def _comes_later(name: str) -> bool:
    """Whether pods get a label when they are made: by Kubernetes, by Istio's injector."""
    return name in _LATER or name.partition("/")[0].endswith(_MAKERS)


def _labelled(policies: Policies) -> Iterator[tuple[str, _Labelled]]:
    for (group, kind), path in _LABELS.items():
        for one in policies.of_group(group, kind):
            yield one.namespace, (f"{one.kind} {one.name}", _texts(_at(one.manifest, path)))
    for one in policies.of("Service"):
        yield one.namespace, ("", _texts(one.spec.get("selector")))


def _at(found: Any, path: KeyPath) -> Any:
    for name in path:
        found = table(found).get(name)
    return found


def _texts(found: Any) -> Mapping[str, str]:
    return {str(name): value for name, value in table(found).items() if isinstance(value, str)}


def _said(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items())) or "no labels"
