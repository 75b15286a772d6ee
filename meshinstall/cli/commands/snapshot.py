"""The commands of ``snapshot``: keep a mesh for the day on which its cluster is gone."""

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.request_options import CLUSTER, DESIRED, OWN_ENVIRONMENT, SELECTORS, requesting
from meshinstall.cli.running import AGAIN, in_thread, run
from meshinstall.cli.settings import HELP
from meshinstall.cli.target import open_read, read, tell, warn
from meshinstall.errors import UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshinstall.engine.session import Session
    from meshinstall.engine.snapshot.take import Taken
    from meshinstall.model.desired import Desired
    from meshinstall.model.verdict import Verdict
    from meshinstall.ports import Sealer, Signer

snapshot = typer.Typer(
    help="Keep a mesh in a signed folder without any secret, and check such a folder.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.add_typer(snapshot, name="snapshot")

# Seconds of a snapshot with its proof.
_PATIENCE = 600.0


@snapshot.callback(invoke_without_command=True, no_args_is_help=True)
@requesting(OWN_ENVIRONMENT, CLUSTER, DESIRED, last=SELECTORS)
def take_snapshot(
    called: typer.Context,
    request: Request,
    *,
    into: Annotated[Path | None, typer.Option("--into", help="Folder of the snapshot, which must not exist yet.")] = None,
    sign_with: Annotated[Path | None, typer.Option("--sign-with", help="Private key in PEM: Ed25519, or ECDSA of P-256.")] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Take a snapshot that nobody can tell from a changed one.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Leave out the verdict on mTLS.")] = False,
    include_authority: Annotated[
        list[str] | None,
        typer.Option("--include-authority", metavar="RECIPIENT", help="Add the CA, sealed to this age key; may be repeated."),
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option("--leave-out", metavar="NAME", help="Leave this out if it holds a secret, as an error names it; may be repeated."),
    ] = None,
    timeout: options.Seconds = _PATIENCE,
) -> None:
    """Keep a mesh in a signed folder: files, charts, objects, who it is, and the verdict on its mTLS; without any secret."""
    if called.invoked_subcommand is not None:
        return
    if not request.environment:
        raise UsageError("no environment is named", "name one: --env dev")
    if into is None:
        raise UsageError("no folder is named", "name one that does not exist yet: --into snapshot-prod")
    signer, sealer = _signer(sign_with, unsigned=unsigned), _sealer(include_authority or ())

    async def work() -> None:
        from meshinstall.config.own_files import project_files
        from meshinstall.engine.snapshot.take import Terms, take
        from meshinstall.wiring import draft_snapshot, read_chart_files

        with draft_snapshot(into.absolute()) as draft:
            project, desired = read(request)
            files = project_files(project)
            desired, session = await in_thread(partial(open_read, project, desired))
            verdict = None if no_verify else await _prove(desired, session, timeout)
            terms = Terms(
                files=files,
                unpack=read_chart_files,
                leave_out=frozenset(leave_out or ()),
                signer=signer,
                sealer=sealer,
                verdict=verdict,
                tool=f"meshinstall {version('meshinstall')}",
            )
            taken = await take(desired, session, draft, terms)
        _tell(taken, verdict)
        typer.echo(str(into))

    run(work, "interrupted; no snapshot was taken", AGAIN, seconds=timeout)


@snapshot.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a snapshot.")],
    *,
    key: Annotated[Path | None, typer.Option("--key", help="Public key in PEM of whoever signs; never one from the folder.")] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Check the files alone: whoever changed them may have changed the list.")
    ] = False,
) -> None:
    """Check that a snapshot is what was signed, to the last byte; without a cluster."""
    from meshinstall.wiring import check_snapshot

    if (key is None) is not unsigned:
        raise UsageError("it takes one of --key and --unsigned", "name the public key: --key snapshot.pub; or --unsigned")
    checked = check_snapshot(folder, key)
    if unsigned:
        warn("the signature was not checked: whoever changed the files may have changed the list of them, too")
    typer.echo(f"{folder}: {checked.files} files, {checked.size} bytes, as {f'signed by {checked.key}' if checked.key else 'listed'}")
    # Whoever has an older snapshot, or one of another mesh, has one that is signed.
    typer.echo(checked.which)


def _signer(path: Path | None, *, unsigned: bool) -> "Signer | None":
    if (path is None) is not unsigned:
        raise UsageError("it takes one of --sign-with and --unsigned", "name a private key: --sign-with snapshot.key; or --unsigned")
    if path is None:
        warn("the snapshot is not signed: nobody can tell it from one that was changed")
        return None
    from meshinstall.wiring import load_signer

    return load_signer(path)


def _sealer(recipients: "Sequence[str]") -> "Sealer | None":
    if not recipients:
        return None
    from meshinstall.wiring import age_sealer

    return age_sealer(recipients)


async def _prove(desired: "Desired", session: "Session", seconds: float) -> "Verdict":
    """The verdict of now, as ``verify`` gives it."""
    import anyio

    from meshinstall.checks.mtls.acceptance import accepting
    from meshinstall.cli.output.printers import plain
    from meshinstall.engine.gates.acceptance import acceptance_in_force
    from meshinstall.engine.pipeline import prove

    with plain() as emit:
        verdict = await prove(session, emit, anyio.current_time() + seconds)
    return accepting(verdict, await acceptance_in_force(desired, session), desired.environment)


def _tell(taken: "Taken", verdict: "Verdict | None") -> None:
    """What is in the snapshot, and what is not."""
    for one in taken.warnings:
        warn(one)
    for name, fields in taken.left_out.items():
        warn(f"{name} is left out: it holds what looks like a secret in {', '.join(fields)}")
    judged = f"verdict {verdict.outcome}" if verdict else "no verdict was asked for (--no-verify)"
    signed = ", ".join(f"signed by {one.keyid}" for one in taken.signatures) or "not signed"
    tell(f"{taken.objects} objects, {taken.files} files, {taken.size} bytes; {judged}; {signed}")
