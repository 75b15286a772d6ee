"""Times meshinstall against helm and istioctl on fresh clusters, in turns, in one run.

Only ratios of the same run mean anything: the machine's speed drifts.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from testbed import cluster, paths, pins, shell
from testbed.build import catalog
from testbed.build.builder import build
from testbed.spec import Nodes

_NAME = "bench"
_ROUNDS = 3
# The parts whose programs take part.
_TOOLS = ("helm4", "kubectl", "istioctl")

# From the folders of the charts and of the testbed's configuration to commands.
Commands = Callable[[Path, Path], list[list[str]]]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to install; ``commands`` are run one after the other."""

    name: str
    commands: Commands


@dataclass(slots=True)
class Times:
    """Seconds of each round, and the largest resident set of the command itself in bytes."""

    fresh: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    memory: int = 0


def _helm(charts: Path, config: Path) -> list[list[str]]:
    """The three commands of Istio's documentation."""

    def command(release: str, chart: str, namespace: str, *more: str) -> list[str]:
        archive = str(charts / f"{chart}-{pins.ISTIO}.tgz")
        return ["helm", "upgrade", "--install", release, archive, "-n", namespace, "--create-namespace", "--wait", *more]

    values = config / "values/components"
    return [
        command("istio-base", "base", "istio-system"),
        command("istiod", "istiod", "istio-system", "-f", str(values / "istiod.yaml")),
        command("istio-ingress", "gateway", "istio-ingress", "-f", str(values / "gateway.yaml")),
    ]


def _istioctl(_: Path, __: Path) -> list[list[str]]:
    sets = [
        "profile=default",
        f"hub={pins.ISTIO_HUB}",
        f"tag={pins.ISTIO}",
        "values.pilot.env.PILOT_ENABLE_ALPN_FILTER=false",
        "values.pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false",
        "values.telemetry.enabled=false",
    ]
    return [["istioctl", "install", "--skip-confirmation", *(part for one in sets for part in ("--set", one))]]


def _meshinstall(_: Path, __: Path) -> list[list[str]]:
    return [[sys.executable, "-m", "meshinstall", "up", "--cloud", "local", "--env", "dev", "--yes"]]


CONTENDERS = (Contender("meshinstall up", _meshinstall), Contender("helm, three commands", _helm), Contender("istioctl install", _istioctl))


def main() -> None:
    """Run all rounds and print a table."""
    shop = build(catalog.PARTS, (*_TOOLS, "charts"), paths.cache_dir(), _say)
    times = {contender.name: Times() for contender in CONTENDERS}
    for number in range(_ROUNDS):
        for contender in CONTENDERS:
            one = times[contender.name]
            try:
                env = shell.environment(cluster.up(_NAME, Nodes.REAL, _quiet), shop, _TOOLS)
                _measure(contender.commands(shop.part("charts"), Path(env["MESHINSTALL_CONFIG"])), env, one)
            finally:
                cluster.down(_NAME)
            _say(f"round {number + 1}: {contender.name}: {one.fresh[-1]:.1f} s, again {one.again[-1]:.2f} s")
    print(table(times))


def _measure(commands: list[list[str]], env: dict[str, str], into: Times) -> None:
    into.fresh.append(sum(_timed(command, env, into) for command in commands))
    into.again.append(min(sum(_timed(command, env, into) for command in commands) for _ in range(3)))


def _timed(command: Sequence[str], env: dict[str, str], into: Times) -> float:
    started = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    status = Path(f"/proc/{process.pid}/status")
    while True:
        try:
            _, said = process.communicate(timeout=0.05)
            break
        except subprocess.TimeoutExpired:
            into.memory = max(into.memory, _peak(status))
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return time.monotonic() - started


def _peak(status: Path) -> int:
    try:
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0
    return int(line.split()[1]) * 1024


def table(times: dict[str, Times]) -> str:
    """Medians, and ratios against the first contender's, as Markdown."""
    (first, base), *_ = times.items()
    rows = ["| | fresh install, s | ratio | again, s | ratio | peak memory, MB |", "|---|---|---|---|---|---|"]
    for name, one in times.items():
        fresh, again = statistics.median(one.fresh), statistics.median(one.again)
        ratios = [f"{mine / other:.2f}" if name != first else "1" for mine, other in zip(_medians(base), (fresh, again), strict=True)]
        rows.append(f"| {name} | {fresh:.1f} | {ratios[0]} | {again:.2f} | {ratios[1]} | {one.memory / 1e6:.0f} |")
    return "\n".join([*rows, "", f"Ratios are {first}'s median over the other's, of {_ROUNDS} rounds on fresh clusters."])


def _medians(times: Times) -> tuple[float, float]:
    return statistics.median(times.fresh), statistics.median(times.again)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _quiet(_: str) -> None:
    """Say nothing: a cluster's start is not what is measured."""


if __name__ == "__main__":
    main()
