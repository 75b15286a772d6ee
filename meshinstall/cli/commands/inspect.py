"""Commands that look and change nothing in a cluster: status, proxies, explain, init, lock."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CHARTS, CLOUD, CLUSTER, CONFIG, DESIRED, ENVIRONMENT, PROFILE, SELECTORS, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.target import open_environment, read, warn
from meshinstall.errors import ChartError, ExitStatus, UsageError
from meshinstall.model.foreign_text import for_log
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshinstall.cli.output.tables import ExplainedRelease
    from meshinstall.config.lockfile import Lock
    from meshinstall.model.desired import Desired, Release
    from meshinstall.model.release import ChartRef
    from meshinstall.ports import Charts

Environments = Annotated[list[str], typer.Option("--env", help="Environment whose charts to check; may be repeated.")]

# Seconds of a look at a cluster, of reading one chart, and of reading all charts.
_LOOK, _CHART, _CHARTS = 120.0, 120.0, 300.0
# What `explain` takes in place of a component.
_UPGRADE, _POLICY = "upgrade", "policy"
_SETTINGS = ("waves", "windows")


@app.command()
@requesting(ENVIRONMENT, CLUSTER, PROFILE, last=SELECTORS)
def status(request: Request, *, timeout: options.Seconds = _LOOK, output: options.OutputKind = Output.TABLE) -> None:
    """Show what is installed and whether it is healthy; exit status 1 when something is not."""
    from meshinstall.cli.output import printers, tables
    from meshinstall.engine.report.status import look

    async def work() -> None:
        found = await look(*await in_thread(partial(open_environment, request)))
        typer.echo(printers.dump(tables.status_json(found)) if output is Output.JSON else tables.status_text(found))
        if not found.is_current:
            raise typer.Exit(ExitStatus.FAILED)

    run(work, seconds=timeout)


@app.command()
@requesting(ENVIRONMENT, CLUSTER, PROFILE, last=SELECTORS)
def proxies(request: Request, *, timeout: options.Seconds = _LOOK, output: options.OutputKind = Output.TABLE) -> None:
    """List every proxy of the mesh: version, revision, namespace, age, whether it has its configuration, and who replaces its pod."""
    from meshinstall.cli.output import printers, proxy_tables
    from meshinstall.engine.observe.proxies import observe_proxies

    async def work() -> None:
        found = await observe_proxies(*await in_thread(partial(open_environment, request)))
        typer.echo(printers.dump(proxy_tables.proxies_json(found)) if output is Output.JSON else proxy_tables.proxies_text(found))

    run(work, seconds=timeout)


@app.command()
@requesting(ENVIRONMENT, CLOUD, CONFIG, DESIRED)
def explain(
    request: Request,
    component: Annotated[
        str, typer.Argument(help="base, istiod, cni, ztunnel, gateway, a gateway's name, upgrade for its settings, or policy.")
    ],
    key: Annotated[
        str,
        typer.Argument(help="A value, or what holds several, such as pilot.autoscaleMin; of a policy NAMESPACE/NAME. All by default."),
    ] = "",
    *,
    timeout: options.Seconds = _CHART,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Show every layer that sets a value, with file and line, and which one wins; needs no cluster."""
    from meshinstall.cli.output import printers, tables

    if component == _UPGRADE:
        typer.echo(_explained_upgrade(request, key, output))
        return
    if component == _POLICY:
        typer.echo(_explained_policy(request, key, output))
        return

    async def work() -> None:
        found = await _explained(request, component, key)
        typer.echo(printers.dump(tables.explain_json(found)) if output is Output.JSON else tables.explain_text(found))

    run(work, seconds=timeout)


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to write it; this folder by default.")] = Path()) -> None:
    """Write an example meshinstall.yaml to start from."""
    from meshinstall.config.init import example
    from meshinstall.config.project import FILE_NAME, VARIABLE, named_elsewhere

    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(example())
    except FileExistsError as error:
        raise UsageError(f"{error.filename} exists already", "edit it, or name another folder") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    typer.echo(f"wrote {path}; change it, then see what it does: meshinstall plan --env dev", err=True)
    if named := named_elsewhere(path, os.environ, Path.cwd()):
        warn(f"{VARIABLE} is set to {named}: commands read that, not {path}; unset it, or give --config {path}")


@app.command()
@requesting(last={**CLOUD, **CONFIG, **PROFILE, **CHARTS})
def lock(
    request: Request,
    *,
    env: Environments,
    update: Annotated[bool, typer.Option("--update", help="Pin what the sources have now.")] = False,
    timeout: options.Seconds = _CHARTS,
) -> None:
    """Check that every chart is pinned and is still what was pinned (exit status 3 when not), or pin it; needs no cluster."""
    from meshinstall.config import lockfile
    from meshinstall.wiring import lock_path

    resolved = [read(replace(request, environment=name)) for name in env]
    path = lock_path(resolved[0][0])
    pins = lockfile.load(path)

    async def work() -> None:
        found = await _resolved([desired for _, desired in resolved], lockfile.Lock(()) if update else pins)
        if update:
            kept = [chart for chart in pins.charts if (chart.name, chart.version) not in _keys(found)]
            manifests = {**{key: pins.manifests[key] for key in pins.manifests if key in _keys(kept)}, **await _manifests(found)}
            lockfile.write(path, lockfile.Lock((*(_portable(chart, path.parent) for chart in found), *kept), manifests))
            typer.echo(for_log("\n".join(f"pinned {chart.name} {chart.version} {chart.digest}" for chart in found)))
            _warn_of_nights({chart.version for chart in found})
            return
        lines = [_pin_line(pins, chart) for chart in found]
        typer.echo(for_log("\n".join(line for line, _ in lines)))
        if not all(is_good for _, is_good in lines):
            raise typer.Exit(ExitStatus.CHANGES_PENDING)

    run(work, seconds=timeout)


def _explained_upgrade(request: Request, key: str, output: Output) -> str:
    """The waves of upgrades and the windows of nightly ones, as the files have them; raises UsageError for another key."""
    from datetime import UTC, datetime

    from meshinstall.cli.output import printers, tables, wave_text
    from meshinstall.cli.output.windows import windows_json, windows_text

    if key not in {"", *_SETTINGS}:
        raise UsageError(f"explain {_UPGRADE} {key}: an upgrade has no such setting", f"it has {' and '.join(_SETTINGS)}")
    written, now = read(request)[1], datetime.now(UTC)
    shown = (key,) if key else _SETTINGS
    if output is Output.JSON:
        parts: dict[str, Any] = {"waves": wave_text.configured_json(written.waves), "windows": windows_json(written.windows, now)}
        return printers.dump({**tables.explain_json([]), **{name: parts[name] for name in shown}})
    texts = {"waves": wave_text.configured_text(written.waves), "windows": windows_text(written.windows, now)}
    return "\n\n".join(texts[name] for name in shown)


def _explained_policy(request: Request, name: str, output: Output) -> str:
    """The layers of policies, and what comes of them; raises UsageError for a name that no layer has."""
    from meshinstall.cli.output import policy_layers, printers
    from meshinstall.config.policy_layers import explained, read_layers

    project, desired = read(request)
    found = explained(read_layers(project, request, desired.releases), name)
    return printers.dump(policy_layers.layers_json(found)) if output is Output.JSON else policy_layers.layers_text(found)


async def _explained(request: Request, component: str, key: str) -> "list[ExplainedRelease]":
    from meshinstall.cli.output.tables import ExplainedRelease
    from meshinstall.config import lockfile
    from meshinstall.config.explain import explain as explain_values
    from meshinstall.engine.observe.version import settle_version
    from meshinstall.wiring import lock_path, open_charts

    project, written = read(request)
    _chosen(written, component)
    pins, charts = lockfile.load(lock_path(project)), open_charts(warn)
    desired = await settle_version(written, pins, charts)
    chosen = _chosen(desired, component)
    files = await charts.read(pins.pin(chosen[0].chart))
    told = (desired.version_origin, desired.version_choice)
    return [ExplainedRelease(release, explain_values(release, files, key), *told) for release in chosen]


def _chosen(desired: "Desired", wanted: str) -> "list[Release]":
    """The release that users call ``wanted``; ``gateway`` is every gateway. Raises UsageError."""
    from meshinstall.config.documents import suggestion
    from meshinstall.model.release import Component

    names = [release.key.name if release.component is Component.GATEWAY else release.component.value for release in desired.releases]
    found = [release for name, release in zip(names, desired.releases, strict=True) if wanted in {name, release.component}]
    if not found:
        raise UsageError(
            f"profile {desired.profile} of environment {desired.environment} does not install {wanted}", suggestion(wanted, tuple(names))
        )
    return found


async def _resolved(written: "list[Desired]", pins: "Lock") -> "list[ChartRef]":
    """Each chart of these environments once, with the digest that its source has now; of a minor what is pinned, else the newest."""
    from meshinstall.config.lockfile import Lock
    from meshinstall.config.version_choice import chart_names, newest_pinned
    from meshinstall.engine.observe.version import settle_version
    from meshinstall.engine.tasks import gather
    from meshinstall.wiring import open_charts

    charts: Charts = open_charts(warn)
    fitting = (pins if newest_pinned(one.istio_version, chart_names(one), pins) else Lock(()) for one in written)
    desired = [await settle_version(one, pinned, charts) for one, pinned in zip(written, fitting, strict=True)]
    wanted = dict.fromkeys(release.chart for one in desired for release in one.releases)
    found = await gather(wanted, charts.resolve)
    return [found[chart] for chart in wanted]


def _keys(charts: "Iterable[ChartRef]") -> set[tuple[str, str]]:
    return {(chart.name, chart.version) for chart in charts}


async def _manifests(charts: "list[ChartRef]") -> dict[tuple[str, str], str]:
    """By which digest a registry knows each of these archives, of those that are from one."""
    from meshinstall.engine.tasks import gather
    from meshinstall.wiring import open_charts

    found = await gather(charts, open_charts(warn).manifest)
    return {(chart.name, chart.version): digest for chart, digest in found.items() if digest}


def _warn_of_nights(versions: set[str]) -> None:
    """Tell which versions no night would take."""
    from datetime import UTC, datetime

    from meshinstall.engine.nightly.choice import TABLE, why_not
    from meshinstall.model.istio_version import istio_version

    today = datetime.now(UTC).date()
    for version in sorted(filter(None, map(istio_version, versions))):
        for why in why_not(version, frozenset(), TABLE, today):
            warn(f"Istio {version} {why}; upgrade --nightly does not take it")


def _portable(chart: "ChartRef", folder: Path) -> "ChartRef":
    """A chart from a folder beside the lock file, named as every machine can."""
    source = Path(chart.source)
    return replace(chart, source=str(source.relative_to(folder))) if source.is_relative_to(folder) else chart


def _pin_line(pins: "Lock", chart: "ChartRef") -> tuple[str, bool]:
    from meshinstall.config import lockfile

    try:
        lockfile.check(pins, [chart])
    except ChartError as error:
        return f"✗ {error.message}\n    {error.hint}", False
    return f"✓ chart {chart.name} {chart.version} is {chart.digest}", True
