"""A night that finds nothing to do, against ``up`` with nothing to do: both on one mesh, in turns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from testbed.bench.contenders import MESHINSTALL, TARGET, UP
from testbed.bench.process import measure
from testbed.bench.session import Session

TOOLS = ("helm4",)
PARTS = (*TOOLS, "charts")

NIGHT = (*MESHINSTALL, "upgrade", "--nightly", *TARGET, "--yes")
_RUNS = 5


@dataclass(slots=True)
class Times:
    """Seconds of all runs."""

    night: list[float] = field(default_factory=list)
    up: list[float] = field(default_factory=list)


def run(session: Session) -> Times:
    """Measure on one cluster for each round; exit status 0 of a night says that nothing was to be done, as none is left to owners."""
    times = Times()
    for number in range(session.rounds):
        with session.fresh_cluster(TOOLS) as running:
            _bound(running.env)
            measure(UP, running.env)
            for _ in range(_RUNS):
                times.night.append(measure(NIGHT, running.env).seconds)
                times.up.append(measure(UP, running.env).seconds)
        session.say(f"round {number + 1}: a night {times.night[-1]:.2f} s, up {times.up[-1]:.2f} s")
    return times


def _bound(env: Mapping[str, str]) -> None:
    """Let the files say how far nights go: to the newest patch in the folder of charts."""
    project = Path(env["MESHINSTALL_CONFIG"], "meshinstall.yaml")
    written = yaml.safe_load(project.read_text())
    charts = {**(written.get("charts") or {}), "trust": "source"}
    project.write_text(yaml.safe_dump({**written, "istio": {"version": "1.31"}, "charts": charts}, sort_keys=False))
