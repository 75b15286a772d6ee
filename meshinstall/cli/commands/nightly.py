"""``upgrade --nightly``: one night, its line of result, and the files that others read of it."""

import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from meshinstall.cli.options import Output
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.target import read, warn
from meshinstall.errors import ExitStatus, MeshinstallError, UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from meshinstall.engine.nightly.night import NightRun
    from meshinstall.engine.session import Session
    from meshinstall.engine.staging.planned import Resolve
    from meshinstall.engine.staging.terms import Callbacks, Terms
    from meshinstall.model.desired import Desired
    from meshinstall.model.night import Night

_SUMMARY = "GITHUB_STEP_SUMMARY"
_OPENING = 60.0
_INTERRUPTED = ("interrupted; stages marked ✓ are done", "the next night continues; or take it back: meshinstall upgrade rollback")


@dataclass(frozen=True, slots=True)
class Files:
    """Where the result goes beside the terminal."""

    junit: Path | None = None
    metrics: Path | None = None

    def check(self) -> None:
        """Raise UsageError for a file that could not be written at the end."""
        from meshinstall.cli.output.files import check_writable

        for flag, path in (("--junit", self.junit), ("--metrics", self.metrics)):
            if path:
                check_writable(flag, path)

    def write(self, night: "Night") -> bool:
        """Write all of them; whether those that were asked for are written. What cannot be written is told."""
        from meshinstall.cli.output.files import append_summary, write_whole
        from meshinstall.cli.output.night import night_junit, night_markdown
        from meshinstall.cli.output.night_metrics import night_metrics

        is_whole = True
        for path, make in ((self.junit, night_junit), (self.metrics, night_metrics)):
            try:
                if path:
                    write_whole(path, make(night))
            except OSError as error:
                is_whole = False
                warn(f"cannot write {path}: {error.strerror}")
        if (summary := os.environ.get(_SUMMARY)) and (why := append_summary(Path(summary), night_markdown(night))):
            warn(f"{_SUMMARY}: {why}")
        return is_whole


@dataclass(frozen=True, slots=True)
class Job:
    """What a night is given: how its cluster is opened, its terms, and who hears of it."""

    request: Request
    open: "Callable[[], Awaitable[tuple[Resolve, Session]]]"
    terms: "Callable[[], Terms]"
    callbacks: "Callable[[Session], AbstractContextManager[Callbacks]]"
    output: Output
    files: Files


def check_options(*, is_nightly: bool, to: str, allow: frozenset[str], files: Files) -> None:
    """Raise UsageError for options that a night does not take, or that only a night does."""
    if not is_nightly:
        if files.junit or files.metrics:
            raise UsageError("--junit and --metrics are of --nightly", "add --nightly, or leave them out")
        return
    from meshinstall.engine.nightly.night import NEVER_ALLOWED

    if to:
        raise UsageError("--nightly goes where the files say, and takes no --to", "write the version into istio.version")
    if refused := sorted(allow & NEVER_ALLOWED):
        text = f"--nightly takes no --allow {', '.join(refused)}: it would stay in the job's command for good"
        raise UsageError(text, "begin this upgrade yourself, with --allow and without --nightly: nights continue it")
    files.check()


def nightly(job: Job) -> None:
    """Run a night; the exit status is that of its end, raised as typer.Exit or as the error that ended it."""
    began, begun, ended = datetime.now(UTC), _Begun([], []), list["Night"]()

    async def work() -> None:
        ended.append(await _night(job, began, begun))

    try:
        run(work, *_INTERRUPTED)
    except MeshinstallError as error:
        night = begun.runs[0].stopped_by(error) if begun.runs else _unopened(job.request, begun.read, began, error)
        _tell(night, job)
        raise
    if status := _tell(ended[0], job):
        raise typer.Exit(status)


@dataclass(frozen=True, slots=True)
class _Begun:
    """How far a night came: what was ``read`` of the files, and its run."""

    read: "list[Desired]"
    runs: "list[NightRun]"


async def _night(job: Job, began: datetime, begun: _Begun) -> "Night":
    from meshinstall.engine.nightly.night import NightRun

    project, desired = await in_thread(partial(read, job.request), _OPENING)
    begun.read.append(desired)
    # Outside of the windows nothing is asked, of a cloud neither.
    if not desired.windows.is_open(began):
        return _ended_early(desired.environment, desired, began, next_open=desired.windows.next_open(began))
    resolve, session = await job.open()
    with job.callbacks(session) as callbacks:
        found = NightRun(resolve, session, job.terms(), callbacks, project.settings.charts.trust == "source")
        begun.runs.append(found)
        return await found.run()


def _ended_early(environment: str, desired: "Desired | None", began: datetime, **told: Any) -> "Night":
    from meshinstall.model.night import Night, NightEnd

    seconds = (datetime.now(UTC) - began).total_seconds()
    told = {"end": NightEnd.OUTSIDE, "status": ExitStatus.DONE, **told}
    cluster, cloud = (desired.cluster.name, desired.cloud) if desired else ("", "")
    return Night(environment=environment, cluster=cluster, cloud=cloud, began=began, seconds=max(seconds, 0.0), **told)


def _unopened(request: Request, seen: "list[Desired]", began: datetime, error: MeshinstallError) -> "Night":
    """A night that ended before a cluster was open."""
    from meshinstall.model.night import NightEnd

    end = NightEnd.INTERRUPTED if error.exit_code == ExitStatus.INTERRUPTED else NightEnd.FAILED
    return _ended_early(request.environment, next(iter(seen), None), began, end=end, status=error.exit_code, why=error.in_one_line())


def _tell(night: "Night", job: Job) -> int:
    """Print the result and write its files; the exit status, which is no success where a file is missing."""
    import json

    from meshinstall.cli.output.night import night_json, night_line

    if job.output is Output.JSON:
        sys.stdout.write(json.dumps(night_json(night)) + "\n")
    else:
        typer.echo(night_line(night))
    is_whole = job.files.write(night)
    return int(night.status) or (ExitStatus.DONE if is_whole else ExitStatus.FAILED)
