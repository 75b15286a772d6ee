"""The objects of a plan as they are and as they will be, whole: what they mean depends on fields that do not change too; pure."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from meshinstall.engine.objects.field_paths import ABSENT, Path, field_at, with_field
from meshinstall.engine.plan.compare import changed
from meshinstall.engine.rehearsal.rehearse import Rehearsal
from meshinstall.model.facts import Facts, ObjectKey
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.release import Manifest


class Sides(NamedTuple):
    """An object before and after; {} where there is none."""

    before: Manifest
    after: Manifest


AllSides = Mapping[ObjectKey, Sides]


def all_sides(plan: Plan, facts: Facts, rehearsal: Rehearsal) -> AllSides:
    """Both sides of every object that the plan sends or puts back; what the server or a controller added stays."""
    undone: dict[ObjectKey, Manifest] = {}
    for step in plan.pending:
        for undo in step.undo if isinstance(step, ReleaseStep) else ():
            live = undone.get(undo.key) or _live(facts, undo.key)
            undone[undo.key] = _with(live, undo.path, ABSENT if undo.after is None else undo.after)
    found = {key: Sides(_live(facts, key), after) for key, after in undone.items()}
    for part, _ in rehearsal.tries:
        live = _live(facts, part.key)
        last = rehearsal.stage.before(part.step.release).get(part.key, {}) if isinstance(part.step, ReleaseStep) else {}
        found[part.key] = Sides(live, sent(last, part.manifest, undone.get(part.key, live)))
    return found


def sent(last: Manifest, wanted: Manifest, live: Manifest) -> Manifest:
    """What becomes of ``live`` when ``wanted`` is sent; ``last`` is what was sent before, {} for nothing."""
    if not live:
        return wanted
    found = live
    for path in (*changed(wanted, live), *_removed(last, wanted, live)):
        found = _with(found, path, field_at(wanted, path))
    return found


def _removed(last: Manifest, wanted: Manifest, live: Manifest) -> Iterator[Path]:
    for path in changed(last, wanted):
        if field_at(wanted, path) is ABSENT and field_at(live, path) is not ABSENT:
            yield path


def _with(live: Manifest, path: Path, value: object) -> Manifest:
    try:
        made: Manifest = with_field(live, path, value)
    except KeyError:
        # An edit in an item of a list that is gone meanwhile.
        return live
    return made


def _live(facts: Facts, key: ObjectKey) -> Manifest:
    return facts.live.get(key) or facts.own(key) or {}
