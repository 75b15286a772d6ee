"""What status and explain found, as people and programs read it."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from meshinstall.config.explain import Explained
from meshinstall.model.desired import Release
from meshinstall.model.foreign_text import for_log
from meshinstall.model.release import Component
from meshinstall.model.status import Certificate, Health, MeshStatus, Proxies, ReleaseHealth, Workload
from meshinstall.model.values import Spoken

STATUS_SCHEMA = "meshinstall.dev/status/v1"
EXPLAIN_SCHEMA = "meshinstall.dev/explain/v1"
_WIDTH = 80
# Characters of one value in a line.
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class ExplainedRelease:
    """A release and what was asked about its values."""

    release: Release
    values: tuple[Explained, ...]
    version_origin: str
    version_choice: str = ""


def status_text(status: MeshStatus) -> str:
    """A status for people: what is wrong first, then what is there."""
    if not status.is_installed:
        return for_log(f"Istio is not installed: none of the releases of environment {status.environment} is on {status.cluster}.")
    revision = f", revision {status.revision}" if status.revision else ""
    lines = [f"Istio {status.istio_version or '(no istiod)'}{revision}, environment {status.environment} on {status.cluster}", ""]
    problems, warnings = list(status.problems()), list(status.warnings())
    lines += ["Everything is Current." if not problems else "Not everything is Current:"]
    lines += [*_items("✗", problems), *_items("!", warnings), ""]
    lines += [*columns(_release_rows(status.releases)), ""]
    if gateways := list(_gateway_rows(status.releases)):
        lines += [*columns([("GATEWAY", "TYPE", "ADDRESS"), *gateways]), ""]
    lines += columns(_fact_rows(status))
    return for_log("\n".join(lines))


def status_json(status: MeshStatus) -> dict[str, Any]:
    """A status for programs: the document that docs/schemas/status.json describes."""
    return {
        "schema": STATUS_SCHEMA,
        "environment": status.environment,
        "cluster": status.cluster,
        "installed": status.is_installed,
        "current": status.is_current,
        "istioVersion": status.istio_version,
        "revision": status.revision,
        "problems": list(status.problems()),
        "warnings": list(status.warnings()),
        "releases": [_release_json(release) for release in status.releases],
        "proxies": _proxies_json(status.proxies),
        "certificates": [_certificate_json(certificate, status) for certificate in status.certificates],
        "lastRun": _camel(asdict(status.last_run)) if status.last_run else None,
        "lock": _camel(asdict(status.holder)) if status.holder else None,
    }


def explain_text(found: Iterable[ExplainedRelease]) -> str:
    """Every value with the layers that spoke, the lowest first and the winner marked."""
    blocks = []
    for one in found:
        lines = [f"{one.release.key}  {one.release.chart.name} {one.release.chart.version} ({one.version_origin})"]
        lines += [f"version: {one.version_choice}", ""] if one.version_choice else [""]
        for value in one.values:
            lines += [".".join(value.path), *columns([_spoken_row(spoken) for spoken in value.spoken])]
        blocks.append("\n".join(lines))
    return for_log("\n\n".join(blocks))


def explain_json(found: Iterable[ExplainedRelease]) -> dict[str, Any]:
    """The document that docs/schemas/explain.json describes."""
    return {
        "schema": EXPLAIN_SCHEMA,
        "releases": [
            {
                "namespace": one.release.key.namespace,
                "release": one.release.key.name,
                "component": one.release.component,
                "chart": _chart_json(one),
                "values": [{"path": list(value.path), "spoken": [_spoken_json(each) for each in value.spoken]} for value in one.values],
            }
            for one in found
        ],
    }


def _chart_json(one: ExplainedRelease) -> dict[str, str]:
    choice = {"versionChoice": one.version_choice} if one.version_choice else {}
    return {"name": one.release.chart.name, "version": one.release.chart.version, "versionOrigin": one.version_origin, **choice}


def _items(sign: str, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from textwrap.wrap(f"{sign} {text}", _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows with their columns aligned; the last column is as long as it needs to be, so that it can be copied."""
    listed = list(rows)
    count = max(map(len, listed))
    widths = [max(len(row[at]) for row in listed if len(row) > at) for at in range(count)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in listed]


def fitting(rows: Sequence[Sequence[str]], width: int = _WIDTH) -> list[str]:
    """Rows below a heading, with their columns aligned; the last columns that are too wide come below their row, each after its name.

    Nothing is cut: only the first two columns can make a line longer than ``width``.
    """
    heading, *others = rows
    kept = next((count for count in range(len(heading), 2, -1) if _width(rows, count) <= width), 2)
    first, *lines = columns([row[:kept] for row in rows])
    indent = " " * (max(len(row[0]) for row in rows) + 2)
    found = [first]
    for line, row in zip(lines, others, strict=True):
        below = "; ".join(f"{name} {cell}" for name, cell in zip(heading[kept:], row[kept:], strict=True) if cell.strip("-"))
        found += [line, *textwrap.wrap(below, width, initial_indent=indent, subsequent_indent=indent)]
    return found


def _width(rows: Sequence[Sequence[str]], count: int) -> int:
    return max(map(len, columns([row[:count] for row in rows])))


def _release_rows(releases: Iterable[ReleaseHealth]) -> Iterator[tuple[str, ...]]:
    yield "RELEASE", "CHART", "PODS", "HEALTH"
    for release in releases:
        chart = f"{release.chart} {release.chart_version}" if release.chart else "-"
        yield str(release.key), chart, "", release.health
        for workload in release.workloads:
            if workload.key.kind != "Service":
                yield f"  {workload.key.kind} {workload.key.name}", "", f"{workload.ready}/{workload.wanted}", workload.health


def _gateway_rows(releases: Iterable[ReleaseHealth]) -> Iterator[tuple[str, ...]]:
    for release, service in _services(releases):
        waits = "pending" if service.health is Health.IN_PROGRESS else "none"
        yield str(release.key), service.service_type, ", ".join(service.addresses) or waits


def _services(releases: Iterable[ReleaseHealth]) -> Iterator[tuple[ReleaseHealth, Workload]]:
    for release in releases:
        if release.component is Component.GATEWAY:
            yield from ((release, workload) for workload in release.workloads if workload.key.kind == "Service")


def _fact_rows(status: MeshStatus) -> Iterator[tuple[str, ...]]:
    engines = dict.fromkeys(engine for release in status.releases for engine in release.kept_by)
    yield from ((("Kept by" if number == 0 else ""), engine) for number, engine in enumerate(engines))
    yield "Proxies", _proxies_line(status.proxies)
    for certificate in status.certificates:
        role = "Root certificate" if certificate.role == "root" else "istiod's CA"
        yield role, _certificate_line(certificate, status)
    if run := status.last_run:
        yield "Last run", f"{run.result.partition(chr(10))[0][:_LONGEST]}, {run.finished} by {run.by.partition('/')[0]}"
        yield "", f"{run.run}, Istio {run.istio_version}, profile {run.profile}"
    else:
        yield "Last run", "none on record"
    holder = status.holder
    yield "Lock", f"{holder.who} since {holder.since} ({holder.what})" if holder else "free"


def _proxies_line(proxies: Proxies) -> str:
    if proxies.unknown:
        return "NOT KNOWN"
    updating = proxies.connected - proxies.in_sync - len(proxies.stale)
    parts = [f"{proxies.connected} connected", f"{proxies.in_sync} in sync"]
    parts += [f"{updating} being updated"] if updating else []
    parts += [f"{len(proxies.stale)} stale"] if proxies.stale else []
    return ", ".join(parts)


def _certificate_line(certificate: Certificate, status: MeshStatus) -> str:
    if not certificate.times:
        return "NOT KNOWN"
    return f"expires {certificate.times.not_after:%Y-%m-%d}, {certificate.days_left(status.now)} days left ({certificate.times.subject})"


def _release_json(release: ReleaseHealth) -> dict[str, Any]:
    return {
        "namespace": release.key.namespace,
        "release": release.key.name,
        "component": release.component,
        "health": release.health,
        "detail": release.detail,
        "chart": release.chart,
        "chartVersion": release.chart_version,
        "istioVersion": release.istio_version,
        "helmStatus": release.helm_status,
        "keptBy": list(release.kept_by),
        "workloads": [
            {
                "kind": workload.key.kind,
                "namespace": workload.key.namespace,
                "name": workload.key.name,
                "health": workload.health,
                "detail": workload.detail,
            }
            | (
                {"type": workload.service_type, "addresses": list(workload.addresses)}
                if workload.key.kind == "Service"
                else {"ready": workload.ready, "wanted": workload.wanted}
            )
            for workload in release.workloads
        ],
    }


def _proxies_json(proxies: Proxies) -> dict[str, Any]:
    """Without numbers when they are not known."""
    if proxies.unknown:
        return {"known": False, "reason": proxies.unknown}
    stale = [{"name": one.name, "reason": one.reason} for one in proxies.stale]
    versions = [{"namespace": one.namespace, "version": one.version, "count": one.count} for one in proxies.versions]
    return {"known": True, "connected": proxies.connected, "inSync": proxies.in_sync, "stale": stale, "versions": versions}


def _certificate_json(certificate: Certificate, status: MeshStatus) -> dict[str, Any]:
    found: dict[str, Any] = {"role": certificate.role, "source": certificate.source, "known": certificate.times is not None}
    if times := certificate.times:
        dates = {"notBefore": times.not_before.isoformat(), "notAfter": times.not_after.isoformat()}
        return found | {"subject": times.subject} | dates | {"daysLeft": certificate.days_left(status.now)}
    return found | {"reason": certificate.unknown}


def _camel(fields: dict[str, Any]) -> dict[str, Any]:
    def name(text: str) -> str:
        first, *rest = text.removeprefix("is_").split("_")
        return first + "".join(part.title() for part in rest)

    return {name(key): value for key, value in fields.items()}


def _spoken_row(spoken: Spoken) -> tuple[str, ...]:
    value = "(removed)" if spoken.deletes else json.dumps(spoken.value, ensure_ascii=False, default=str)
    shown = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
    return f"  {'▸' if spoken.wins else ' '} {_kind(spoken)}", str(spoken.origin), shown


def _spoken_json(spoken: Spoken) -> dict[str, Any]:
    place = {"source": spoken.origin.source, "line": spoken.origin.line, "column": spoken.origin.column}
    return {"layer": _kind(spoken), **place, "value": spoken.value, "deletes": spoken.deletes, "wins": spoken.wins}


def _kind(spoken: Spoken) -> str:
    return spoken.origin.kind.name.lower().replace("_", " ")
