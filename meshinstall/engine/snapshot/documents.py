"""The documents of a snapshot that are made of what is known already; pure. Nothing in them tells a time."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from meshinstall.model.desired import Desired, Policy, Release
from meshinstall.model.facts import Facts, ObjectKey
from meshinstall.model.finding import Finding
from meshinstall.model.foreign_text import plain
from meshinstall.model.istio import image_tag
from meshinstall.model.labels import REVISION, TAG
from meshinstall.model.ownership import recorded_digest, recorded_environment
from meshinstall.model.release import ChartRef, Component, Manifest, ReleaseKey, ReleaseRecord
from meshinstall.model.values import Origin
from meshinstall.model.verdict import PortVerdict, Verdict


def desired_document(desired: Desired, charts: Mapping[str, ChartRef]) -> dict[str, Any]:
    """The resolved desired state, each value with where it was written."""
    return {
        "environment": desired.environment,
        "cloud": desired.cloud,
        "profile": desired.profile,
        "istioVersion": desired.istio_version,
        "meshNamespace": desired.mesh_namespace,
        "revision": desired.revision,
        "tags": list(desired.tags),
        "namespaces": [{"name": one.name, "labels": dict(one.labels)} for one in desired.namespaces],
        "releases": [_release(one, charts[one.chart.name]) for one in desired.releases],
        "policies": [_policy(one) for one in desired.policies],
        "layered": None if desired.layered is None else [_policy(one) for one in desired.layered],
    }


def _release(release: Release, chart: ChartRef) -> dict[str, Any]:
    winners = release.values.winners()
    return {
        "namespace": release.key.namespace,
        "name": release.key.name,
        "component": release.component,
        "chart": {"name": chart.name, "version": chart.version, "source": chart.source, "digest": chart.digest, "file": chart_path(chart)},
        "needs": [str(key) for key in release.needs],
        "values": release.values.merged(),
        "origins": [{"path": list(path), **_origin(winners[path].origin)} for path in sorted(winners)],
    }


def chart_path(chart: ChartRef) -> str:
    """Where the archive of a chart is in a snapshot."""
    return f"charts/{chart.name}-{chart.version}.tgz"


def _policy(policy: Policy) -> dict[str, Any]:
    return {"object": policy.manifest, "origin": _origin(policy.origin)}


def _origin(origin: Origin) -> dict[str, Any]:
    return {"layer": origin.kind.name.lower().replace("_", "-"), "source": origin.source, "line": origin.line}


def release_document(record: ReleaseRecord, *, with_values: bool) -> dict[str, Any]:
    """A release as Helm recorded it, without its manifest and times; null for values that are left out."""
    return {
        "namespace": record.key.namespace,
        "name": record.key.name,
        "chart": record.chart,
        "version": record.version,
        "appVersion": record.app_version,
        "digest": recorded_digest(record) or None,
        "environment": recorded_environment(record) or None,
        "status": record.status,
        "revision": record.revision,
        "values": record.values if with_values else None,
    }


def records_of(facts: Facts) -> list[ReleaseRecord]:
    """Every release of Istio that is known, by its key."""
    found = {record.key: record for record in (*facts.istiods, *facts.orphans, *facts.releases.values())}
    return [found[key] for key in sorted(found, key=str)]


def release_differences(desired: Desired, facts: Facts) -> list[str]:
    """How the releases that are there differ from those that the snapshot's charts would make."""
    found = []
    for release in desired.releases:
        chart, record = facts.charts[release.chart.name], facts.releases.get(release.key)
        digest = recorded_digest(record) if record else ""
        if record is None:
            found.append(f"release {release.key} is not installed")
        elif record.version != chart.version:
            found.append(f"release {release.key} is {plain(record.version)}, and the snapshot has the chart {chart.version}")
        elif digest and digest != chart.digest:
            found.append(f"release {release.key} was made of {digest}, and the snapshot has {chart.digest}")
    return found


def tag_rows(tags: Mapping[ObjectKey, Manifest]) -> list[dict[str, str]]:
    """Each tag with the revision that it points to."""
    labels = [tag["metadata"].get("labels") or {} for tag in tags.values()]
    pairs = {(str(one.get(TAG, "")), str(one.get(REVISION, ""))) for one in labels}
    return [{"tag": tag, "revision": revision} for tag, revision in sorted(pairs)]


def plane_rows(planes: Iterable[Manifest]) -> list[dict[str, Any]]:
    """Each control plane with its revision and the tags of its images."""
    rows = []
    for plane in planes:
        metadata, pod = plane["metadata"], ((plane.get("spec") or {}).get("template") or {}).get("spec") or {}
        images = sorted({image_tag(str(one.get("image", ""))) for one in pod.get("containers") or ()})
        revision = (metadata.get("labels") or {}).get(REVISION, "")
        rows.append({"namespace": metadata["namespace"], "name": metadata["name"], "revision": revision, "versions": images})
    return sorted(rows, key=lambda row: (row["namespace"], row["name"]))


def gateway_keys(desired: Desired, facts: Facts, kinds: Collection[str]) -> dict[ObjectKey, ReleaseKey]:
    """The objects of these kinds that the gateways' releases have."""
    gateways = {release.key for release in desired.releases if release.component is Component.GATEWAY}
    return {key: owner for key in facts.live if key.kind in kinds and (owner := _owner(key, facts, gateways))}


def _owner(key: ObjectKey, facts: Facts, releases: Iterable[ReleaseKey]) -> ReleaseKey | None:
    for release in releases:
        for manifest in facts.owned.get(release, ()):
            metadata = manifest["metadata"]
            if manifest["kind"] == key.kind and (metadata.get("namespace") or release.namespace, metadata["name"]) == key[2:]:
                return release
    return None


def verdict_document(verdict: Verdict | None) -> dict[str, Any]:
    """The verdict without what differs each time: times, our own targets, names of pods, and the evidence in words."""
    if verdict is None:
        return {"asked": False, "verdict": None, "ports": [], "findings": [], "notSeen": []}
    ports = sorted(
        (port for port in verdict.ports if not port.ours), key=lambda port: (port.namespace, port.workload, port.port, port.dataplane)
    )
    findings = sorted(map(_finding, verdict.findings), key=lambda row: sorted(row.items()))
    return {
        "asked": True,
        "verdict": verdict.outcome,
        "ports": [_port(port) for port in ports],
        "findings": findings,
        "notSeen": sorted(verdict.gaps),
    }


def _port(port: PortVerdict) -> dict[str, Any]:
    return {
        "namespace": port.namespace,
        "workload": port.workload,
        "port": port.port or None,
        "dataplane": port.dataplane,
        "verdict": port.outcome,
        "server": port.server,
        "clients": port.clients,
        "mode": port.mode or None,
        "tried": port.tried,
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "severity": finding.severity, "title": finding.title, "object": finding.object}
