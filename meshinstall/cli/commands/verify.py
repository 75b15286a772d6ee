"""The command ``verify``: says whether mTLS is in force, as far as that can be seen."""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.running import run
from meshinstall.cli.selectors import Selectors, selecting
from meshinstall.cli.target import Where
from meshinstall.errors import StepError, UsageError
from meshinstall.model.verdict import Outcome

if TYPE_CHECKING:
    from meshinstall.engine.gates.verify import Scope
    from meshinstall.engine.session import Session
    from meshinstall.model.verdict import Verdict

_STATUS = {Outcome.PASS: 0, Outcome.FAIL: 4, Outcome.NOT_PROVEN: 5}
_PATIENCE = 300.0


@app.command()
@selecting
def verify(
    env: options.AnyEnv = "",
    cloud: options.CloudName = None,
    context: options.Context = "",
    kubeconfig: options.KubeconfigFile = None,
    config: options.Config = None,
    namespace: Annotated[list[str] | None, typer.Option("--namespace", "-n", help="Only pods of this namespace; may be repeated.")] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=0, help="Try at most so many ports on the wire.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Create nothing: the wire is not tried, so nothing can PASS.")] = False,
    history: Annotated[
        int | None,
        typer.Option("--history", min=1, max=365, metavar="DAYS", help="Ask the cluster's Prometheus who was reached in plaintext."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the verdict as a page, too.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the verdict as JUnit XML, too.")] = None,
    timeout: options.Seconds = _PATIENCE,
    output: options.OutputKind = Output.TABLE,
    *,
    selectors: Selectors,
) -> None:
    """Prove that mTLS is in force, on any mesh: exit status 4 when it is not, 5 when that could not be shown."""
    from meshinstall.engine.gates.verify import Scope

    where = Where(env, cloud, context, kubeconfig, config, selectors)
    scope = Scope(frozenset(namespace) if namespace else None, sample, read_only, history)

    async def work() -> None:
        verdict = await _seen(where.session(), scope, timeout)
        # Printed first: a file that cannot be written must not cost what was seen.
        _show(verdict, output)
        _write(verdict, html, junit)
        raise typer.Exit(_STATUS[verdict.outcome])

    run(work, "interrupted; the probes are removed", "the same command again begins anew")


async def _seen(session: "Session", scope: "Scope", seconds: float) -> "Verdict":
    """Verify with progress on stderr; raises StepError when it is not done in time."""
    import anyio

    from meshinstall.engine.gates.verify import verify as engine_verify
    from meshinstall.wiring import open_means

    started = time.monotonic()

    def say(text: str) -> None:
        typer.echo(f"  verify: … {text} ({time.monotonic() - started:.1f} s)", err=True)

    try:
        with anyio.fail_after(seconds):
            return await engine_verify(session, open_means(session), scope, say)
    except TimeoutError:
        raise StepError(f"not verified in {seconds:.0f} s", "give it more --timeout, or less to do: --namespace, --sample") from None


async def verified(session: "Session", output: Output, seconds: float) -> None:
    """The end of a run that changed a mesh: verify all of it, print the verdict, and exit with its status unless it is PASS."""
    from meshinstall.cli.output.verdict_json import verdict_json
    from meshinstall.engine.gates.verify import Scope

    verdict = await _seen(session, Scope(), seconds)
    if output is Output.JSON:
        # One more line after those of the events.
        typer.echo(json.dumps(verdict_json(verdict)))
    else:
        _show(verdict, output)
    if status := _STATUS[verdict.outcome]:
        raise typer.Exit(status)


def _show(verdict: "Verdict", output: Output) -> None:
    """Print a verdict on stdout."""
    from meshinstall.cli.output import printers, verdict_json, verdict_text

    if output is Output.JSON:
        typer.echo(printers.dump(verdict_json.verdict_json(verdict)))
        return
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    typer.echo(verdict_text.verdict_text(verdict, coloured=coloured), color=coloured)


def _write(verdict: "Verdict", html: Path | None, junit: Path | None) -> None:
    from meshinstall.cli.output.verdict_html import verdict_html
    from meshinstall.cli.output.verdict_junit import verdict_junit

    for path, make in ((html, verdict_html), (junit, verdict_junit)):
        if path:
            try:
                path.write_text(make(verdict), encoding="utf-8")
            except OSError as error:
                raise UsageError(f"{path} cannot be written: {error.strerror}") from error
