"""Says what a plan changes, object by object and field by field, and where each change comes from; pure."""

from collections.abc import Iterator, Mapping

from meshinstall.engine.objects.field_paths import ABSENT, dotted, field_at
from meshinstall.engine.objects.release_manifest import crd_texts
from meshinstall.engine.rehearsal.crds import crd_changes
from meshinstall.engine.rehearsal.effects import Effects
from meshinstall.engine.rehearsal.fields import Field, Place, field_changes, leaves, shown, value_at
from meshinstall.engine.rehearsal.rehearse import Part, Rehearsal
from meshinstall.engine.rehearsal.rendering import Rendering
from meshinstall.model.diff import FieldChange, ObjectChange, Verb
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import Manifest

_EDITED = "edited in the cluster"
# Helm leaves such an object when its release goes, or no longer has it.
_POLICY, _KEEP = "helm.sh/resource-policy", "keep"
_NONE = Effects()


def object_changes(plan: Plan, facts: Facts, rehearsal: Rehearsal, found: Mapping[str, Effects]) -> tuple[ObjectChange, ...]:
    """Everything that the plan's steps create, change and delete, in their order."""
    parts: dict[str, list[Part]] = {}
    for part, _ in rehearsal.tries:
        parts.setdefault(part.step.name, []).append(part)
    changes: list[ObjectChange] = []
    for step in plan.pending:
        mine = parts.get(step.name, [])
        if isinstance(step, ReleaseStep):
            changes += _Released(step, facts, rehearsal, found.get(step.name, _NONE)).changes(mine)
        elif isinstance(step, ObjectStep):
            changes += [_own(step, facts)]
    return tuple(one for one in changes if one.fields or one.verb is not Verb.CHANGE)


class _Released:
    """The changes of one release."""

    def __init__(self, step: ReleaseStep, facts: Facts, rehearsal: Rehearsal, effects: Effects) -> None:
        self._step = step
        self._facts = facts
        self._rendering = rehearsal.renderings.get(step.name)
        self._before = rehearsal.stage.before(step.release)
        self._stage = rehearsal.stage
        self._without = [(origin, self._by_key(made)) for origin, made in effects.without]
        self._by_chart = self._by_key(effects.by_chart) if effects.by_chart else {}
        self._record = facts.releases.get(step.release)
        old = self._record.version if self._record else ""
        self._chart = f"chart {step.chart.name} {old} → {step.chart.version}" if old and old != step.chart.version else ""

    def changes(self, parts: list[Part]) -> Iterator[ObjectChange]:
        """Objects that are new, differ or go, CRDs too."""
        undone = self._undone()
        release = self._step.release
        for part in parts:
            live = self._facts.live.get(part.key)
            if live is None:
                fields = tuple(shown(part.key.kind, one, self._origin(part.key, part.manifest, one)) for one in leaves(part.manifest))
                # Of a release that is new the objects are named only: they are what its chart renders.
                yield ObjectChange(part.key, release, Verb.CREATE, fields if self._step.revision else ())
            else:
                yield ObjectChange(part.key, release, Verb.CHANGE, (*self._changed(part, live), *undone.pop(part.key, ())))
        yield from (ObjectChange(key, release, Verb.CHANGE, fields) for key, fields in undone.items())
        if self._rendering:
            yield from crd_changes(
                release, crd_texts(self._record.manifest if self._record else ""), self._rendering.crds, self._facts.crds
            )
        yield from (ObjectChange(key, release, Verb.DELETE) for key in self._gone())

    def _changed(self, part: Part, live: Manifest) -> Iterator[FieldChange]:
        for one in field_changes(self._before.get(part.key, {}), part.manifest, live):
            yield shown(part.key.kind, one, self._origin(part.key, part.manifest, one))

    def _origin(self, key: ObjectKey, wanted: Manifest, one: Field) -> str:
        """The value without which the field would be another one; else the edit that goes back, or the chart's new version.

        Empty where none of them makes it alone.
        """
        for origin, objects in self._without:
            if value_at(objects.get(key, {}), one.place) != value_at(wanted, one.place):
                return origin
        last = self._before.get(key)
        if last is not None and value_at(last, one.place) == value_at(wanted, one.place):
            return _EDITED
        made = self._by_chart.get(key)
        return self._chart if made is not None and value_at(made, one.place) == value_at(wanted, one.place) else ""

    def _undone(self) -> dict[ObjectKey, tuple[FieldChange, ...]]:
        found: dict[ObjectKey, tuple[FieldChange, ...]] = {}
        for undo in self._step.undo:
            before, after = (ABSENT if value is None else value for value in (undo.before, undo.after))
            one = Field(Place(undo.path), before, after)
            found[undo.key] = (*found.get(undo.key, ()), shown(undo.key.kind, one, _EDITED))
        return found

    def _gone(self) -> Iterator[ObjectKey]:
        """What the last revision has and the next one has not; all of it where the release goes."""
        if self._rendering is None and self._step.action is not Action.UNINSTALL:
            return
        stays = self._by_key(self._rendering) if self._rendering else {}
        yield from (key for key, last in self._before.items() if key not in stays and key in self._facts.live and not _is_kept(last))

    def _by_key(self, made: Rendering) -> dict[ObjectKey, Manifest]:
        return self._stage.by_key(made.objects, self._step.release.namespace)


def _is_kept(manifest: Manifest) -> bool:
    return bool((manifest["metadata"].get("annotations") or {}).get(_POLICY) == _KEEP)


def _own(step: ObjectStep, facts: Facts) -> ObjectChange:
    """A namespace, or a policy whose step says already what differs."""
    key = key_of(step.manifest)
    live = facts.own(key)
    if step.action is Action.DELETE:
        gone = tuple(shown(key.kind, one._replace(before=one.after, after=ABSENT)) for one in leaves(live or {}))
        return ObjectChange(key, None, Verb.DELETE, gone)
    told = {change.path for change in step.changes}
    fields = tuple(FieldChange(change.path, change.before, change.after, change.origin) for change in step.changes)
    if live is None:
        return ObjectChange(key, None, Verb.CREATE, fields)
    differing = (*field_changes({}, step.manifest, live), *_removed(step, live))
    around = [shown(key.kind, one) for one in differing if dotted(one.place.outer) not in told]
    return ObjectChange(key, None, Verb.CHANGE, (*fields, *around))


def _removed(step: ObjectStep, live: Manifest) -> Iterator[Field]:
    """Labels and annotations that others added and the step's patch takes away; what it removes of the spec is in its changes."""
    for name, items in step.patch.get("metadata", {}).items():
        removed = (key for key, value in items.items() if value is None) if isinstance(items, Mapping) else ()
        yield from (Field(Place(path := ("metadata", name, key)), field_at(live, path), ABSENT) for key in removed)
