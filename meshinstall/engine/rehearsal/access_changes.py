"""Says whose access to which workload a plan makes wider or narrower: by the policies that are there, and by those that it leaves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from meshinstall.checks.authz.callees import selected
from meshinstall.checks.authz.decide import World, world
from meshinstall.checks.authz.matrix import Matrix, changes
from meshinstall.checks.authz.wording import conditions, ports, what, who
from meshinstall.checks.mtls.peer_authentication import is_seen
from meshinstall.checks.words import first
from meshinstall.engine.mesh.callees import list_callees
from meshinstall.engine.mesh.reader import Asker
from meshinstall.engine.objects.mesh_policies import known_mesh, with_lines
from meshinstall.model.access import Access, Callee, Cell, Openness, openness
from meshinstall.model.desired import Desired
from meshinstall.model.diff import Concern, Consequence
from meshinstall.model.facts import Facts, key_of, policy_key
from meshinstall.model.labels import REVISION
from meshinstall.model.mesh import PeerPolicy
from meshinstall.model.plan import Action, ObjectStep, Plan
from meshinstall.model.policy_kinds import ACCESS_KINDS, SECURITY, PolicyKey, group_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.ports import Kube

# Changes that are told, and workloads in one of them.
_MOST, _WORKLOADS = 40, 3

Objects = Mapping[PolicyKey, PolicyObject]


async def access_changes(plan: Plan, facts: Facts, desired: Desired, kube: Kube) -> tuple[Consequence, ...]:
    """What gets wider, then what gets narrower; nothing is asked where no policy of access changes.

    Without layers the policies of others are not known, and nothing is said. Raises UnauthorizedError and UnreachableError alone.
    """
    steps = [step for step in plan.pending if isinstance(step, ObjectStep) and _decides(step.manifest["apiVersion"], step.manifest["kind"])]
    if not steps or desired.layered is None:
        return ()
    if facts.layered.unseen or facts.peers_unseen:
        why = facts.layered.unseen or facts.peers_unseen
        return (Consequence(Concern.ACCESS, f"cannot tell whose access becomes wider: {why}"),)
    asker = Asker(kube)
    there = await list_callees(asker, desired.mesh_namespace)
    before = live_objects(facts)
    found = changed(before, left_by(steps, before, desired), there, desired)
    gaps = (
        Consequence(Concern.ACCESS, f"the workloads are those that policies select, because pods are missing: {gap}") for gap in asker.gaps
    )
    return (*found, *gaps)


def changed(
    before: Objects, after: Objects, there: Sequence[Callee], desired: Desired, earlier: Desired | None = None
) -> tuple[Consequence, ...]:
    """The same of two sets of policies, with the workloads that are there; what policies select and is not there is told too.

    ``earlier`` is the mesh of the first set where that is not ``desired``.
    """
    if (earlier or desired) == desired and _manifests(before) == _manifests(after):
        # Also where access cannot be worked out at all.
        return ()
    both = known_mesh((*before.values(), *after.values()), desired)
    worlds = _world(before, earlier or desired), _world(after, desired)
    found = list(Matrix(worlds, changes).of((*there, *selected(both, there))))
    return tuple(_told(found))


def _manifests(objects: Objects) -> dict[PolicyKey, object]:
    return {key: one.manifest for key, one in objects.items()}


def live_objects(facts: Facts) -> dict[PolicyKey, PolicyObject]:
    """All policies of access that a cluster has, whoever made them."""
    ours = [one for one in (*facts.policies.values(), *facts.layered.left.values()) if one is not None]
    manifests = [*(_manifest(one) for one in facts.peers), *ours, *facts.layered.others]
    objects = (PolicyObject("", one, {}) for one in manifests if _decides(one["apiVersion"], one["kind"]))
    return {policy_key(key_of(one.manifest)): one for one in objects}


def left_by(steps: Iterable[ObjectStep], before: Objects, desired: Desired) -> dict[PolicyKey, PolicyObject]:
    """The same after these steps, which are in their order; with the lines of files."""
    files = {policy_key(key_of(policy.manifest)): with_lines(policy) for policy in (*desired.policies, *(desired.layered or ()))}
    # What is there and has no step is as its file says.
    found = {key: files.get(key, one) for key, one in before.items()}
    for step in steps:
        key = policy_key(key_of(step.manifest))
        if step.action is Action.DELETE:
            found.pop(key, None)
        else:
            found[key] = files.get(key) or PolicyObject("", step.manifest, {})
    return found


def _decides(api_version: str, kind: str) -> bool:
    return group_of(api_version) == SECURITY and kind in ACCESS_KINDS


def _manifest(peer: PeerPolicy) -> dict[str, object]:
    labels = {"labels": {REVISION: peer.revision}} if peer.revision is not None else {}
    metadata = {"name": peer.place.name, "namespace": peer.place.namespace, "creationTimestamp": peer.created.isoformat(), **labels}
    ports = {"portLevelMtls": {port: {"mode": str(mode)} for port, mode in peer.ports.items()}} if peer.ports else {}
    selector = {"selector": {"matchLabels": dict(peer.selector)}} if peer.selector else {}
    spec = {"mtls": {"mode": str(peer.mode)}, **selector, **ports}
    return {"apiVersion": f"{SECURITY}/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": spec}


def _world(objects: Objects, desired: Desired) -> World:
    """By what istiod sees: not by what is for another revision."""
    seen = (one for one in objects.values() if is_seen(one.labels.get(REVISION), desired.revision))
    return world(known_mesh(tuple(seen), desired))


def _told(found: Iterable[Access]) -> Iterator[Consequence]:
    texts: dict[Concern, dict[tuple[str, str], list[str]]] = {Concern.WIDER: {}, Concern.NARROWER: {}}
    for access in found:
        for cell in access.cells:
            before, after = map(openness, cell.verdicts)
            # Where all is unknown before and after, it may be wider.
            concern = Concern.NARROWER if after < before else Concern.WIDER
            texts[concern].setdefault(_sentence(cell, before, after), []).append(access.callee.name)
    for concern, told in texts.items():
        sentences = [f"{begin} of {first(names, _WORKLOADS)}{end}" for (begin, end), names in told.items()]
        yield from (Consequence(concern, one) for one in sentences[:_MOST])
        if len(sentences) > _MOST:
            yield Consequence(concern, f"{len(sentences) - _MOST} more of this kind; meshinstall authz who --live compares all")


def _sentence(cell: Cell, before: Openness, after: Openness) -> tuple[str, str]:
    """What stands before the workload, and what after it."""
    verdict = cell.verdicts[-1] if after is not Openness.CLOSED or cell.verdicts[-1].policy else cell.verdicts[0]
    at = ports(cell)
    where = "" if at == "any" else f" port {at}"
    how = {
        (Openness.CLOSED, Openness.OPEN): "becomes open to",
        (Openness.CLOSED, Openness.UNKNOWN): "may become open to",
        (Openness.UNKNOWN, Openness.UNKNOWN): "may become open or closed to",
        (Openness.UNKNOWN, Openness.OPEN): "is open in any case to",
        (Openness.OPEN, Openness.CLOSED): "is closed to",
        (Openness.OPEN, Openness.UNKNOWN): "may be closed to",
        (Openness.UNKNOWN, Openness.CLOSED): "is closed in any case to",
    }[before, after]
    when = f" when {' and '.join(conditions(cell))}" if conditions(cell) else ""
    doubt = f": {verdict.reason}" if after is Openness.UNKNOWN else ""
    if before is after:
        return what(cell), f"{where} {how} {who(cell)}{when}{doubt}"
    by = verdict.place or verdict.policy or "no policy is for it any more"
    return what(cell), f"{where} {how} {who(cell)}{when}{doubt} ({by})"
