"""The command ``upgrade``: from the Istio that runs to another."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import PlanOutput
from meshinstall.cli.request_options import CHARTS, CLUSTER, ENVIRONMENT, PROFILE, SELECTORS, VALUES, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.settings import HELP
from meshinstall.cli.target import open_environment
from meshinstall.errors import ExitStatus, UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.model.upgrade import UpgradePlan

upgrade = typer.Typer(
    help="Plan the way from the Istio that runs to another one.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.add_typer(upgrade, name="upgrade")

# Seconds of a look at a mesh.
_LOOK = 300.0
_SOURCE = {"charts": CHARTS["charts"]}


@upgrade.callback()
def _upgrade() -> None:
    """Keep ``plan`` a command of its own: typer makes the only command of an app the app itself."""


@upgrade.command()
@requesting(ENVIRONMENT, CLUSTER, {**PROFILE, **_SOURCE, **VALUES}, last=SELECTORS)
def plan(
    request: Request,
    *,
    to: Annotated[str, typer.Option("--to", help="Version of Istio to upgrade to; the one of the configuration by default.")] = "",
    timeout: options.Seconds = _LOOK,
    allow: options.Allow = None,
    output: options.PlanOutputKind = PlanOutput.TABLE,
) -> None:
    """Show hops, stages, restarts and downtime of an upgrade, and change nothing; exit status 3 when there is something to do."""
    permitted = options.allowed(allow)
    wanted = replace(request, istio_version=_version(to)) if to else request

    async def work() -> None:
        from meshinstall.engine.report.upgrade import make_upgrade_plan

        found = await make_upgrade_plan(*await in_thread(partial(open_environment, wanted)))
        typer.echo(_printed(found, permitted, output))
        if not found.is_empty:
            raise typer.Exit(ExitStatus.CHANGES_PENDING)

    run(work, seconds=timeout)


def _version(told: str) -> str:
    from meshinstall.config.check import check_version

    if wrong := check_version(told):
        raise UsageError(f"--to: {wrong}")
    return told


def _printed(found: "UpgradePlan", allowed: frozenset[str], output: PlanOutput) -> str:
    from meshinstall.cli.output import upgrade_plan
    from meshinstall.cli.output.printers import dump

    match output:
        case PlanOutput.JSON:
            return dump(upgrade_plan.upgrade_json(found))
        case PlanOutput.MARKDOWN:
            return upgrade_plan.upgrade_markdown(found)
        case _:
            return upgrade_plan.upgrade_text(found, allowed)
