"""Installs on fresh clusters, then once more with nothing to change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from testbed.bench.contenders import TOOLS, UP, Contender, contenders, write_inputs
from testbed.bench.process import Cost, measure
from testbed.bench.session import Session

PARTS = (*TOOLS, "charts")
_Compared = TypeVar("_Compared")

# Runs with nothing to change on each cluster.
_AGAIN = 3


@dataclass(slots=True)
class Times:
    """Seconds of all runs of one contender, and the largest resident set of one of its commands in bytes."""

    fresh: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    memory: int = 0


def run(session: Session) -> dict[str, Times]:
    """Let every contender install in turns; map each one's name to its times, ours first."""
    with TemporaryDirectory() as folder:
        inputs, charts = Path(folder), session.shop.part("charts")
        with session.fresh_cluster(TOOLS) as running:
            # Also fills caches, of the machine and ours, before the clock runs.
            measure(UP, running.env)
            write_inputs(charts, inputs, running.env)
        compared = contenders(charts, inputs)
        times = {contender.name: Times() for contender in compared}
        for number in range(session.rounds):
            for contender in rotated(compared, number):
                one = times[contender.name]
                with session.fresh_cluster(TOOLS) as running:
                    _once(contender, running.env, one)
                session.say(f"round {number + 1}: {contender.name}: {one.fresh[-1]:.1f} s, again {one.again[-1]:.2f} s")
    return times


def rotated(all_of: tuple[_Compared, ...], by: int) -> tuple[_Compared, ...]:
    """The same in an order where each has its turn to be first."""
    start = by % len(all_of)
    return (*all_of[start:], *all_of[:start])


def _once(contender: Contender, env: Mapping[str, str], into: Times) -> None:
    for number in range(1 + _AGAIN):
        costs: list[Cost] = [measure(command, env) for command in contender.commands]
        (into.again if number else into.fresh).append(sum(cost.seconds for cost in costs))
        into.memory = max(into.memory, *(cost.memory for cost in costs))
