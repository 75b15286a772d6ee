"""Plans the security objects that meshinstall keeps: these are compared exactly, as a field that somebody added may void them; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from meshinstall.engine.objects.field_managers import Editor, by, editors, owned_fields
from meshinstall.engine.objects.field_names import names_of
from meshinstall.engine.objects.field_paths import ABSENT, Path, dotted, field_at, merge_patch
from meshinstall.engine.plan.compare import Difference, changed, exact
from meshinstall.model.desired import Desired, Policy
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.labels import REVISION
from meshinstall.model.ownership import audit_labels, is_ours
from meshinstall.model.plan import Action, Change, ObjectStep, Plan
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
    labels = {"labels": audit_labels(desired)} if live is None or is_ours(live) else {}
    manifest = {**policy.manifest, "metadata": {**policy.manifest["metadata"], **labels}}
    step = ObjectStep(name=f"{key.kind}/{key.namespace}/{key.name}", action=Action.APPLY, needs=releases, manifest=manifest)
    spec = tuple(exact(manifest.get("spec") or {}, (live or {}).get("spec") or {}, ("spec",)))
    changes = tuple(_change(one, str(policy.origin)) for one in spec)
    if live is None:
        return replace(step, reasons=("does not exist",), changes=changes)
    around = _around(manifest, live)
    if ("spec",) in facts.admitted.get(key, ()):
        # A run would not change it; drift_findings tells of it.
        spec, changes = (), ()
    if not spec and not around:
        return replace(step, action=Action.KEEP)
    reasons = _reasons((*around, *(one.path for one in spec)), live)
    return replace(step, reasons=reasons, changes=changes, patch=_patch(manifest, live))


def comes_strict(plan: Plan, facts: Facts) -> bool:
    """Whether a run makes the mesh STRICT where it was not by the environment's own word; what somebody weakened only goes back."""
    return any(_is_new(step, facts.policies.get(key_of(step.manifest))) for step in plan.pending if isinstance(step, ObjectStep))


def _is_new(step: ObjectStep, live: Manifest | None) -> bool:
    if step.manifest["kind"] != "PeerAuthentication" or field_at(step.manifest, _MODE) != _STRICT:
        return False
    if live is None:
        return True
    if not is_ours(live):
        # One that selects pods, or is for one revision, leaves the rest of the mesh as it is.
        narrow = field_at(live, _SELECTOR) is not ABSENT or field_at(live, _DECIDING[0]) is not ABSENT
        return narrow or field_at(live, _MODE) != _STRICT
    return field_at(live, _MODE) != _STRICT and not editors(owned_fields(live), (_MODE,))


def _around(wanted: Manifest, live: Manifest) -> tuple[Path, ...]:
    """What differs of the object itself."""
    deciding = [path for path in _DECIDING if field_at(live, path) != field_at(wanted, path)]
    return tuple(dict.fromkeys((*changed({name: wanted[name] for name in wanted if name != "spec"}, live), *deciding)))


def _reasons(paths: Iterable[Path], live: Manifest) -> tuple[str, ...]:
    """One for all that the same managers did."""
    owned = owned_fields(live)
    found: dict[tuple[Editor, ...], list[str]] = {}
    for path in paths:
        found.setdefault(editors(owned, (path,)), []).append(dotted(path))
    return tuple(f"was edited{by(who)}: {', '.join(names)}" if who else f"differs in {', '.join(names)}" for who, names in found.items())


def _change(one: Difference, origin: str) -> Change:
    before, after = (None if value is ABSENT else value for value in (one.live, one.wanted))
    return Change(dotted(one.path), *pair(before, after, *names_of(one.path)), "" if one.wanted is ABSENT else origin)


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
