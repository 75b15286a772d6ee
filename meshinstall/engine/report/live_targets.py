"""Looks in a cluster for what policies are attached to, where their files do not have it.

Requests: two for the kinds that are served, one for each target.
"""

from collections.abc import Iterable, Iterator

from meshinstall.checks.policies.attachment import TARGET_GROUPS
from meshinstall.checks.policies.reading import finding, targets, word
from meshinstall.engine.tasks import gather
from meshinstall.errors import ForbiddenError
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.paths import object_path
from meshinstall.model.policy_kinds import SECURITY, group_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.trial import Kinds
from meshinstall.model.values import KeyPath
from meshinstall.ports import Kube

# A kind, a namespace and a name.
_Target = tuple[str, str, str]


async def missing_targets(objects: Iterable[PolicyObject], kube: Kube) -> tuple[Finding, ...]:
    """Each targetRef that names nothing in the files and nothing in the cluster. Raises ClusterError."""
    every = tuple(objects)
    # One of this name in another namespace of the files is a finding already.
    here = {(one.kind, one.name) for one in every if one.group == TARGET_GROUPS.get(one.kind)}
    asked = [(one, path, target) for one in every if one.group == SECURITY for path, target in _named(one) if target[::2] not in here]
    kinds = await kube.kinds() if asked else {}
    told = await gather(dict.fromkeys(target for _, _, target in asked), lambda target: _look(target, kinds, kube))
    hint = "write the name of what the policy is for, in its own namespace"
    return tuple(finding("POL034", Severity.WARNING, (one, path), told[target], hint) for one, path, target in asked if told[target])


def _named(policy: PolicyObject) -> Iterator[tuple[KeyPath, _Target]]:
    """What the targetRefs of a policy name, each with its place."""
    for path, target in targets(policy):
        kind, name = word(target.get("kind")), word(target.get("name"))
        if kind in TARGET_GROUPS and name:
            yield (*path, "name"), (kind, policy.namespace, name)


async def _look(target: _Target, kinds: Kinds, kube: Kube) -> str:
    """That there is no such object, or that it cannot be told; empty where it is there."""
    kind, namespace, name = target
    served = next(
        ((version, one) for (version, known), one in kinds.items() if known == kind and group_of(version) == TARGET_GROUPS[kind]), None
    )
    if served is None:
        return f"nothing enforces it: the cluster does not serve {kind}, and no file has {kind} {namespace}/{name}" if kinds else ""
    try:
        live = await kube.get(object_path(served[0], served[1].plural, namespace, name))
    except ForbiddenError as error:
        return f"cannot tell whether {kind} {namespace}/{name} is there: {error.message}"
    return "" if live else f"nothing enforces it: neither the files nor the cluster have {kind} {namespace}/{name}"
