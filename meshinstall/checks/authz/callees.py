"""Workloads of which policies speak: those that selectors pick out, where nobody lists the real ones."""

from collections.abc import Iterable, Iterator, Mapping

from meshinstall.checks.policies.reading import Policies, meets, selector, table
from meshinstall.model.access import Callee
from meshinstall.model.authz import Workload
from meshinstall.model.foreign_text import plain
from meshinstall.model.labels import GATEWAY_LABEL
from meshinstall.model.policy_kinds import ACCESS_KINDS
from meshinstall.model.policy_object import PolicyObject

# A namespace that no file names.
_OTHER = "zq0qz"
_TEMPLATES = ("Deployment", "StatefulSet", "DaemonSet")


def selected(policies: Policies, there: Iterable[Callee] = ()) -> tuple[Callee, ...]:
    """One for each selector and each whole namespace that policies are for, unless a callee that is ``there`` is meant by it.

    What two selectors pick out together is not among them.
    """
    listed = tuple(there)
    found: dict[str, Callee] = {}
    for one in policies.objects:
        wanted = selector(one) if one.kind in ACCESS_KINDS else None
        if wanted is None:
            continue
        namespace = _OTHER if one.namespace == policies.root_namespace else one.namespace
        if not any(_is_meant(callee, namespace, wanted) for callee in listed):
            callee = _callee(namespace, wanted)
            found.setdefault(callee.name, callee)
    return tuple(found.values())


def _is_meant(callee: Callee, namespace: str, wanted: Mapping[str, str]) -> bool:
    return namespace in {_OTHER, callee.workload.namespace} and meets(wanted, callee.workload.labels)


def _callee(namespace: str, labels: Mapping[str, str]) -> Callee:
    where = "any other namespace" if namespace == _OTHER else namespace
    what = ",".join(f"{name}={value}" for name, value in sorted(labels.items())) or "any other pod"
    return Callee(plain(f"{where}: {what}"), _workload(namespace, labels))


def _workload(namespace: str, labels: Mapping[str, str]) -> Workload:
    return Workload(namespace, labels, is_gateway=GATEWAY_LABEL in labels)


def described_by(objects: Iterable[PolicyObject]) -> Iterator[Callee]:
    """Workloads that are in the files themselves, by the labels of their pods."""
    for one in objects:
        if one.kind in _TEMPLATES:
            labels = table(table(table(one.spec.get("template")).get("metadata")).get("labels"))
            texts = {str(name): value for name, value in labels.items() if isinstance(value, str)}
            yield Callee(f"{one.namespace}/{one.name}", _workload(one.namespace, texts))
