"""Plans the security objects that meshinstall keeps: these are compared exactly, as a field that somebody added may void them; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any

from meshinstall.engine.objects.field_managers import Editor, by, editors, our_marks, owned_fields
from meshinstall.engine.objects.field_names import names_of
from meshinstall.engine.objects.field_paths import ABSENT, Path, dotted, field_at, merge_patch
from meshinstall.engine.plan.compare import Difference, changed, exact, exact_in_order
from meshinstall.model.desired import Desired, Policy
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.labels import REVISION
from meshinstall.model.ownership import POLICY, audit_labels, is_ours, labelled
from meshinstall.model.plan import Action, Change, ObjectStep, Plan
from meshinstall.model.policy_kinds import SECURITY, group_of
from meshinstall.model.release import Manifest
from meshinstall.model.secrets import pair

_MODE: Path = ("spec", "mtls", "mode")
_SELECTOR: Path = ("spec", "selector")
_STRICT = "STRICT"
# Of an object's own labels and annotations, those by which istiod ignores it or does not enforce it
# (istio: pkg/config/model.go, LabelsInRevision; pilot/pkg/security/authz/builder).
_DECIDING: tuple[Path, ...] = (("metadata", "labels", REVISION), ("metadata", "annotations", "istio.io/dry-run"))


def policy_step(policy: Policy, releases: tuple[str, ...], desired: Desired, facts: Facts) -> ObjectStep:
    """What to do for a policy: nothing only when all of its spec is as it should be, and there is nothing else in it."""
    key = key_of(policy.manifest)
    live = facts.policies.get(key)
    # Our labels on what somebody else made would have down delete it.
    labels = audit_labels(desired) if live is None or is_ours(live) else {}
    return object_step(policy, labelled(policy.manifest, labels), mesh_wide_name(policy), releases, facts)


def mesh_wide_name(policy: Policy) -> str:
    """The name of the step for a policy that every mesh has."""
    key = key_of(policy.manifest)
    return f"{key.kind}/{key.namespace}/{key.name}"


def object_step(policy: Policy, manifest: Manifest, name: str, releases: tuple[str, ...], facts: Facts) -> ObjectStep:
    """What makes the object that is there the one in ``manifest``, which is the policy's with our labels."""
    key = key_of(manifest)
    live = facts.policies.get(key)
    step = ObjectStep(name=name, action=Action.APPLY, needs=releases, manifest=manifest)
    spec = differing(manifest, live or {})
    changes = tuple(_change(one, policy) for one in spec)
    if live is None:
        return replace(step, reasons=("does not exist",), changes=changes)
    around = paths_around(manifest, live)
    if ("spec",) in facts.admitted.get(key, ()):
        # A run would not change it; drift_findings tells of it.
        spec, changes = (), ()
    if not spec and not around:
        return replace(step, action=Action.KEEP)
    reasons = _reasons((*around, *(one.path for one in spec)), live)
    return replace(step, reasons=reasons, changes=changes, patch=_patch(manifest, live))


def differing(wanted: Manifest, live: Manifest) -> tuple[Difference, ...]:
    """Everything in which the specs differ; rules of security have no order, routes and what else istiod reads have one."""
    compare = exact if group_of(str(wanted["apiVersion"])) == SECURITY else exact_in_order
    return tuple(compare(wanted.get("spec") or {}, live.get("spec") or {}, ("spec",)))


def comes_strict(plan: Plan, facts: Facts) -> bool:
    """Whether a run makes the mesh STRICT where it was not by the environment's own word; what somebody weakened only goes back."""
    return any(_is_new(step, facts.policies.get(key_of(step.manifest))) for step in plan.pending if isinstance(step, ObjectStep))


def _is_new(step: ObjectStep, live: Manifest | None) -> bool:
    if step.manifest["kind"] != "PeerAuthentication" or field_at(step.manifest, _MODE) != _STRICT:
        return False
    if _is_layered(step.manifest):
        # Such a file cannot be for the whole mesh.
        return False
    if live is None:
        return True
    if not is_ours(live):
        # One that selects pods, or is for one revision, leaves the rest of the mesh as it is.
        narrow = field_at(live, _SELECTOR) is not ABSENT or field_at(live, _DECIDING[0]) is not ABSENT
        return narrow or field_at(live, _MODE) != _STRICT
    return field_at(live, _MODE) != _STRICT and not editors(owned_fields(live), (_MODE,))


def paths_around(wanted: Manifest, live: Manifest) -> tuple[Path, ...]:
    """What differs of the object beside its spec."""
    around = changed({name: wanted[name] for name in wanted if name != "spec"}, live)
    # What a file had said before.
    said = [path for path in our_marks(live) if field_at(wanted, path) is ABSENT] if _is_layered(wanted) else []
    return tuple(dict.fromkeys((*around, *deciding_paths(wanted, live), *said)))


def _is_layered(manifest: Manifest) -> bool:
    """Whether a file of a layer describes it."""
    return field_at(manifest, ("metadata", "labels", POLICY)) is not ABSENT


def deciding_paths(wanted: Manifest, live: Manifest) -> tuple[Path, ...]:
    """Labels and annotations that differ and by which istiod ignores an object or does not enforce it."""
    return tuple(path for path in _DECIDING if field_at(live, path) != field_at(wanted, path))


def _reasons(paths: Iterable[Path], live: Manifest) -> tuple[str, ...]:
    """One for all that the same managers did."""
    owned = owned_fields(live)
    found: dict[tuple[Editor, ...], list[str]] = {}
    for path in paths:
        found.setdefault(editors(owned, (path,)), []).append(dotted(path))
    return tuple(f"was edited{by(who)}: {', '.join(names)}" if who else f"differs in {', '.join(names)}" for who, names in found.items())


def _change(one: Difference, policy: Policy) -> Change:
    before, after = (None if value is ABSENT else value for value in (one.live, one.wanted))
    # An item of a list is counted as in what is there, so its line is not known: the list's is.
    path = tuple(takewhile(lambda part: isinstance(part, str), one.path))
    origin = "" if one.wanted is ABSENT else str(policy.origin_of(path))
    return Change(dotted(one.path), *pair(before, after, *names_of(one.path)), origin)


def _patch(wanted: Manifest, live: Manifest) -> dict[str, Any]:
    """What makes the spec of ``live`` the wanted one, in the version that was planned; empty when applying is enough."""
    metadata: dict[str, Any] = {}
    for path in _DECIDING:
        if field_at(live, path) is not ABSENT and field_at(wanted, path) is ABSENT:
            _, kind, name = path
            metadata[str(kind)] = {name: None}
    spec = merge_patch(live.get("spec") or {}, wanted.get("spec") or {})
    if not metadata and not _removes(spec):
        return {}
    version = live["metadata"].get("resourceVersion")
    return {"metadata": {**metadata, **({"resourceVersion": version} if version else {})}, **({"spec": spec} if spec else {})}


def _removes(patch: Mapping[str, Any]) -> bool:
    return any(value is None or (isinstance(value, Mapping) and _removes(value)) for value in patch.values())
