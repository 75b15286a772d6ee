"""The command ``restore``: make a mesh of a snapshot, or try that on a second cluster."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.asking import running_plan
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CHARTS, CLOUD, CONTEXT, OWN_ENVIRONMENT, SELECTORS, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.target import open_read, tell, warn
from meshinstall.errors import UsageError
from meshinstall.model.cluster_ref import Cloud
from meshinstall.model.foreign_text import plain
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.adapters.recovery.opening import OpenSnapshot
    from meshinstall.config.project import Project
    from meshinstall.config.restored import Wishes
    from meshinstall.engine.recovery.terms import Result, Terms
    from meshinstall.engine.session import Session
    from meshinstall.model.desired import Desired

# Seconds of the plan, of the run with its proof, and of the comparison; and of opening a session.
_PATIENCE, _OPENING = 600.0, 60.0
_INTERRUPTED = ("interrupted; steps marked ✓ are done", "run the same command again to continue from there")


@app.command()
@requesting(OWN_ENVIRONMENT, CLOUD, CONTEXT, {"charts": CHARTS["charts"]}, last=SELECTORS)
def restore(
    folder: Annotated[Path, typer.Argument(metavar="SNAPSHOT", help="Folder of a snapshot.")],
    request: Request,
    *,
    key: Annotated[Path | None, typer.Option("--key", help="Public key in PEM of whoever signs; never one from the folder.")] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Trust the files as they are: anybody may have changed them.")] = False,
    identity: Annotated[
        Path | None, typer.Option("--identity", help="File with the private key that opens the CA: of age-keygen or ssh.")
    ] = None,
    to: Annotated[str, typer.Option("--to", help="Another version of Istio than the snapshot's.")] = "",
    leave_out: Annotated[
        list[str] | None,
        typer.Option("--leave-out", metavar="NAME", help="Do not restore this object, as KIND/NAMESPACE/NAME; may be repeated."),
    ] = None,
    include_kept: Annotated[
        bool, typer.Option("--include-kept", help="Restore also what Argo CD, Flux or Helm kept: they take it over from there.")
    ] = False,
    drill: Annotated[bool, typer.Option("--drill", help="Take it away again, and prove that nothing is left.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write how it ended as a page, too.")] = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not prove mTLS.")] = False,
    yes: options.Yes = False,
    timeout: options.Seconds = _PATIENCE,
    allow: options.Allow = None,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Make a mesh of a snapshot on a cluster that is empty of Istio, prove mTLS, and compare it with what it was."""
    if (key is None) is not unsigned:
        raise UsageError("it takes one of --key and --unsigned", "name the public key: --key snapshot.pub; or --unsigned")
    if html:
        from meshinstall.cli.output.files import check_writable

        check_writable("--html", html)
    permitted = options.allowed(allow)

    async def work() -> None:
        from meshinstall.config.restored import Wishes
        from meshinstall.engine.recovery.drill import drill as run_drill
        from meshinstall.engine.recovery.restore import restore as run_restore
        from meshinstall.wiring import open_snapshot

        wishes = Wishes(left_out=frozenset(leave_out or ()), kept=include_kept, drill=drill)
        with ExitStack() as stack:
            snapshot = await in_thread(partial(stack.enter_context, open_snapshot(folder, key)), timeout)
            if unsigned:
                warn("the signature was not checked: whoever changed the files may have changed the list of them, too")
            tell(f"{folder}: {snapshot.content.which}")
            prepare = partial(_prepared, snapshot, replace(request, istio_version=to or None), identity, wishes)
            desired, session, terms = await in_thread(prepare, min(timeout, _OPENING))
            terms = replace(terms, allow=permitted, seconds=timeout, prove=not no_verify, left_out=wishes.left_out)
            with running_plan(session, output, permitted, agreed=yes) as callbacks:
                result = await (run_drill if drill else run_restore)(desired, session, terms, callbacks)
        _conclude(result, output, html)

    run(work, *_INTERRUPTED)


def _prepared(snapshot: "OpenSnapshot", request: Request, identity: Path | None, wishes: "Wishes") -> "tuple[Desired, Session, Terms]":
    """What the snapshot's own files want here, its cluster, and what is restored beside that."""
    from meshinstall.cli.output.restore_text import values_lines
    from meshinstall.config.restored import pins, platform_changes, restoration, with_options
    from meshinstall.engine.observe.restoration import opened_ca
    from meshinstall.engine.recovery.terms import Terms
    from meshinstall.wiring import kept_charts

    content = snapshot.content
    project, desired = resolved(snapshot, request)
    desired = with_options(desired, content)
    if lines := values_lines(platform_changes(content, desired)):
        tell("\n".join(["values that are not the snapshot's:", *lines]))
    desired, session = open_read(project, desired)
    session = replace(
        session, charts=kept_charts(snapshot, session.charts), chart_pins=pins(content, session.chart_pins, desired.istio_version)
    )
    secret = snapshot.authority(identity) if identity else None
    opened = opened_ca(secret, content.authority, session) if secret else ()
    wanted = restoration(content, desired, replace(wishes, described=snapshot.has_files), opened)
    return replace(desired, restored=wanted), session, Terms(content=content, authority=secret)


def _cloud(name: str) -> Cloud:
    """Where the mesh was, which is where it is made again unless an option says otherwise."""
    try:
        return Cloud(name)
    except ValueError:
        raise UsageError(f"the snapshot is of a cloud that this meshinstall does not know: {name}", "name one with --cloud") from None


def resolved(snapshot: "OpenSnapshot", request: Request) -> "tuple[Project, Desired]":
    """The snapshot is the whole project: no file beside it, and no variable, counts. Raises ConfigError and UsageError."""
    from meshinstall.config.project import load_project
    from meshinstall.config.resolve import resolve

    content = snapshot.content
    environment = request.environment or content.environment
    asked = replace(
        request,
        environment=environment,
        cloud=request.cloud or _cloud(content.cloud),
        # Options may have given it, and these are in no file.
        profile=content.profile if environment == content.environment else None,
        istio_version=request.istio_version or content.istio_version,
        config=snapshot.project,
    )
    project = load_project(snapshot.project, {}, snapshot.project)
    desired = resolve(asked, project)
    if desired.cluster.kubeconfig and "kubeconfig" not in request.cluster:
        # It may run a program to sign in, and was written for another machine.
        raise UsageError(
            f"the snapshot's files name a kubeconfig ({plain(desired.cluster.kubeconfig)}), and a restore reads none that they name",
            "name the one of the new cluster: --kubeconfig FILE",
        )
    return project, desired


def _conclude(result: "Result", output: Output, html: Path | None) -> None:
    """Print how it ended, and exit with its status unless it is PASS."""
    from meshinstall.cli.output.restore_text import restore_line, restore_text
    from meshinstall.cli.output.verdicts import STATUS
    from meshinstall.model.verdict import Outcome

    if html:
        from meshinstall.cli.output.files import write_whole
        from meshinstall.cli.output.restore_html import restore_html

        write_whole(html, restore_html(result, datetime.now(UTC)))
    typer.echo(restore_line(result) if output is Output.JSON else restore_text(result))
    if status := STATUS[Outcome(result.outcome)]:
        raise typer.Exit(status)
