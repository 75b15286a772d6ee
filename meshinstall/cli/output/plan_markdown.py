"""A plan as Markdown for a pull request; nothing that a cluster says becomes markup: it is code, in which nothing is looked for.

No escape would do: GitHub makes links, mentions and references of plain text after it was parsed ("autolinked references").
"""

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate

from meshinstall.cli.output.markup import tag
from meshinstall.cli.output.plan_diff import SIGNS, bounded, field_lines, quiet_line, relevant, split
from meshinstall.errors import safe
from meshinstall.model.diff import Concern, Consequence, ObjectChange
from meshinstall.model.finding import Severity
from meshinstall.model.foreign_text import line
from meshinstall.model.plan import Plan, ReleaseStep, Step

# GitHub refuses a comment above 65,536 characters.
_LONGEST = 60_000
# Lines of one object, and characters of one of them: others have to fit beside it.
_MOST_LINES, _LONGEST_LINE = 100, 1_000
_LONGEST_OBJECT = 15_000
_SECURITY = frozenset({Concern.WEAKER, Concern.WIDER, Concern.STRONGER, Concern.NARROWER, Concern.ACCESS})
_TICKS = re.compile(r"`+")


def plan_markdown(plan: Plan) -> str:
    """What a plan does: in words, step by step, object by object, and what was found."""
    title = f"### {len(plan.pending)} of {len(plan.steps)} steps to do" if plan.pending else "### Nothing to do"
    facts = f"environment {code(plan.environment)} on {code(plan.cluster)}, Istio {code(plan.istio_version)}, profile {code(plan.profile)}"
    choice = [f"Version: {code(plan.istio_choice)}", ""] if plan.istio_choice else []
    lines = [f"{title}", "", facts, "", *choice]
    lines += [*summary_list(plan.summary), ""] if plan.summary else []
    lines += _findings(plan)
    lines += ["| | step | what | why |", "|---|---|---|---|", *map(_row, plan.pending), ""] if plan.pending else []
    told, quiet = split(plan.diff)
    whole = [*lines, *(f"{block}\n" for block in map(object_block, told)), *([quiet_line(quiet)] if quiet else [])]
    return safe(fitting(whole, "meshinstall plan --diff"))


def code(text: str) -> str:
    """One line as a code span, empty for no text: with more ticks than any run of them in it (CommonMark, 6.1)."""
    told = line(text)
    if not told:
        return ""
    ticks = "`" * (1 + _longest_run(told))
    # One space at both ends is taken away again.
    padded = f" {told} " if told.strip(" ") and (told[0] in "` " or told[-1] in "` ") else told
    return f"{ticks}{padded}{ticks}"


def _cell(text: str) -> str:
    """The same in a table, which ends a cell at a bar even in code."""
    return code(text).replace("|", "\\|")


def _longest_run(text: str) -> int:
    return max(map(len, _TICKS.findall(text)), default=0)


def summary_list(summary: Iterable[Consequence]) -> Iterator[str]:
    """What it means, security in bold."""
    for one in summary:
        words = f"**{one.concern}**" if one.concern in _SECURITY else str(one.concern)
        yield f"- {words}: {code(one.text)}"


def _findings(plan: Plan) -> Iterator[str]:
    for one in plan.findings:
        sign = "**error**" if one.severity is Severity.ERROR else str(one.severity)
        more = "; ".join(code(text) for text in (one.detail, one.origin and f"written in {one.origin}", one.hint) if text)
        yield f"- {sign} {one.code}: {code(one.title)}{f' ({more})' if more else ''}"
    if plan.findings:
        yield ""


def _row(step: Step) -> str:
    chart = f"{step.chart.name} {step.chart.version}" if isinstance(step, ReleaseStep) else ""
    why = "; ".join(map(_cell, step.reasons))
    return f"| {step.action} | {_cell(step.name)} | {_cell(chart)} | {why} |"


def object_block(change: ObjectChange) -> str:
    """An object that changes, folded, with its fields as a diff."""
    fields = _fitting([text for one in relevant(change) for text in field_lines(one)])
    if not fields:
        return f"- {change.verb} {code(str(change.key))}"
    # A fence is longer than any run of ticks in it.
    fence = "`" * max(3, 1 + max(map(_longest_run, fields)))
    body = "\n".join(_coloured(text) for text in fields)
    name = tag("summary", f"{SIGNS[change.verb]} ", tag("code", line(str(change.key))))
    return f"<details>{name}\n\n{fence}diff\n{body}\n{fence}\n\n</details>"


def _fitting(lines: list[str]) -> list[str]:
    """As many lines as an object may have, each as long as it may be, with what is left out."""
    short = [text if len(text) <= _LONGEST_LINE else _cut(text) for text in lines]
    ends = accumulate(len(text) + 1 for text in short)
    return bounded(short, min(_MOST_LINES, sum(end <= _LONGEST_OBJECT for end in ends)))


def _cut(text: str) -> str:
    return f"{text[:_LONGEST_LINE]}… ({len(text) - _LONGEST_LINE:,} more characters)"


def _coloured(text: str) -> str:
    """A line of a diff: what changes has the sign of neither side in Markdown's colours."""
    bare = text.strip()
    return f"! {bare[2:]}" if bare.startswith("~ ") else bare


def fitting(lines: list[str], more: str) -> str:
    """Whole blocks as long as they fit into a comment; ``more`` is the command that shows all of it."""
    kept: list[str] = []
    length = 0
    for block in lines:
        length += len(block) + 1
        if length > _LONGEST:
            kept.append(f"\nand more, which does not fit: see `{more}` ({len(lines) - len(kept)} parts)")
            break
        kept.append(block)
    return "\n".join(kept).rstrip()
