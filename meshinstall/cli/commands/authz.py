"""The commands of ``authz``: who may call what."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.asking import confirm
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CLUSTER, DESIRED, OWN_ENVIRONMENT, SELECTORS, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.settings import HELP
from meshinstall.cli.target import open_cluster, open_read, read, tell, warn
from meshinstall.errors import UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshinstall.checks.policies.reading import Policies
    from meshinstall.config.project import Project
    from meshinstall.engine.gates.authz import Tokens
    from meshinstall.engine.session import Session
    from meshinstall.model.authz import Expectation, Tried
    from meshinstall.model.desired import Desired
    from meshinstall.model.place import Place

    # An environment's project and what it wants; both None without one.
    Opened = tuple[Project | None, Desired | None]

authz = typer.Typer(
    help="Who may call what, and tests of it.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.add_typer(authz, name="authz")

# Seconds of reading files, and a cluster where one is asked; and of calling there.
_CLUSTER, _LIVE = 120.0, 300.0

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILE|FOLDER]...", help="YAML or JSON of Kubernetes' objects; by default the layers of --env.", show_default=False
    ),
]


@authz.callback()
def _authz() -> None:
    """A command of commands."""


@authz.command(name="test")
@requesting(OWN_ENVIRONMENT, last={**CLUSTER, **DESIRED, **SELECTORS})
def try_requests(
    request: Request,
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="YAML with requests and what must become of each.")],
    paths: Paths = None,
    *,
    by_proxies: Annotated[
        bool, typer.Option("--by-proxies", help="Decide by what each running proxy of a workload enforces, and say where that differs.")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="Call on the cluster, from pods with the callers' own service accounts.")] = False,
    yes: options.Yes = False,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the results as JUnit XML, too.")] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=1, metavar="SECONDS", help="Give up after so many; 120 by default, 300 with --live.")
    ] = None,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Test policies against a table of requests: exit status 4 when one is decided otherwise, 5 when files or the cluster do not tell.

    With --env the mesh of that environment is known: its trust domains, its mTLS, its root namespace. With --by-proxies the rows are
    decided by what istiod has pushed to each proxy of the workload, with or without files to compare with. With --live files are not
    read: every request is really sent, and the application gets those that are let through.
    """
    if live and by_proxies:
        raise UsageError("--live and --by-proxies are two ways to try a table", "leave one of them out")
    seconds = timeout or (_LIVE if live else _CLUSTER)
    if live:
        _call(request, table, paths, yes=yes, junit=junit, seconds=seconds, output=output)
        return

    async def work() -> None:
        from meshinstall.config.policy_layers import objects_of, read_layers
        from meshinstall.engine.report.authz import read_rows, try_all

        if not paths and not request.environment and not by_proxies:
            raise UsageError("no policies are named", "name files or folders, or with --env an environment whose layers to test")
        project, desired = read(request) if request.environment else (None, None)
        sources = paths or (objects_of(read_layers(project, request, desired.releases)) if project and desired else ())
        rows, policies = read_rows(table, sources, desired)
        if by_proxies:
            tried = await _by_proxies(rows, policies if sources else None, request, (project, desired), seconds)
        else:
            tried = try_all(rows, policies)
        _show(tried, junit, output, live=False)

    run(work, seconds=seconds)


def _call(
    request: Request, table: Path, paths: list[Path] | None, *, yes: bool, junit: Path | None, seconds: float, output: Output
) -> None:
    """Try a table on a cluster; whoever may not be asked has agreed before."""
    from meshinstall.engine.gates.authz import call_rows, count_able, sources_of
    from meshinstall.engine.report.authz import read_rows

    if paths:
        raise UsageError("--live reads no policies: it calls what is there", "leave files out, or leave --live out")
    project, desired = read(request) if request.environment else (None, None)
    rows, _ = read_rows(table, (), desired)
    tokens = _tokens(rows)
    sources = sources_of(rows, tokens)
    if (count := count_able(rows, tokens)) and not yes:
        _ask_to_call(sources, count)

    async def work() -> None:
        session, _ = await _open(request, (project, desired), seconds)
        called = await call_rows(session, rows, tokens, lambda doing: tell(f"… {doing}"))
        for gap in called.gaps:
            warn(gap)
        _show(called.tried, junit, output, live=True)

    run(work, "interrupted; the callers are removed", seconds=seconds)


def _tokens(rows: "Iterable[Expectation]") -> "Tokens":
    """The tokens of a table from the environment; raises UsageError for what is not one, and never says what it is."""
    from meshinstall.checks.authz.sending import is_token
    from meshinstall.engine.gates.authz import Tokens

    found = {}
    for name in sorted({row.request.http.token.variable for row in rows if row.request.http and row.request.http.token} - {""}):
        if text := os.environ.get(name, "").strip():
            if not is_token(text):
                raise UsageError(
                    f"the variable {name} does not hold a JSON Web Token", "it has three parts of base64url, with dots between"
                )
            found[name] = text
    return Tokens(found)


def _ask_to_call(sources: "Sequence[Place]", count: int) -> None:
    """Ask about real requests, and pods in namespaces of others; raises UsageError without a terminal, InterruptedRunError for a no."""
    accounts, requests = ", ".join(map(str, sources)), "1 request" if count == 1 else f"{count} requests"
    question = f"Send {requests} from a namespace of its own, and remove that again?"
    told = f"{requests} {'is' if count == 1 else 'are'} sent from a namespace of its own, which is removed again"
    if sources:
        question = f"Start pods as {accounts}, send {requests} and remove the pods again?"
        told = f"pods are started as {accounts}, and removed again"
    if not sys.stdin.isatty():
        raise UsageError("cannot ask whether to call the workloads: standard input is not a terminal", f"add --yes: {told}")
    confirm(question)


def _show(tried: "tuple[Tried, ...]", junit: Path | None, output: Output, *, live: bool) -> None:
    from meshinstall.cli.output import authz_text, printers
    from meshinstall.cli.output.files import write_whole

    found = printers.dump(authz_text.authz_json(tried, live=live)) if output is Output.JSON else authz_text.authz_text(tried, live=live)
    typer.echo(found)
    if junit:
        try:
            write_whole(junit, authz_text.authz_junit(tried, live=live))
        except OSError as error:
            raise UsageError(f"cannot write {junit}: {error.strerror}") from error
    if status := authz_text.status_of(tried):
        raise typer.Exit(status)


async def _by_proxies(
    rows: "Sequence[Expectation]", policies: "Policies | None", request: Request, of: "Opened", seconds: float
) -> "tuple[Tried, ...]":
    from meshinstall.checks.authz.decide import world
    from meshinstall.engine.report.by_proxies import try_by_proxies

    session, desired = await _open(request, of, seconds)
    return await try_by_proxies(rows, world(policies) if policies else None, session, desired)


async def _open(request: Request, of: "Opened", seconds: float) -> "tuple[Session, Desired | None]":
    """The cluster of an environment that was read before, or one that options name; raises UsageError or ClusterError."""
    project, desired = of
    if project and desired:
        desired, session = await in_thread(partial(open_read, project, desired), seconds)
        return session, desired
    session, _ = await in_thread(partial(open_cluster, request), seconds)
    return session, None


@authz.command()
@requesting(OWN_ENVIRONMENT, last={**CLUSTER, **DESIRED, **SELECTORS})
def who(
    request: Request,
    paths: Paths = None,
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Also by the policies that the cluster has, for the workloads that run there.")
    ] = False,
    by_proxies: Annotated[
        bool, typer.Option("--by-proxies", help="With --live, also ask each proxy what it has, and name those that lack a policy.")
    ] = False,
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", "-n", help="Only workloads of this namespace; may be repeated.")
    ] = None,
    timeout: options.Seconds = _CLUSTER,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Say who may call what of each workload, and by which rule; with --live also what is not in Git, and what is not applied.

    With --env the mesh of that environment is known: its trust domains, its mTLS, its root namespace.
    """

    async def work() -> None:
        from meshinstall.cli.output import printers, who_text
        from meshinstall.config.policy_layers import objects_of, read_layers
        from meshinstall.engine.report.who import read_sources, who_may_call

        if by_proxies and not live:
            raise UsageError("--by-proxies needs --live", "add --live: what proxies have is compared with the cluster's policies")
        if not paths and not request.environment and not live:
            hint = "name files or folders, with --env an environment whose layers to read, or with --live a cluster"
            raise UsageError("no policies are named", hint)
        project, desired = read(request) if request.environment else (None, None)
        layers = objects_of(read_layers(project, request, desired.releases)) if project and desired and not paths else ()
        files = read_sources(paths or layers, desired) if paths or desired else None
        session = None
        if live:
            session, desired = await _open(request, (project, desired), timeout)
        pods = session.pods if session and by_proxies else None
        found = await who_may_call(files, session.kube if session else None, desired, frozenset(namespace or ()), pods)
        typer.echo(printers.dump(who_text.who_json(found)) if output is Output.JSON else who_text.who_text(found))

    run(work, seconds=timeout)
