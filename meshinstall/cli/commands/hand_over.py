"""The command ``hand-over``: the order of work until Argo CD, Flux or ``up`` keeps a mesh, and how far it is."""

from functools import partial
from typing import Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.commits import files_of
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CLUSTER, DESIRED, ENVIRONMENT, SELECTORS, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.target import open_read, read, tell
from meshinstall.errors import ExitStatus
from meshinstall.model.hand_over import Party
from meshinstall.model.request import Request

_SECONDS = 300.0


@app.command("hand-over")
@requesting(ENVIRONMENT, CLUSTER, DESIRED, last=SELECTORS)
def hand_over(
    request: Request,
    to: Annotated[Party, typer.Argument(help="Who is to keep the mesh from now on.", metavar="TO")],
    *,
    timeout: options.Seconds = _SECONDS,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Say what is left to do until another keeps the mesh: argocd, flux, or meshinstall itself again; changes nothing.

    Each step says whether it is done; of the next one its commands are shown. Run it again after each. Exit status 3 while steps are left;
    5 when all are done but what could not be seen.
    """

    async def work() -> None:
        from meshinstall.cli.output import hand_over_text, printers
        from meshinstall.engine.report.hand_over import look

        project, desired = await in_thread(partial(read, request, with_policies=False))
        asked = await in_thread(partial(files_of, request, desired.cluster))
        desired, session = await in_thread(partial(open_read, project, desired))
        found = await look(asked, desired, session, to, tell)
        typer.echo(printers.dump(hand_over_text.hand_over_json(found)) if output is Output.JSON else hand_over_text.hand_over_text(found))
        if (status := hand_over_text.status(found)) is not ExitStatus.DONE:
            raise typer.Exit(status)

    run(work, seconds=timeout)
