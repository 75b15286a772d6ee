"""Says of a field, and of an object, who moved: Git, the engine, or somebody in the cluster; pure."""

from collections.abc import Iterable, Iterator

from meshinstall.engine.drifting.comparing import is_same
from meshinstall.engine.drifting.remedies import is_hidden
from meshinstall.engine.drifting.terms import Differing, Field
from meshinstall.engine.objects.field_managers import Editor, all_owned, editors, is_installer, scaled_by
from meshinstall.engine.objects.field_names import names_of
from meshinstall.engine.objects.field_paths import ABSENT, REPLICAS, dotted
from meshinstall.model.drift import DriftedField, State, Writer
from meshinstall.model.foreign_text import plain
from meshinstall.model.release import Manifest
from meshinstall.model.secrets import HIDDEN, pair, shown

_WORST = (State.EDITED, State.NOT_APPLIED, State.DIFFERS)


def state_of(one: Differing, *, kubectl: bool) -> State:
    """What became of an object; ``kubectl``: nothing else than kubectl apply installs this mesh."""
    found = {_state(field, one.live, kubectl=kubectl) for field in one.fields}
    return next(state for state in _WORST if state in found)


def _state(field: Field, live: Manifest, *, kubectl: bool) -> State:
    if field.recorded:
        is_behind = not is_same(field.path, field.wanted, field.engine)
        # What somebody did by hand as Git says it is no edit either.
        there = (field.engine, field.wanted)
        return State.NOT_APPLIED if is_behind and any(is_same(field.path, one, field.live) for one in there) else State.EDITED
    who = _who(field, live)
    if not who:
        return State.DIFFERS
    return State.NOT_APPLIED if all(is_installer(editor, kubectl=kubectl) for editor in who) else State.EDITED


def _who(field: Field, live: Manifest) -> tuple[Editor, ...]:
    return scaled_by(live) if field.path == REPLICAS else editors(all_owned(live), (field.path,))


def fields_of(one: Differing) -> Iterator[DriftedField]:
    """Its fields as they may be shown, each with where Git has it and who wrote what is there."""
    policy = one.wanted.policy
    for field in one.fields:
        origin = str(policy.origin_of(field.path)) if policy and field.wanted is not ABSENT and field.path[0] == "spec" else ""
        git, live, engine = _shown(field, one)
        yield DriftedField(dotted(field.path), git, live, engine, field.recorded, tuple(map(writer, _who(field, one.live))), origin)


def writer(editor: Editor) -> Writer:
    """As it is told."""
    return Writer(*(plain(part) for part in (editor.name, editor.operation, editor.time, editor.subresource)))


def writers(found: Iterable[Editor]) -> tuple[Writer, ...]:
    """Several of them."""
    return tuple(map(writer, found))


def _shown(field: Field, one: Differing) -> tuple[object, object, object]:
    names = names_of(field.path, one.live, one.wanted.manifest)
    sides = [None if value is ABSENT else value for value in (field.wanted, field.live, field.engine)]
    git, live = pair(sides[0], sides[1], *names)
    if is_hidden(field, one.live, one.wanted.manifest):
        live = None if live is None else HIDDEN
    return git, live, shown(sides[2], *names)
