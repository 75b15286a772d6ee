"""Takes back what one piece of a stage did: releases as Helm's records of before have them, tags as they were, the injector switched on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from meshinstall.engine.observe.tags import find_tags
from meshinstall.engine.session import Session
from meshinstall.engine.staging import steps
from meshinstall.engine.tasks import gather
from meshinstall.engine.upgrade.pieces import Piece
from meshinstall.errors import ChartError
from meshinstall.model.desired import Desired, Release
from meshinstall.model.facts import ObjectKey
from meshinstall.model.labels import TAG
from meshinstall.model.ownership import recorded_digest
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import ChartRef, Manifest, ReleaseKey, ReleaseRecord, ReleaseStatus, readable, without_digest
from meshinstall.model.upgrade import StageName

_TAKEN_BACK = ("its stage is taken back",)
# What the API server writes into the metadata of an object.
_OF_SERVER = frozenset({"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"})
# Stages that bring a release to another version.
_OF_RELEASES = frozenset({StageName.CRDS, StageName.CONTROL_PLANE, StageName.NODE_AGENTS, StageName.GATEWAYS})


@dataclass(frozen=True, slots=True)
class Before:
    """What was there before a piece ran: records of its releases, and the objects of its tags."""

    records: Mapping[ReleaseKey, ReleaseRecord] = field(default_factory=dict)
    tags: Mapping[ObjectKey, Manifest] = field(default_factory=dict)


async def remember(piece: Piece, session: Session) -> Before:
    """Look at what a piece will change; raises ClusterError."""
    desired = piece.desired
    records = await session.releases.newest({release.key.namespace: None for release in desired.releases})
    found = readable(records, [release.key for release in desired.releases])
    there = {key: record for key, record in found.items() if record.status is not ReleaseStatus.UNINSTALLED}
    tags = await find_tags(session.kube, desired.mesh_namespace) if piece.tags else {}
    return Before(there, {key: live for key, live in tags.items() if live["metadata"]["labels"][TAG] in piece.tags})


async def charts_of(before: Before, piece: Piece, session: Session) -> Mapping[ReleaseKey, ChartRef]:
    """The charts that lead back, each with its digest and at hand; raises ChartError for one that cannot be had."""
    wanted = [release for release in piece.desired.releases if _recorded(before, release)]

    async def fetched(release: Release) -> ChartRef:
        record = before.records[release.key]
        chart = ChartRef(record.chart, without_digest(record.version), release.chart.source, recorded_digest(record))
        try:
            chart = chart if chart.digest else await session.charts.resolve(chart)
            await session.charts.fetch(chart)
        except ChartError as error:
            message = f"release {release.key} could not be taken back: {error.message}"
            raise ChartError(message, f"{error.hint}; or continue without a way back: --on-failure hold") from error
        return chart

    found = await gather(range(len(wanted)), lambda number: fetched(wanted[number]))
    return {release.key: found[number] for number, release in enumerate(wanted)}


def undo_plan(piece: Piece, before: Before, now: Before, charts: Mapping[ReleaseKey, ChartRef]) -> Plan:
    """The steps that lead back from ``now`` to ``before``; pure."""
    desired = piece.desired
    tags = tuple(_tags(before, now))
    names = tuple(step.name for step in tags)
    releases = tuple(replace(step, needs=names) for step in _releases(desired, before, now, charts))
    spaces = tuple(steps.keep_namespace(one.name) for one in desired.namespaces)
    return steps.plan_of(desired, (*spaces, *tags, *releases))


def begun_before(piece: Piece, before: Before) -> Iterator[str]:
    """What of a piece an earlier run had changed already: ``before`` does not lead back to what was there before the upgrade."""
    if piece.restarts and not piece.tags:
        yield "the tags of its workloads"
    if piece.stage not in _OF_RELEASES:
        return
    for release in piece.desired.releases:
        old = _recorded(before, release)
        if old and (old.status.is_pending or without_digest(old.version) == release.chart.version):
            yield f"release {release.key}"


def _recorded(before: Before, release: Release) -> ReleaseRecord | None:
    """The record that leads back; one that a killed helm left of its first install leads nowhere."""
    found = before.records.get(release.key)
    return None if found and found.status is ReleaseStatus.PENDING_INSTALL else found


def _releases(desired: Desired, before: Before, now: Before, charts: Mapping[ReleaseKey, ChartRef]) -> Iterator[ReleaseStep]:
    for release in desired.releases:
        old, new = _recorded(before, release), now.records.get(release.key)
        if new is None or (old and old.revision == new.revision):
            continue
        action = Action.UPGRADE if old else Action.UNINSTALL
        yield ReleaseStep(
            name=str(release.key),
            action=action,
            reasons=_TAKEN_BACK,
            release=release.key,
            component=release.component,
            chart=charts[release.key] if old else release.chart,
            values=old.values if old else {},
            revision=new.revision,
            repair=new.status.is_pending,
        )


def _tags(before: Before, now: Before) -> Iterator[ObjectStep]:
    for key, live in now.tags.items():
        if key not in before.tags:
            yield steps.delete(key, live["metadata"].get("uid") or "", reasons=_TAKEN_BACK)
    for key, old in before.tags.items():
        there = now.tags.get(key)
        if there is None or _told(there) != _told(old):
            yield steps.apply(key, {"apiVersion": key.api_version, "kind": key.kind, **_told(old)}, reasons=_TAKEN_BACK)


def _told(item: Manifest) -> dict[str, Any]:
    """An object without what the API server adds to it."""
    metadata = {name: value for name, value in item["metadata"].items() if name not in _OF_SERVER}
    spec = {name: value for name, value in (item.get("spec") or {}).items() if name not in {"clusterIP", "clusterIPs"}}
    rest = {name: value for name, value in item.items() if name not in {"metadata", "status", "spec", "apiVersion", "kind"}}
    return {**rest, "metadata": metadata, **({"spec": spec} if spec else {})}
