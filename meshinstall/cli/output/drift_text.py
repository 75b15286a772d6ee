"""Drift: for a terminal at night, for a comment or an issue, and for programs."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from meshinstall.cli.output.plan_diff import summary_json, summary_lines
from meshinstall.cli.output.plan_markdown import code, fitting, summary_list
from meshinstall.errors import ExitStatus, safe
from meshinstall.model.drift import Drift, DriftedField, DriftedObject, Engine, Fix, State, Writer
from meshinstall.model.foreign_text import command, for_log, line, whole
from meshinstall.model.secrets import HIDDEN

SCHEMA = "meshinstall.dev/drift/v1"
MARKER = "<!-- meshinstall-drift -->"
_WIDTH = 80
# Objects and fields that a terminal shows, and characters of a value.
_MOST, _FIELDS, _LONGEST = 100, 20, 300
_UNSEEN = 20


def status(found: Drift) -> ExitStatus:
    """3 when there is drift; without any 5 where something could not be seen."""
    if found.objects:
        return ExitStatus.CHANGES_PENDING
    return ExitStatus.NOT_PROVEN if found.unseen else ExitStatus.DONE


def drift_text(found: Drift) -> str:
    """The table: what keeps the mesh, what weakens it first, and a verdict as the last line."""
    lines = [*_wrapped(f"Git: {found.source}, site {found.site}"), *(text for one in found.engines for text in _engine_lines(one))]
    for one in found.objects[:_MOST]:
        lines += ["", *_object_lines(one)]
    if len(found.objects) > _MOST:
        lines += ["", f"and {len(found.objects) - _MOST:,} more objects: see -o json"]
    lines += ["", *(text for one in _few(_all_unseen(found)) for text in _wrapped(f"? not seen: {one}", "  "))]
    return for_log("\n".join([*lines, *([""] if _all_unseen(found) else []), *_wrapped(headline(found))]))


def headline(found: Drift) -> str:
    """One sentence that says all that matters."""
    seen = f"{found.compared:,} objects of Git compared, {found.looked_at:,} of the cluster looked at"
    if found.objects:
        counts = Counter(one.state for one in found.objects)
        told = ", ".join(f"{counts[state]:,} {state}" for state in State if counts[state])
        return f"DRIFT on {line(found.cluster)}: {told} ({seen})"
    if found.unseen:
        return f"NOT PROVEN: no drift on {line(found.cluster)} in what was seen, but not everything was ({seen})"
    return f"No drift on {line(found.cluster)}: {seen}"


def drift_markdown(found: Drift) -> str:
    """For a comment or an issue: at most 60,000 characters, the first line says whose it is."""
    lines = [MARKER, f"### {code(headline(found))}", "", f"Git: {code(found.source)}, site {code(found.site)}", ""]
    for one in found.engines:
        lines += [f"- {code(_engine(one))}", *(f"  - {code(cause)}" for cause in one.causes)]
    lines += ["", *(f"- not seen: {code(one)}" for one in _all_unseen(found)), ""]
    blocks = ["\n".join(_block(one)) for one in found.objects]
    return safe(fitting([*lines, *blocks], "meshinstall drift"))


def drift_json(found: Drift) -> dict[str, Any]:
    """The document that docs/schemas/drift.json describes."""
    return {
        "schema": SCHEMA,
        "site": found.site,
        "cluster": found.cluster,
        "git": found.source,
        "time": found.at.isoformat(timespec="seconds"),
        "outcome": {ExitStatus.DONE: "none", ExitStatus.CHANGES_PENDING: "drift"}.get(status(found), "not proven"),
        "compared": found.compared,
        "lookedAt": found.looked_at,
        "engines": [
            {"name": one.name, "known": one.is_known, "says": one.says, "revision": one.revision, "causes": list(one.causes)}
            for one in found.engines
        ],
        "objects": [_object_json(one) for one in found.objects],
        "notSeen": list(found.unseen),
        "notSeenOfEngines": list(found.unseen_engines),
    }


def _object_json(one: DriftedObject) -> dict[str, Any]:
    return {
        "object": str(one.key),
        "apiVersion": one.key.api_version,
        "state": one.state,
        "origin": one.origin,
        "keptBy": one.keeper,
        "meaning": summary_json(one.meaning),
        "fields": [_field_json(field) for field in one.fields],
        "notes": list(one.notes),
        "fixes": [{"text": fix.text, "isCommand": fix.is_command} for fix in one.fixes],
    }


def _field_json(one: DriftedField) -> dict[str, Any]:
    """A side without the field is left out; what the engine has, where it is not recorded."""
    sides = {"git": one.git, "live": one.live, **({"engine": one.engine} if one.recorded else {})}
    writers = [
        {"manager": who.manager, "operation": who.operation, "time": who.time, "subresource": who.subresource} for who in one.writers
    ]
    told = {name: value for name, value in sides.items() if value is not None}
    return {"path": one.path, **told, "engineRecorded": one.recorded, "writers": writers, "origin": one.origin}


def _all_unseen(found: Drift) -> tuple[str, ...]:
    return (*found.unseen, *found.unseen_engines)


def _few(unseen: tuple[str, ...]) -> Iterator[str]:
    yield from unseen[:_UNSEEN]
    if len(unseen) > _UNSEEN:
        yield f"{len(unseen) - _UNSEEN} more: see -o json"


def _engine(one: Engine) -> str:
    if not one.is_known:
        return f"{one.name}: its status is unknown"
    return f"{one.name}: {', '.join(part for part in (one.says, one.revision) if part)}"


def _engine_lines(one: Engine) -> Iterator[str]:
    yield from _wrapped(_engine(one), "    ")
    for cause in one.causes:
        yield from _wrapped(f"  ! {cause}", "    ")


def _object_lines(one: DriftedObject) -> Iterator[str]:
    yield from _wrapped(f"✗ {one.key}: {one.state}", "    ")
    yield from summary_lines(one.meaning)
    for label, told in (("written", one.origin), ("kept by", one.keeper)):
        if told:
            yield from _wrapped(f"  {label:<10} {line(told)}", " " * 13)
    for field in one.fields[:_FIELDS]:
        yield from _wrapped(f"  {field.path}", "    ")
        yield from _field_lines(field)
    if len(one.fields) > _FIELDS:
        yield f"  and {len(one.fields) - _FIELDS} more fields: see -o json"
    for note in one.notes:
        yield from _wrapped(f"  ! {note}", "    ")
    # What is to be copied is never wrapped.
    yield from (_fix(fix) for fix in one.fixes)


def _field_lines(one: DriftedField) -> Iterator[str]:
    origin = f"   ({line(one.origin)})" if one.origin else ""
    yield from _wrapped(f"    Git     {_value(one.git)}{origin}", " " * 12)
    if one.recorded:
        yield from _wrapped(f"    engine  {_value(one.engine)}", " " * 12)
    yield from _wrapped(f"    live    {_value(one.live)}{_by(one.writers)}", " " * 12)


def _by(writers: Iterable[Writer]) -> str:
    told = [f"{one.manager} ({', '.join(part for part in (one.operation, one.time, one.subresource) if part)})" for one in writers]
    return f"   by {', '.join(told)}" if told else ""


def _value(value: Any) -> str:
    if value is None or value == HIDDEN:
        return "(none)" if value is None else HIDDEN
    text = whole(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text) - _LONGEST:,} more characters: see -o json)"


def _fix(fix: Fix) -> str:
    return f"  fix: {command(fix.text) if fix.is_command else line(fix.text)}"


def _block(one: DriftedObject) -> Iterator[str]:
    yield f"#### {code(str(one.key))}: {one.state}"
    yield ""
    yield from summary_list(one.meaning)
    yield from (f"- {label} {code(told)}" for label, told in (("written in", one.origin), ("kept by", one.keeper)) if told)
    for field in one.fields[:_FIELDS]:
        engine = f", engine {code(_value(field.engine))}" if field.recorded else ""
        yield f"- {code(field.path)}: Git {code(_value(field.git))}{engine}, live {code(_value(field.live) + _by(field.writers))}"
    yield from ([f"- {len(one.fields) - _FIELDS} more fields"] if len(one.fields) > _FIELDS else [])
    yield from (f"- {code(note)}" for note in one.notes)
    yield from (f"- fix: {code(fix.text)}" for fix in one.fixes)
    yield ""


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(line(text), _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
