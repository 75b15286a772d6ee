"""Workloads of which policies speak: those that selectors pick out, where nobody lists the real ones."""

from collections.abc import Iterable, Iterator, Mapping

from meshinstall.checks.policies.reading import GATEWAY_NAME, Policies, meets, selector, table, targets, word
from meshinstall.model.access import Callee
from meshinstall.model.authz import Workload
from meshinstall.model.foreign_text import plain
from meshinstall.model.labels import GATEWAY_LABEL
from meshinstall.model.policy_kinds import ACCESS_KINDS, GATEWAY_API
from meshinstall.model.policy_object import PolicyObject

# A namespace that no file names.
_OTHER = "zq0qz"
_TEMPLATES = ("Deployment", "StatefulSet", "DaemonSet")


def selected(policies: Policies, there: Iterable[Callee] = ()) -> tuple[Callee, ...]:
    """One for each selector, whole namespace and gateway of the Gateway API that policies are for, unless one that is ``there`` is meant.

    What two selectors pick out together is not among them.
    """
    listed = tuple(there)
    found: dict[str, Callee] = {}
    for one in policies.objects:
        if one.kind not in ACCESS_KINDS:
            continue
        for namespace, wanted, words in _meant(one, policies.root_namespace):
            if not any(_is_meant(callee, namespace, wanted) for callee in listed):
                callee = _callee(namespace, wanted, words)
                found.setdefault(callee.name, callee)
    return tuple(found.values())


def _meant(one: PolicyObject, root_namespace: str) -> Iterator[tuple[str, Mapping[str, str], str]]:
    """The namespace and the labels of what a policy is for, in words where labels are none that people write."""
    if (wanted := selector(one)) is not None:
        yield (_OTHER if one.namespace == root_namespace else one.namespace), wanted, ""
    for _, target in targets(one) if wanted is None else ():
        if (word(target.get("group")), word(target.get("kind"))) == (GATEWAY_API, "Gateway") and (name := word(target.get("name"))):
            yield one.namespace, {GATEWAY_NAME: name}, f"gateway {name}"


def _is_meant(callee: Callee, namespace: str, wanted: Mapping[str, str]) -> bool:
    return namespace in {_OTHER, callee.workload.namespace} and meets(wanted, callee.workload.labels)


def _callee(namespace: str, labels: Mapping[str, str], words: str) -> Callee:
    where = "any other namespace" if namespace == _OTHER else namespace
    what = words or ",".join(f"{name}={value}" for name, value in sorted(labels.items())) or "any other pod"
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
