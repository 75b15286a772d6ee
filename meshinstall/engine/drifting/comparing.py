"""Compares an object of Git with the live one and with what was recorded of it; pure.

Objects of files are compared exactly, both ways: a field that somebody added may void a policy. Of what charts render counts what Git
has, what people added, and what an engine applied that Git no longer has: all else is the API server's to default.
"""

from collections.abc import Iterator
from typing import Any

from meshinstall.engine.drifting.terms import Field, Wanted
from meshinstall.engine.objects.field_managers import all_owned, is_installer
from meshinstall.engine.objects.field_paths import ABSENT, REPLICAS, Path, field_at
from meshinstall.engine.plan.additions import additions
from meshinstall.engine.plan.compare import Difference, changed, exact, is_nothing
from meshinstall.engine.plan.drift import edit_between, is_others
from meshinstall.engine.plan.policy_steps import differing, paths_around
from meshinstall.gitops.terms import Step
from meshinstall.model import json_text
from meshinstall.model.ownership import POLICY, RESERVED, is_ours
from meshinstall.model.policy_kinds import SECURITY, group_of
from meshinstall.model.release import Manifest

# What kubectl apply without the server sent last, and Argo CD with it.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_CLIENT_SIDE = "kubectl-client-side-apply"
_CLOSED = "Fail"
# Of maps in values that are owned as a whole (k8s.io/api: admissionregistration/v1, core/v1).
_DEFAULTS = ((("scope",), "*"), (("apiVersion",), "v1"), (("divisor",), "0"), (("protocol",), "TCP"))
_QUANTITIES = frozenset({"requests", "limits", "hard"})


def compare(wanted: Wanted, live: Manifest, recorded: Manifest | None) -> tuple[Field, ...]:
    """Every field in which the three are not the same, each once."""
    if wanted.policy is not None:
        return tuple(_of_file(wanted, live))
    # A note is left behind by who applies by the server since: it says what a person asked for, not what was installed last.
    last = recorded if recorded is not None else last_applied(live)
    found = list(_of_chart(wanted, live, last))
    known = [one.path for one in found]
    more = _behind(wanted, last, live) if last is not None else ()
    found += [one for one in more if (recorded or one.wanted is ABSENT) and not any(_within(one.path, path) for path in known)]
    return tuple(_with_record(one, recorded) for one in found)


def last_applied(live: Manifest) -> Manifest | None:
    """What kubectl apply, or Argo CD with it, noted on the object; None where nobody did."""
    note = (live["metadata"].get("annotations") or {}).get(_LAST_APPLIED)
    try:
        found = json_text.load(note) if isinstance(note, str) else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("metadata"), dict) else None


def _of_file(wanted: Wanted, live: Manifest) -> Iterator[Field]:
    manifest = _said(wanted, live)
    if manifest.get("spec") != live.get("spec"):
        ordered = group_of(str(manifest["apiVersion"])) != SECURITY
        for one in differing(manifest, live):
            yield from _item_by_item(one, ordered=ordered)
    for path in paths_around(manifest, live):
        yield Field(path, field_at(manifest, path), field_at(live, path))


def _said(wanted: Wanted, live: Manifest) -> Manifest:
    """What counts of an object: our labels do not where somebody else made it, as ``up`` leaves it so."""
    metadata = wanted.manifest["metadata"]
    labels = metadata.get("labels") or {}
    # What a file of a layer describes is taken over, labels included.
    if is_ours(live) or POLICY in labels:
        return wanted.manifest
    return {**wanted.manifest, "metadata": {**metadata, "labels": {name: labels[name] for name in labels if name not in RESERVED}}}


def _item_by_item(one: Difference, *, ordered: bool) -> Iterator[Field]:
    """Of a list to which items were added, those alone: where the order does not count."""
    more = _more(one.wanted, one.live) if not ordered and isinstance(one.wanted, list) and isinstance(one.live, list) else None
    if more is None:
        yield Field(one.path, one.wanted, one.live)
    else:
        yield from (Field((*one.path, index), ABSENT, one.live[index]) for index in more)


def _more(wanted: list[Any], live: list[Any]) -> list[int] | None:
    """The places of items that only the live list has; None where it lacks some of the wanted ones."""
    left = list(wanted)
    more = []
    for index, item in enumerate(live):
        same = next((at for at, other in enumerate(left) if not any(exact(other, item))), None)
        if same is None:
            more.append(index)
        else:
            left.pop(same)
    return None if left else more


def _of_chart(wanted: Wanted, live: Manifest, last: Manifest | None) -> Iterator[Field]:
    key, manifest = wanted.key, _said(wanted, live) if wanted.item.step is Step.NAMESPACES else wanted.manifest
    edit = edit_between(key, manifest, live, wanted.siblings)
    seen = []
    for one in (*edit.fields, *edit.ours, *edit.strange) if edit else ():
        # kubectl apply owns defaults that it never sent.
        is_default = one.wanted is ABSENT and {editor.name for editor in one.editors} == {_CLIENT_SIDE}
        is_default = is_default and (last is None or field_at(last, one.path) is ABSENT)
        if not is_default and not _only_defaults(one.wanted, one.live):
            seen.append(one.path)
            yield Field(one.path, one.wanted, one.live)
    # What an engine applied and Git no longer has: only of a server-side apply it is known that it asked for it.
    sent = [one for one in all_owned(live) if one.editor.operation == "Apply" and is_installer(one.editor, kubectl=False)]
    for path in additions(manifest, live, sent, lambda _: False) if sent else ():
        here, there = field_at(manifest, path), field_at(live, path)
        if not (is_others(key, path) or any(_within(path, other) for other in seen) or _only_defaults(here, there)):
            yield Field(path, here, there)


def _only_defaults(wanted: Any, live: Any) -> bool:
    """Whether all that is more in a value is what the API server sets in it: who applies a value that is owned as a whole owns that too."""
    found = [*exact(wanted, live)] if wanted is not ABSENT else []
    return bool(found) and all(one.wanted is ABSENT and (one.path[-1:], one.live) in _DEFAULTS for one in found)


def _behind(wanted: Wanted, last: Manifest, live: Manifest) -> Iterator[Field]:
    """Fields in which what was installed is not what Git says, whatever is there now."""
    for path in dict.fromkeys((*changed(wanted.manifest, last), *changed(last, wanted.manifest))):
        here = field_at(wanted.manifest, path)
        if is_others(wanted.key, path) and here != _CLOSED:
            continue
        if path[:2] == ("metadata", "annotations") or (here is ABSENT and field_at(live, path) is ABSENT):
            continue
        yield Field(path, here, field_at(live, path))


def _with_record(one: Field, last: Manifest | None) -> Field:
    """With what was recorded of it; that of a field in a list whose items have no names is not told."""
    if last is None or any(isinstance(part, int) for part in one.path):
        return one
    engine = field_at(last, one.path)
    # What nobody writes is one pod, of Git and of what was installed.
    return one._replace(engine=one.wanted if one.path == REPLICAS and engine is ABSENT else engine, recorded=True)


def is_same(path: Path, wanted: Any, there: Any) -> bool:
    """Whether a field has a value, by the rules for what charts render: what the server writes otherwise is the same."""
    if wanted is ABSENT or there is ABSENT:
        return is_nothing(wanted) and is_nothing(there)
    outer = "limits" if not _QUANTITIES.isdisjoint(path) else "value"
    return not any(changed({outer: {"value": wanted}}, {outer: {"value": there}}))


def _within(path: Path, other: Path) -> bool:
    """Whether one of two paths is in the other."""
    length = min(len(path), len(other))
    return path[:length] == other[:length]
