"""The command ``scripts/bench``."""

import os
import platform
import sys
from enum import StrEnum
from typing import Annotated

import typer

from testbed import machine, paths, pins
from testbed.bench import clouds, drift, install, nights, policies, prove, recovery, report, scale, start, upgrade
from testbed.bench.session import Session
from testbed.build import catalog
from testbed.build.builder import build
from testbed.errors import TestbedError


class What(StrEnum):
    """What can be measured by itself."""

    INSTALL = "install"
    SCALE = "scale"
    START = "start"
    VERIFY = "verify"
    CLOUDS = "clouds"
    UPGRADE = "upgrade"
    NIGHTS = "nights"
    POLICIES = "policies"
    RECOVERY = "recovery"
    DRIFT = "drift"


_PARTS = {
    What.INSTALL: install.PARTS,
    What.SCALE: scale.PARTS,
    What.START: (),
    What.VERIFY: prove.PARTS,
    What.CLOUDS: (),
    What.UPGRADE: upgrade.PARTS,
    What.NIGHTS: nights.PARTS,
    What.POLICIES: policies.PARTS,
    What.RECOVERY: recovery.PARTS,
    What.DRIFT: drift.PARTS,
}

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    what: Annotated[list[What] | None, typer.Argument(help="What to measure; everything by default.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often; what is compared takes turns.")] = 5,
    name: Annotated[str, typer.Option(help="Name of the clusters that come and go.")] = "bench",
) -> None:
    """Measure on an idle machine and print Markdown tables."""
    if answer := machine.objection(machine.inspect(paths.cache_dir())):
        raise TestbedError(answer)
    wanted = set(what or What)
    needed = {part for one in wanted for part in _PARTS[one]}
    shop = build(catalog.PARTS, tuple(needed), paths.cache_dir(), _say)
    session = Session(shop, name, rounds, _say)
    load = os.getloadavg()[0]
    results = report.Results(
        start=start.run() if What.START in wanted else None,
        clouds=clouds.run() if What.CLOUDS in wanted else None,
        scale=scale.run(session) if What.SCALE in wanted else None,
        verify=prove.run(session) if What.VERIFY in wanted else None,
        install=install.run(session) if What.INSTALL in wanted else None,
        upgrade=upgrade.run(session) if What.UPGRADE in wanted else None,
        nights=nights.run(session) if What.NIGHTS in wanted else None,
        policies=policies.run(session) if What.POLICIES in wanted else None,
        recovery=recovery.run(session) if What.RECOVERY in wanted else None,
        drift=drift.run(session) if What.DRIFT in wanted else None,
    )
    print(
        f"{os.cpu_count()} cores, load {load:.1f} before the start, {rounds} rounds; Python {platform.python_version()}, "
        f"Helm {pins.HELM4}, Helmfile {pins.HELMFILE}, istioctl {pins.ISTIO}. Medians, in parentheses the least and the most.\n"
    )
    print(report.markdown(results))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        app()
    except TestbedError as error:
        sys.exit(f"bench: {error}")
