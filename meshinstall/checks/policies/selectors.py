"""Selectors that match no workload, where the files say which there are."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from meshinstall.checks.mtls.selecting import Selected
from meshinstall.checks.policies.reading import GATEWAY_LABELS, Policies, finding, selector, table
from meshinstall.checks.words import first
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_kinds import ACCESS_KINDS, NETWORKING, SECURITY
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
_LABEL = re.compile(r"[A-Za-z0-9._/-]*", re.ASCII)
_SHOWN = 3


# What has labels: its kind and name for people, empty for a Service, and the labels.
_Labelled = tuple[str, Mapping[str, str]]
# As a namespace: all of them.
_EVERYWHERE = ""


class Wanted(NamedTuple):
    """What a selector looks for; ``namespace`` is empty for all of them."""

    namespace: str
    labels: tuple[tuple[str, str], ...]


class Workloads:
    """Those of the files by namespace; a Service that selects pods says that there are some, in other files."""

    def __init__(self, policies: Policies) -> None:
        self._root = policies.root_namespace
        self._named: dict[str, list[str]] = {}
        found: dict[str, list[_Labelled]] = {}
        for namespace, one in _labelled(policies):
            for place in (namespace, _EVERYWHERE):
                found.setdefault(place, []).append(one)
                if one[0]:
                    self._named.setdefault(place, []).append(f"{one[0]} ({told(one[1])})")
        self._selected = {namespace: Selected(some, lambda one: one[1]) for namespace, some in found.items()}

    def unmatched(self, policy: PolicyObject) -> Iterator[Finding]:
        """Of a policy: a selector that no workload of its namespace meets; nothing where the files have no workload there."""
        wanted = self._missing(policy)
        if wanted is None or not (names := self._named.get(wanted.namespace)):
            return
        where = f" of {wanted.namespace}" if wanted.namespace else ""
        title = f"its selector matches nothing: no workload{where} in these files has {told(dict(wanted.labels))}"
        hint = f"select labels of the pods that it is for; there are {first(names, _SHOWN)}"
        yield finding("POL052", Severity.WARNING, (policy, ("spec", "selector")), title, hint)

    def unjudged(self, policy: PolicyObject) -> Wanted | None:
        """What a policy selects, where the files have no workload to compare with and a cluster can be asked."""
        wanted = self._missing(policy)
        is_asked = wanted and wanted.namespace not in self._named and all(map(_is_label, wanted.labels))
        return wanted if is_asked else None

    def _missing(self, policy: PolicyObject) -> Wanted | None:
        """What a policy selects, where nothing in the files has it; None where something has, and for what is not looked for."""
        wanted = selector(policy) if policy.group == SECURITY and policy.kind in ACCESS_KINDS else None
        if not wanted or any(name in GATEWAY_LABELS or _comes_later(name) for name in wanted):
            return None
        is_everywhere = policy.namespace == self._root and policy.kind != "PeerAuthentication"
        place = _EVERYWHERE if is_everywhere else policy.namespace
        is_there = place in self._selected and self._selected[place].by(wanted)
        return None if is_there else Wanted(place, tuple(sorted(wanted.items())))


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


def _is_label(label: tuple[str, str]) -> bool:
    """Whether it can be asked for: what is not one the API server refuses."""
    return all(map(_LABEL.fullmatch, label))


def told(labels: Mapping[str, str]) -> str:
    """Labels in one text."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items())) or "no labels"
