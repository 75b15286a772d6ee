"""The command ``verify``: proves that mTLS is in force, or says what is missing for the proof."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import ANY_ENVIRONMENT, CLUSTER, SELECTORS, requesting
from meshinstall.cli.running import AGAIN, in_thread, run
from meshinstall.cli.target import open_cluster
from meshinstall.errors import UsageError
from meshinstall.model.request import Request
from meshinstall.model.verdict import FailOn

if TYPE_CHECKING:
    from meshinstall.model.verdict import Verdict

# Seconds of a proof, and of opening a session, which is no part of it.
_PATIENCE, _OPENING = 300.0, 60.0


@app.command()
@requesting(ANY_ENVIRONMENT, CLUSTER, last=SELECTORS)
def verify(
    request: Request,
    *,
    namespace: Annotated[list[str] | None, typer.Option("--namespace", "-n", help="Only pods of this namespace; may be repeated.")] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=0, help="Try at most so many ports on the wire.")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Create nothing: the wire is not tried, so nothing can PASS.")] = False,
    history: Annotated[
        int | None,
        typer.Option("--history", min=1, max=365, metavar="DAYS", help="Ask the cluster's Prometheus who was reached in plaintext."),
    ] = None,
    callers: Annotated[bool, typer.Option("--callers", help="Ask the proxies who sends them plaintext, since they started.")] = False,
    watch: Annotated[str | None, typer.Option("--watch", metavar="TIME", help="With --callers: count from now on, as 90s or 5m.")] = None,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Whose faults count: those of servers, of clients, or of either.")
    ] = FailOn.ANY,
    html: Annotated[Path | None, typer.Option("--html", help="Write the verdict as a page, too.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the verdict as JUnit XML, too.")] = None,
    timeout: options.Seconds = _PATIENCE,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Prove that mTLS is in force, on any mesh: exit status 4 when it is not, 5 when it could not be proven."""
    from meshinstall.engine.gates.verify import Scope

    seconds = options.duration("--watch", watch) if watch else None
    if seconds and not callers:
        raise UsageError("--watch counts callers: give --callers, too")
    scope = Scope(frozenset(namespace) if namespace else None, sample, read_only, history, callers, seconds)

    async def work() -> None:
        import anyio

        from meshinstall.checks.mtls.acceptance import accepting
        from meshinstall.cli.output import verdicts
        from meshinstall.cli.output.printers import plain
        from meshinstall.engine.gates.acceptance import acceptance_in_force
        from meshinstall.engine.gates.foreign import foreign_policies
        from meshinstall.engine.pipeline import prove

        session, desired = await in_thread(partial(open_cluster, request), min(timeout, _OPENING))
        accepted = await acceptance_in_force(desired, session) if desired else None
        foreign = await foreign_policies(desired, session) if desired else ()
        with plain() as emit:
            verdict = await prove(session, emit, anyio.current_time() + timeout + (seconds or 0), scope)
        verdict = accepting(verdict, accepted, request.environment)
        verdict = replace(verdict, findings=(*verdict.findings, *foreign), fail_on=fail_on)
        # Printed first: a file that cannot be written must not cost what was seen.
        verdicts.show(verdict, output)
        _write(verdict, html, junit)
        raise typer.Exit(verdicts.STATUS[verdict.counted])

    run(work, "interrupted; the probes are removed", AGAIN)


def _write(verdict: "Verdict", html: Path | None, junit: Path | None) -> None:
    from meshinstall.cli.output.verdict_html import verdict_html
    from meshinstall.cli.output.verdict_junit import verdict_junit

    for path, make in ((html, verdict_html), (junit, verdict_junit)):
        if path:
            try:
                path.write_text(make(verdict), encoding="utf-8")
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror}") from error
