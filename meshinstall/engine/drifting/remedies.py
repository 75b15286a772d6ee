"""What puts drift right: commands of who keeps the mesh, and for what no engine sees a patch of exactly the fields; pure.

A patch tests each value before it changes it: where somebody was there in the meantime, nothing happens.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from meshinstall.engine.drifting.terms import Differing, Field, Other, Wanted
from meshinstall.engine.objects.field_managers import all_owned, editors, is_person
from meshinstall.engine.objects.field_names import names_of
from meshinstall.engine.objects.field_paths import ABSENT, Item, Path, field_at
from meshinstall.model.drift import Fix, State
from meshinstall.model.facts import ObjectKey
from meshinstall.model.ownership import ARGO, FLUX, Keeper
from meshinstall.model.paths import resource_of
from meshinstall.model.policy_kinds import group_of
from meshinstall.model.release import Manifest, ReleaseKey
from meshinstall.model.secrets import hides

# Characters of a command that a person can still copy.
_LONGEST = 3_500


@dataclass(frozen=True, slots=True)
class Way:
    """How this mesh is reached and kept.

    ``flags`` are those of ``up`` for this site, ``rendering`` those of ``render``, ``kubectl`` those of kubectl. ``by_up``: ``up`` made the
    mesh. ``site`` is its path in rendered files. ``ref`` is the commit that was asked for: the folder may have other files.
    """

    flags: tuple[str, ...]
    rendering: tuple[str, ...]
    kubectl: tuple[str, ...]
    site: str = ""
    by_up: bool = False
    ref: str = ""


def of_differing(one: Differing, keeper: Keeper | None, way: Way, *, is_seen: bool) -> tuple[Fix, ...]:
    """For an object that is there; ``is_seen``: the engine itself says that it differs."""
    added = tuple(field for field in one.fields if field.wanted is ABSENT)
    if keeper is None and way.by_up:
        # Fields that managers that nobody knows added to charts' objects, `up` leaves.
        strange = [field for field in added if one.wanted.policy is None and not _is_persons(one, field)]
        rest = [run_up(way)] if len(strange) < len(one.fields) else []
        return (*rest, *(_patch(one, strange, way) if strange else ()))
    if keeper is None:
        return _patch(one, one.fields, way)
    changed = tuple(field for field in one.fields if field.wanted is not ABSENT)
    by_engine = is_seen or keeper.engine != ARGO
    synced = (_sync(keeper, one.wanted.key),) if changed and by_engine else ()
    return (*synced, *_patch(one, added if synced else one.fields, way)) if added or not synced else synced


def of_missing(one: Wanted, keeper: Keeper | None, way: Way) -> tuple[Fix, ...]:
    """For an object that is not there; ``keeper`` is that of its neighbours."""
    if keeper is not None:
        return (_sync(keeper, one.key),)
    if way.by_up:
        return (run_up(way),)
    file = shlex.quote(f"{way.site}/{one.item.step.value}/{one.item.file}")
    render = shlex.join(["meshinstall", "render", *way.rendering, "--format", "manifests", "--out"])
    apply = shlex.join(["kubectl", *way.kubectl, "apply", "--server-side", "--force-conflicts", "-f"])
    return (_at_ref(Fix(f'd=$(mktemp -d) && {render} "$d" && {apply} "$d"/{file}'), way),)


def of_other(one: Other, state: State, keeper: Keeper | None, way: Way, release: ReleaseKey | None) -> tuple[Fix, ...]:
    """For an object that Git does not have; ``release`` is Helm's that has it still, None where it has none or is wanted itself."""
    if keeper is not None:
        if state is State.LEFT_OVER and keeper.engine == ARGO:
            return (Fix(shlex.join(["argocd", "app", "sync", _application(keeper), "--prune"])),)
        return (Fix(f"take it out of what {keeper} reads, which would make it again", is_command=False),)
    if state is State.LEFT_OVER and release is not None:
        return (Fix(shlex.join(["helm", "uninstall", release.name, "-n", release.namespace])),)
    if state is State.LEFT_OVER and way.by_up:
        return (run_up(way),)
    resource = _resource(one.key)
    return (Fix(shlex.join(["kubectl", *way.kubectl, "delete", resource, one.key.name, *_namespace(one.key)])),) if resource else ()


def run_up(way: Way) -> Fix:
    """``meshinstall up`` with the flags of this site."""
    return _at_ref(Fix(shlex.join(["meshinstall", "up", *way.flags])), way)


def _at_ref(fix: Fix, way: Way) -> Fix:
    return fix if not way.ref else Fix(f"check out {way.ref}, and there: {fix.text}", is_command=False)


def _is_persons(one: Differing, field: Field) -> bool:
    who = editors(all_owned(one.live), (field.path,))
    return any(is_person(editor.name) for editor in who)


def _application(keeper: Keeper) -> str:
    namespace, apart, name = keeper.name.partition("_")
    return f"{namespace}/{name}" if apart else keeper.name


def _sync(keeper: Keeper, key: ObjectKey) -> Fix:
    if keeper.engine == ARGO:
        resource = f"{group_of(key.api_version)}:{key.kind}:{f'{key.namespace}/' if key.namespace else ''}{key.name}"
        return Fix(shlex.join(["argocd", "app", "sync", _application(keeper), "--resource", resource]))
    if keeper.engine == FLUX:
        more = ["--force"] if keeper.kind == "HelmRelease" else ["--with-source"]
        return Fix(shlex.join(["flux", "reconcile", keeper.kind.lower(), keeper.name, "-n", keeper.namespace, *more]))
    return Fix(f"let {keeper} install it again", is_command=False)


def _patch(one: Differing, fields: Sequence[Field], way: Way) -> tuple[Fix, ...]:
    """A JSON Patch (RFC 6902) of these fields, nothing of which is a secret; in words where that is not possible."""
    key, resource = one.wanted.key, _resource(one.wanted.key)
    words = (Fix(f"edit {key} so that it says what Git says", is_command=False),)
    if not resource:
        return words
    try:
        # Of several items of a list the last goes first: the places of the others stay.
        ordered = sorted(fields, key=lambda field: _places(field.path, one.live), reverse=True)
        operations = [operation for field in ordered for operation in _operations(field, one)]
    except KeyError:
        return words
    # Nothing in it begins a command of a pipeline's log.
    body = json.dumps(operations, separators=(",", ":")).replace("#", "\\u0023").replace("::", ":\\u003a")
    command = shlex.join(["kubectl", *way.kubectl, "patch", resource, key.name, *_namespace(key), "--type=json", "-p", body])
    return (Fix(command),) if len(command) <= _LONGEST else words


def _operations(field: Field, one: Differing) -> Iterator[dict[str, Any]]:
    path, live, wanted = field.path, one.live, one.wanted.manifest
    hidden = is_hidden(field, live, wanted)
    if field.live is not ABSENT:
        pointer = _pointer(path, live)
        if not hidden:
            yield {"op": "test", "path": pointer, "value": field.live}
        elif isinstance(path[-1], Item):
            yield {"op": "test", "path": f"{pointer}/{path[-1].key}", "value": path[-1].value}
        else:
            raise KeyError(path)
        if field.wanted is ABSENT:
            yield {"op": "remove", "path": pointer}
            return
        if hidden:
            raise KeyError(path)
        yield {"op": "replace", "path": pointer, "value": field.wanted}
        return
    if hidden:
        raise KeyError(path)
    # What holds it may be missing too.
    length = next(length for length in range(1, len(path) + 1) if field_at(live, path[:length]) is ABSENT)
    value = field.wanted if length == len(path) else field_at(wanted, path[:length])
    if value is ABSENT:
        raise KeyError(path)
    outer, last = path[: length - 1], path[length - 1]
    end = _escaped(last) if isinstance(last, str) else "-"
    yield {"op": "add", "path": f"{_pointer(outer, live)}/{end}", "value": value}


def is_hidden(field: Field, live: Manifest, wanted: Manifest) -> bool:
    """Whether a value is not shown: whoever sets a variable by hand, or adds a container, may have set a password."""
    if "env" in field.path or (field.wanted is ABSENT and isinstance(field.path[-1], Item)):
        return True
    names = names_of(field.path, live, wanted)
    return any(value is not ABSENT and hides(value, *names) for value in (field.live, field.wanted))


def _pointer(path: Path, live: Manifest) -> str:
    """The JSON Pointer (RFC 6901) of a field of the live object; raises KeyError where it has no such list item."""
    text = ""
    for at, part in enumerate(path):
        if isinstance(part, Item):
            items = field_at(live, path[:at])
            found = [number for number, item in enumerate(items) if isinstance(item, dict) and item.get(part.key) == part.value]
            if len(found) != 1:
                raise KeyError(part)
            text += f"/{found[0]}"
        else:
            text += f"/{_escaped(part)}"
    return text


def _places(path: Path, live: Manifest) -> list[int]:
    """Where a field is in the lists that it is in."""
    there = next((path[:length] for length in range(len(path), 0, -1) if field_at(live, path[:length]) is not ABSENT), ())
    return [int(part) for part in _pointer(there, live).split("/") if part.isdecimal()]


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _resource(key: ObjectKey) -> str:
    found, group = resource_of(key), group_of(key.api_version)
    return f"{found[0]}{f'.{group}' if group else ''}" if found else ""


def _namespace(key: ObjectKey) -> Iterable[str]:
    return ("-n", key.namespace) if key.namespace else ()
