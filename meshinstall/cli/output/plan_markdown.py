"""A plan as Markdown for a pull request; nothing that a cluster says becomes markup."""

import re
from collections.abc import Iterator

from meshinstall.cli.output.markup import tag
from meshinstall.cli.output.plan_diff import SIGNS, field_lines, quiet_line, relevant, split
from meshinstall.errors import safe
from meshinstall.model.diff import Concern, ObjectChange
from meshinstall.model.finding import Severity
from meshinstall.model.foreign_text import line
from meshinstall.model.plan import Plan, ReleaseStep, Step

# GitHub refuses a comment above 65,536 characters.
_LONGEST = 60_000
_SECURITY = frozenset({Concern.WEAKER, Concern.STRONGER, Concern.ACCESS})
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|!~&@:])")
_TICKS = re.compile(r"`+")


def plan_markdown(plan: Plan) -> str:
    """What a plan does: in words, step by step, object by object, and what was found."""
    title = f"### {len(plan.pending)} of {len(plan.steps)} steps to do" if plan.pending else "### Nothing to do"
    facts = f"environment {plan.environment} on {plan.cluster}, Istio {plan.istio_version}, profile {plan.profile}"
    lines = [f"{title}", "", escaped(facts), ""]
    lines += _summary(plan)
    lines += _findings(plan)
    lines += ["| | step | what | why |", "|---|---|---|---|", *map(_row, plan.pending), ""] if plan.pending else []
    told, quiet = split(plan.diff)
    whole = [*lines, *(f"{block}\n" for block in map(_object, told)), *([quiet_line(quiet)] if quiet else [])]
    return safe(_bounded(whole))


def escaped(text: str) -> str:
    """One line without a character that Markdown reads as markup, a mention or a link."""
    return _MARKUP.sub(r"\\\1", line(text)).replace("\\@", "&#64;").replace("\\:", "&#58;")


def _summary(plan: Plan) -> Iterator[str]:
    for one in plan.summary:
        words = f"**{one.concern}**" if one.concern in _SECURITY else str(one.concern)
        yield f"- {words}: {escaped(one.text)}"
    if plan.summary:
        yield ""


def _findings(plan: Plan) -> Iterator[str]:
    for one in plan.findings:
        sign = "**error**" if one.severity is Severity.ERROR else str(one.severity)
        more = "; ".join(escaped(text) for text in (one.detail, one.origin and f"written in {one.origin}", one.hint) if text)
        yield f"- {sign} {one.code}: {escaped(one.title)}{f' ({more})' if more else ''}"
    if plan.findings:
        yield ""


def _row(step: Step) -> str:
    chart = f"{step.chart.name} {step.chart.version}" if isinstance(step, ReleaseStep) else ""
    why = "; ".join(map(escaped, step.reasons))
    return f"| {step.action} | {escaped(step.name)} | {escaped(chart)} | {why} |"


def _object(change: ObjectChange) -> str:
    name = f"{SIGNS[change.verb]} {line(str(change.key))}"
    fields = [text for one in relevant(change) for text in field_lines(one)]
    if not fields:
        return f"- {escaped(f'{change.verb} {change.key}')}"
    # A fence is longer than any run of ticks in it.
    fence = "`" * max(3, 1 + max((len(found) for text in fields for found in _TICKS.findall(text)), default=0))
    body = "\n".join(_coloured(text) for text in fields)
    return f"<details>{tag('summary', name)}\n\n{fence}diff\n{body}\n{fence}\n\n</details>"


def _coloured(text: str) -> str:
    """A line of a diff: what changes has the sign of neither side in Markdown's colours."""
    bare = text.strip()
    return f"! {bare[2:]}" if bare.startswith("~ ") else bare


def _bounded(lines: list[str]) -> str:
    """Whole blocks as long as they fit into a comment."""
    kept: list[str] = []
    length = 0
    for block in lines:
        length += len(block) + 1
        if length > _LONGEST:
            kept.append(f"\nand more, which does not fit: see `meshinstall plan --diff` ({len(lines) - len(kept)} parts)")
            break
        kept.append(block)
    return "\n".join(kept).rstrip()
