"""The command ``check``: whether a control plane is healthy, or a cluster is ready for one."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import ANY_ENVIRONMENT, CLUSTER, SELECTORS, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.target import open_cluster, read, tell, warn
from meshinstall.errors import ExitStatus, UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.model.health import CheckResult

_PATIENCE = 180.0


@app.command()
@requesting(ANY_ENVIRONMENT, CLUSTER, last=SELECTORS)
def check(
    request: Request,
    *,
    pre: Annotated[bool, typer.Option("--pre", help="Before an install: is the cluster ready for what --env describes?")] = False,
    timeout: options.Seconds = _PATIENCE,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Check a control plane, whoever installed it; exit status 4 when something is wrong, 5 when something could not be checked."""
    from meshinstall.cli.output import check_text, printers

    if pre and not request.environment:
        raise UsageError("--pre needs --env: what is to be installed", "name an environment: --env dev")

    async def work() -> None:
        found = await (_ready(request) if pre else _health(request))
        typer.echo(printers.dump(check_text.check_json(found)) if output is Output.JSON else check_text.check_text(found))
        raise typer.Exit(_status(found))

    run(work, seconds=timeout)


async def _health(request: Request) -> "tuple[CheckResult, ...]":
    from meshinstall.checks.control_plane.judge import judge
    from meshinstall.engine.gates.check import look

    session, _ = await in_thread(partial(open_cluster, request))
    return judge(await look(session))


async def _ready(request: Request) -> "tuple[CheckResult, ...]":
    from meshinstall.engine.report.check_pre import ready
    from meshinstall.wiring import open_session

    project, desired = read(request)
    return await ready(desired, await in_thread(partial(open_session, desired.cluster, project, warn, tell)))


def _status(found: "tuple[CheckResult, ...]") -> int:
    from meshinstall.model.verdict import Outcome

    outcomes = {result.outcome for result in found}
    if Outcome.FAIL in outcomes:
        return ExitStatus.VIOLATION
    return ExitStatus.NOT_PROVEN if Outcome.NOT_PROVEN in outcomes else ExitStatus.DONE
