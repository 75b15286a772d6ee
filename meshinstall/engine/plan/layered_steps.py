"""Plans the policies that files describe: applied after the releases, compared exactly, deleted when no file has them any more; pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from meshinstall.checks.policies.foreign import Foreign, wider
from meshinstall.engine.objects.field_managers import owned_fields
from meshinstall.engine.objects.field_paths import dotted
from meshinstall.engine.plan.policy_order import Move, arranged
from meshinstall.engine.plan.policy_steps import deciding_paths, differing, mesh_wide_name, object_step, paths_around
from meshinstall.engine.plan.restored_steps import restored_moves, restored_namespaces
from meshinstall.model.desired import Desired, Policy
from meshinstall.model.facts import Facts, ObjectKey, key_of, policy_key
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import MANAGED_BY, is_ours, kept_by, labelled, owner_of, policy_labels
from meshinstall.model.plan import Action, ObjectStep
from meshinstall.model.policy_kinds import GATEWAY_API, group_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.release import Manifest

FOREIGN, IMPOSSIBLE, UNSEEN, ALL_GO = "PRE033", "PRE050", "PRE051", "PRE056"
_SHOWN = 5
_CRDS = "install the CRDs of the Gateway API first"


def layered_steps(desired: Desired, facts: Facts, releases: tuple[str, ...]) -> tuple[ObjectStep, ...]:
    """What to do for every object that a file describes, and for those of ours that none does any more, in an order that never opens."""
    releases = (*releases, *(step.name for step in restored_namespaces(desired, facts)))
    wanted = tuple(_step(policy, releases, desired, facts) for policy in desired.layered or ())
    kept = tuple(step for step in wanted if not step.is_pending)
    moves = [Move(step, facts.policies.get(key_of(step.manifest)), step.manifest) for step in wanted if step.is_pending]
    gone = _gone(facts, releases, "no file of this environment has it any more")
    mesh_wide = tuple(map(mesh_wide_name, desired.policies))
    restored = tuple(restored_moves(desired, facts, (*releases, *mesh_wide)))
    kept = (*kept, *(move.step for move in restored if not move.step.is_pending))
    pending = (move for move in restored if move.step.is_pending)
    return (*kept, *arranged([*moves, *gone, *pending], _root(desired)))


def layered_findings(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """What stops a run before it begins, and that nothing could be seen."""
    yield from _in_the_way(desired, facts)
    if desired.layered is None:
        return
    yield from unseen(facts, Severity.ERROR if desired.layered else Severity.WARNING)
    yield from _all_go(desired, facts)
    for policy in desired.layered:
        key = key_of(policy.manifest)
        live = facts.policies.get(key)
        if live is not None and not is_ours(live) and (told := _foreign(policy, live, facts)):
            yield told
        yield from _impossible(policy, key, desired, facts)
    yield from foreign_findings(desired, facts)


def _in_the_way(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """Objects of a snapshot that are there already, and differ: whoever changed them since meant it."""
    for one in desired.restored.objects if desired.restored else ():
        live = facts.policies.get(key_of(one.manifest))
        if live is None:
            continue
        around = map(dotted, paths_around(one.manifest, live))
        if paths := list(dict.fromkeys([*around, *_differences(Policy(one.manifest, one.origin), live, facts)])):
            title, detail = f"{one} exists already, and is not as it was kept", f"it differs in {', '.join(paths[:_SHOWN])}"
            hint = "delete it to have it as it was, or leave it as it is: --leave-out"
            yield Finding(FOREIGN, Severity.ERROR, title, detail, str(one), str(one.origin), f"{hint} {one.name}")


def foreign_findings(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """What somebody else made and what opens more than the files."""
    ours = [PolicyObject("", policy.manifest, {}) for policy in desired.layered or ()]
    others = [Foreign(PolicyObject("", one, {}), _maker(one)) for one in facts.layered.others]
    yield from wider(ours, others, desired.identity, _root(desired))


def unseen(facts: Facts, severity: Severity) -> Iterator[Finding]:
    """That policies of ours could not be listed, so that none of them is deleted."""
    if facts.layered.unseen:
        hint = "use an account that may list Istio's kinds in all namespaces"
        yield Finding(UNSEEN, severity, "policies that files describe could not be listed", facts.layered.unseen, hint=hint)


def _all_go(desired: Desired, facts: Facts) -> Iterator[Finding]:
    """That every policy would be deleted: files that were not checked out look the same as files that were removed."""
    gone = sorted(str(policy_key(key)) for key in facts.layered.left)
    if not gone or desired.layered:
        return
    more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
    title = f"no file describes a policy, and {len(gone)} of earlier runs would be deleted"
    hint = "run where the folder policies is beside meshinstall.yaml; or, if all of them should go: --allow no-policies"
    yield Finding(ALL_GO, Severity.ERROR, title, f"{', '.join(gone[:_SHOWN])}{more}", hint=hint)


def removed_policies(facts: Facts) -> tuple[ObjectStep, ...]:
    """All that are there, to be deleted by ``down``."""
    return arranged(_gone(facts, (), "meshinstall made it from a file"), "")


def step_name(key: ObjectKey) -> str:
    """The name of the step for a policy."""
    return policy_key(key).step


def _root(desired: Desired) -> str:
    """The namespace whose policies are for the whole mesh."""
    return next((key_of(policy.manifest).namespace for policy in desired.policies), desired.mesh_namespace)


def _step(policy: Policy, releases: tuple[str, ...], desired: Desired, facts: Facts) -> ObjectStep:
    """With our labels also on what somebody else made: it is taken over where it is equal, else a finding stops the run."""
    key = key_of(policy.manifest)
    live = facts.policies.get(key)
    step = object_step(policy, labelled(policy.manifest, policy_labels(desired)), step_name(key), releases, facts)
    if live is None or is_ours(live):
        return step
    reasons = (
        ("was made by somebody else, and is equal: it becomes meshinstall's",) if not _differences(policy, live, facts) else step.reasons
    )
    return replace(step, action=Action.APPLY, reasons=reasons, patch={})


def _gone(facts: Facts, releases: tuple[str, ...], why: str) -> Iterator[Move]:
    for key, live in sorted(facts.layered.left.items()):
        step = ObjectStep(name=step_name(key), action=Action.DELETE, reasons=(why,), needs=releases, manifest=_stub(key, live))
        yield Move(step, live, None)


def _stub(key: ObjectKey, live: Manifest) -> dict[str, Any]:
    uid = live["metadata"].get("uid")
    metadata = {"name": key.name, "namespace": key.namespace, **({"uid": uid} if uid else {})}
    return {"apiVersion": key.api_version, "kind": key.kind, "metadata": metadata}


def _differences(policy: Policy, live: Manifest, facts: Facts) -> list[str]:
    """Where what somebody else made is not what the file says."""
    is_admitted = ("spec",) in facts.admitted.get(key_of(policy.manifest), ())
    spec = () if is_admitted else differing(policy.manifest, live)
    return list(dict.fromkeys([*map(dotted, deciding_paths(policy.manifest, live)), *(dotted(one.path) for one in spec)]))


def _foreign(policy: Policy, live: Manifest, facts: Facts) -> Finding | None:
    paths = _differences(policy, live, facts)
    keeper = _keeper(live)
    if not paths and not keeper:
        return None
    key = policy_key(key_of(policy.manifest))
    owner = _maker(live)
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    detail = (
        f"it differs from the file in {', '.join(paths[:_SHOWN])}{more}" if paths else "it is equal, but its owner would write it again"
    )
    hint = "make the file equal to take the object over, delete the object, or give the file's object another name"
    return Finding(FOREIGN, Severity.ERROR, f"{key} exists already and belongs to {owner}", detail, str(key), str(policy.origin), hint)


def _maker(live: Manifest) -> str:
    """Who made an object of somebody else, as far as it is recorded."""
    managers = ", ".join(dict.fromkeys(plain(one.editor) for one in owned_fields(live)))
    return _keeper(live) or (f"manager {managers}" if managers else "somebody whom Kubernetes did not record")


def _keeper(live: Manifest) -> str:
    """Who writes the object again and again."""
    if release := owner_of(live["metadata"]):
        return f"Helm release {plain(release)}"
    label = (live["metadata"].get("labels") or {}).get(MANAGED_BY)
    return kept_by(live) or (plain(label) if label else "")


def _impossible(policy: Policy, key: ObjectKey, desired: Desired, facts: Facts) -> Iterator[Finding]:
    name, origin = str(policy_key(key)), str(policy.origin)
    if key.namespace in facts.layered.homeless - desired.restored_namespaces:
        hint = f"create it (kubectl create namespace {key.namespace}), or remove the file: meshinstall makes no namespaces of workloads"
        yield Finding(IMPOSSIBLE, Severity.ERROR, f"namespace {key.namespace} of {name} does not exist", "", name, origin, hint)
    # Istio's own kinds come with its base chart.
    if key in facts.layered.unserved and group_of(key.api_version) == GATEWAY_API:
        title, hint = f"the cluster has no kind {key.kind} of {GATEWAY_API}", f"{_CRDS}, in a version that has this kind"
        if served := facts.layered.unserved[key]:
            title = f"the cluster does not serve {key.kind} of {key.api_version}"
            hint = f"write apiVersion: {served}, which it serves; or {_CRDS}, in a version that has it"
        yield Finding(IMPOSSIBLE, Severity.ERROR, title, "", name, origin, hint)
