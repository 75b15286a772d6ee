"""How an upgrade ended as one self-contained page, with the evidence of every gate: for people and for auditors."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from meshinstall.cli.output.event_text import requests_failed, tally_text
from meshinstall.cli.output.markup import Html, join, tag
from meshinstall.cli.output.page import banner, document, pill, section, terms_table
from meshinstall.cli.output.upgrade_result import next_lines
from meshinstall.engine.staging.terms import End, Result
from meshinstall.model.gate import Gate, GateCheck, GateOutcome
from meshinstall.model.upgrade import Move, Stage, UpgradePlan

# The verdict that an end looks like.
_KIND = {End.DONE: GateOutcome.PASS, End.UNDONE: GateOutcome.FAIL, End.FAILED: GateOutcome.FAIL}


def upgrade_html(result: Result, at: datetime) -> str:
    """The page, as UTF-8 text; ``at`` is when the upgrade ended."""
    plan = result.plan
    what = f"{'Way back' if result.is_back else 'Upgrade'} of environment {plan.environment} on {plan.cluster} to Istio {plan.target}"
    parts = [_stages(_wanted(plan), result), _gates(result.gates), _left(result), _after(result)]
    header = tag("header", tag("h1", f"{what}, {at:%Y-%m-%d %H:%M} UTC"), _banner(result), terms_table(_terms(result)))
    footer = f"Made by meshinstall upgrade on {at:%Y-%m-%d at %H:%M:%S} UTC. What gates judge is explained in docs/upgrades.md."
    return document(f"{what}: {result.end}", header, tag("main", *parts), footer)


def _banner(result: Result) -> Html:
    where = f"At stage {result.stage}: {result.why}" if result.stage else "Every stage was done, and its gate passed."
    if result.end is End.DONE and not result.plan.stages:
        where = "There was nothing to do."
    return banner(result.end.upper(), where, _KIND.get(result.end, GateOutcome.NOT_PROVEN))


def _terms(result: Result) -> Iterator[tuple[str, str]]:
    plan, counted = result.plan, result.counted
    if plan.hops:
        yield "Way", " → ".join([str(plan.hops[0].before), *(str(hop.after) for hop in plan.hops)])
    if plan.strategy:
        yield "Strategy", f"{plan.strategy.way}: {plan.strategy.reason}"
    yield "Stages", f"{_done(result)} of {len(_wanted(plan))} done, {len(result.gates)} gates asked"
    if counted.proxies:
        yield "Proxies", f"{tally_text(counted.proxies)}{'' if result.end is End.DONE else ' (at the last gate)'}"
    if counted.requests.asked:
        yield "Own requests", f"{counted.requests.asked}, {requests_failed(counted.requests)}"


def _wanted(plan: UpgradePlan) -> tuple[Stage, ...]:
    return tuple(stage for stage in plan.stages if stage.moves)


def _done(result: Result) -> int:
    """How many stages were done: all, or those before the one at which it ended."""
    wanted = _wanted(result.plan)
    return next((number for number, stage in enumerate(wanted) if stage.name == result.stage), len(wanted))


def _stages(stages: Iterable[Stage], result: Result) -> Html:
    ends = _ends(result)
    rows = [
        tag("tr", tag("th", stage.name, scope="row"), tag("td", stage.does, _moves(stage.moves)), tag("td", end))
        for stage, end in zip(stages, ends, strict=True)
    ]
    if not rows:
        return section("Stages", tag("p", "None."))
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Stage", "What it does", "End")))
    return section("Stages", tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll"))


def _moves(moves: Sequence[Move]) -> Html:
    return tag("ul", *(tag("li", tag("code", move.name), f": {move.before or 'new'} → {move.after or 'removed'}") for move in moves))


def _ends(result: Result) -> list[str]:
    """How each stage ended."""
    done, all_of_them = _done(result), len(_wanted(result.plan))
    ended = [str(result.end), *["not begun"] * (all_of_them - done - 1)] if done < all_of_them else []
    return ["done"] * done + ended


def _gates(gates: Sequence[Gate]) -> Html:
    if not gates:
        return section("Gates and their evidence", tag("p", "None was asked."))
    return section("Gates and their evidence", *(_gate(gate) for gate in gates))


def _gate(gate: Gate) -> Html:
    summary = tag(
        "summary", pill(gate.outcome), tag("span", gate.stage, class_="name"), tag("span", f"{gate.seconds:.1f} s", class_="soft")
    )
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Verdict", "Judged", "Seen")))
    table = tag("table", tag("thead", head), tag("tbody", *(_check(check) for check in gate.checks)))
    is_open = {} if gate.outcome is GateOutcome.PASS else {"open": "open"}
    return tag("details", summary, tag("div", table, class_="scroll"), **is_open)


def _check(check: GateCheck) -> Html:
    evidence = [tag("ul", *(tag("li", text) for text in check.evidence))] if check.evidence else []
    return tag("tr", tag("td", pill(check.outcome)), tag("td", check.name), tag("td", check.words, *evidence))


def _left(result: Result) -> Html:
    return section("Left to others", tag("ul", *(tag("li", one) for one in result.left))) if result.left else join()


def _after(result: Result) -> Html:
    lines = [*next_lines(result), *(result.to_write if result.end is End.DONE else ())]
    return section("What comes next", tag("pre", "\n".join(lines))) if lines else join()
