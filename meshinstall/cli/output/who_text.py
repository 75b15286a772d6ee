"""Who may call what, as people and programs read it."""

import textwrap
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

from meshinstall.checks.authz.wording import conditions, ports, what, who
from meshinstall.checks.words import some
from meshinstall.engine.report.pushed import NOT_PUSHED, Unpushed
from meshinstall.engine.report.who import Difference, Who
from meshinstall.model.access import HTTP, METHOD, PATH, PORT, PROTOCOL, SOURCE, TCP, Access, Aspect, Cell, Part, openness
from meshinstall.model.authz import Outcome, Verdict
from meshinstall.model.foreign_text import for_log, line

SCHEMA = "meshinstall.dev/authz-who/v1"
_HEAD = ("FROM", "PORT", "MAY CALL")
# Characters of each column, which are 80 with what is between and before them.
_SCREEN, _WIDTHS = 80, (26, 10, 38)
_INDENT = "  "


def who_text(found: Who) -> str:
    """A table for each workload, and what could not be known at the end."""
    lines = [text for access in found.accesses for text in _table(access, found)]
    lines += [text for one in found.unpushed for text in _unpushed(one)]
    counts = {one: sum(found.difference(cell) is one for access in found.accesses for cell in access.cells) for one in Difference}
    told = [f"{counts[one]} {one}" for one in (Difference.NOT_IN_GIT, Difference.NOT_APPLIED) if counts[one]]
    told += [f"{count} {NOT_PUSHED}"] if (count := sum(len(one.cells) for one in found.unpushed)) else []
    count = len(found.accesses)
    lines.append(
        f"{count} {'workload' if count == 1 else 'workloads'}, by {' and '.join(found.sides)}{': ' if told else ''}{', '.join(told)}"
    )
    return for_log("\n".join([*lines, *(text for gap in found.gaps for text in textwrap.wrap(f"cannot tell: {line(gap)}", _SCREEN))]))


def _table(access: Access, found: Who) -> Iterator[str]:
    yield line(access.callee.name)
    if access.callee.unguarded:
        yield from textwrap.wrap(access.callee.unguarded, _SCREEN, initial_indent=_INDENT, subsequent_indent=_INDENT)
    elif not access.cells:
        yield f"{_INDENT}nobody"
    else:
        yield from _wrapped(_HEAD)
        for cell in access.cells:
            yield from _wrapped(_row(cell))
            # A file and its line stay one word, to be copied.
            indent = _INDENT * 2
            reason = line(_why(cell, found))
            yield from textwrap.wrap(
                reason, _SCREEN, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
    yield ""


def _unpushed(one: Unpushed) -> Iterator[str]:
    """What some proxies of a workload do otherwise than the cluster's policies."""
    yield from textwrap.wrap(line(f"{one.callee.name}: {NOT_PUSHED} to {some(one.proxies)}"), _SCREEN, subsequent_indent=_INDENT)
    yield from _wrapped((*_HEAD[:2], "WHAT"))
    for cell in one.cells:
        live, proxy = cell.verdicts
        yield from _wrapped(_row(cell))
        by = f" ({live.policy})" if live.policy else ""
        words = line(f"the cluster's policies say {live.outcome}{by}, the proxy {proxy.outcome}: {proxy.reason}")
        yield from textwrap.wrap(words, _SCREEN, initial_indent=_INDENT * 2, subsequent_indent=_INDENT * 2)
    yield ""


def _row(cell: Cell) -> tuple[str, str, str]:
    when = f" when {' and '.join(conditions(cell))}" if conditions(cell) else ""
    return who(cell), ports(cell), f"{what(cell)}{when}"


def _why(cell: Cell, found: Who) -> str:
    difference = found.difference(cell)
    verdict = max(cell.verdicts, key=openness) if difference else cell.verdicts[-1]
    # What files say has a line; of equal verdicts it is told.
    verdict = cell.verdicts[0] if not difference and cell.verdicts[0].place else verdict
    return f"{f'{difference}: ' if difference else ''}{_by(verdict)}"


def _by(verdict: Verdict) -> str:
    where = " ".join(text for text in (verdict.place, verdict.policy) if text)
    if verdict.outcome is Outcome.UNDECIDED:
        return f"undecided: {verdict.reason}{f' ({where})' if where else ''}"
    return f"by {where}" if where else "because no ALLOW policy is for it"


def _wrapped(cells: Sequence[str]) -> Iterator[str]:
    """A row, each cell in lines as wide as its column."""
    # A name that is longer than its column stays whole: it is copied.
    wrap = partial(textwrap.wrap, break_long_words=False, break_on_hyphens=False)
    columns = [wrap(line(text), width) for text, width in zip(cells, _WIDTHS, strict=True)]
    for parts in zip_longest(*columns, fillvalue=""):
        yield (_INDENT + "  ".join(text.ljust(width) for text, width in zip(parts, _WIDTHS, strict=True))).rstrip()


def who_json(found: Who) -> dict[str, Any]:
    """The document that docs/schemas/authz-who.json describes."""
    return {
        "schema": SCHEMA,
        "sides": list(found.sides),
        "workloads": [_workload_json(access, found) for access in found.accesses],
        "notPushed": [_unpushed_json(one) for one in found.unpushed],
        "gaps": list(found.gaps),
    }


def _workload_json(access: Access, found: Who) -> dict[str, Any]:
    callee = access.callee
    return {
        "name": callee.name,
        "namespace": callee.workload.namespace,
        "labels": dict(callee.workload.labels),
        "unguarded": callee.unguarded,
        "access": [_cell_json(cell, found) for cell in access.cells],
    }


def _unpushed_json(one: Unpushed) -> dict[str, Any]:
    return {
        "name": one.callee.name,
        "namespace": one.callee.workload.namespace,
        "labels": dict(one.callee.workload.labels),
        "proxies": list(one.proxies),
        "access": [_requests_json(cell, ("live", "proxy")) for cell in one.cells],
    }


def _cell_json(cell: Cell, found: Who) -> dict[str, Any]:
    return {**_requests_json(cell, found.sides), "difference": str(found.difference(cell))}


def _requests_json(cell: Cell, sides: Sequence[str]) -> dict[str, Any]:
    own = {"from": SOURCE, "ports": PORT, "methods": METHOD, "paths": PATH}
    others = [one for one in cell.aspects if one.name not in {*own.values(), PROTOCOL}]
    return {
        **{key: _parts_json(cell.of(name)) for key, name in own.items()},
        "protocols": [one.label for one in cell.of(PROTOCOL)] or [HTTP, TCP],
        "conditions": [_condition_json(one) for one in others],
        "verdicts": {side: _verdict_json(one) for side, one in zip(sides, cell.verdicts, strict=True)},
    }


def _condition_json(aspect: Aspect) -> dict[str, Any]:
    return {"of": aspect.name, "any": _parts_json(aspect.parts)}


def _parts_json(parts: Sequence[Part]) -> list[dict[str, Any]]:
    return [{"is": one.label, "but": list(one.but)} for one in parts]


def _verdict_json(verdict: Verdict) -> dict[str, str]:
    return {"outcome": verdict.outcome, "reason": verdict.reason, "policy": verdict.policy, "place": verdict.place}
