"""Takes a snapshot on one page: the files, what is desired, the charts, what is there, who the mesh is, and the envelope last."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshinstall.engine.mesh.gateways_serving import ask_gateways
from meshinstall.engine.observe.cloud import explaining
from meshinstall.engine.observe.cluster import observe
from meshinstall.engine.observe.run_holder import other_run
from meshinstall.engine.observe.tags import find_tags
from meshinstall.engine.observe.version import settle_version
from meshinstall.engine.session import Session
from meshinstall.engine.snapshot.cluster_objects import gateway_rows, namespace_rows, namespaces, passing_namespaces, write_objects
from meshinstall.engine.snapshot.documents import (
    chart_path,
    desired_document,
    gateway_keys,
    plane_rows,
    records_of,
    release_differences,
    release_document,
    tag_rows,
    verdict_document,
)
from meshinstall.engine.snapshot.identity import Authority, find_authority, mesh_identity, root_fingerprints, sealed_text
from meshinstall.engine.snapshot.search import Search, Writer
from meshinstall.engine.snapshot.secret_names import secret_rows
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.foreign_text import plain
from meshinstall.model.release import Component
from meshinstall.model.snapshot import AUTHORITY, SERVING, TIMES, Envelope, Signature, envelope_bytes, manifest_bytes
from meshinstall.model.snapshot_serving import serving_document
from meshinstall.model.verdict import Verdict
from meshinstall.ports import Sealer, Signer, SnapshotDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a snapshot is taken.

    ``files`` are the texts of the project's own files, by path; ``leave_out`` names what may be left out because it holds a secret;
    without a ``signer`` it is unsigned, without a ``sealer`` the CA is not in it. ``verdict`` is None where none was asked for.
    ``unpack`` gives path and content of each file of a packed chart, ``tool`` names this program with its version.
    """

    files: Mapping[str, str]
    unpack: Callable[[Path], Iterator[tuple[str, bytes]]]
    leave_out: frozenset[str] = frozenset()
    signer: Signer | None = None
    sealer: Sealer | None = None
    verdict: Verdict | None = None
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a snapshot holds: how many files, bytes and objects; who signed it; what is not in it, and why."""

    files: int
    size: int
    objects: int
    signatures: tuple[Signature, ...]
    left_out: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Work:
    """What one snapshot is made with, and what is to be told of it."""

    desired: Desired
    session: Session
    draft: SnapshotDraft
    terms: Terms
    search: Search
    writer: Writer
    warnings: list[str] = field(default_factory=list)


async def take(desired: Desired, session: Session, draft: SnapshotDraft, terms: Terms) -> Taken:
    """Read all, write it to the draft and publish that; raises SnapshotError for a secret, ClusterError and ChartError."""
    async with explaining(session, desired):
        desired = await settle_version(desired, session.chart_pins, session.charts, session.releases)
        work = _Work(desired, session, draft, terms, Search(terms.leave_out), Writer(draft))
        if other := await other_run(session, desired.mesh_namespace):
            work.warnings.append(f"another run holds the lock of this mesh: {plain(other.who)}; the snapshot may be of the middle of it")
        facts = await observe(desired, session.kube, session.releases, session.charts, session.chart_pins)
        _write_files(work)
        await _write_charts(work, facts)
        _write_releases(work, facts)
        passing = passing_namespaces(await namespaces(session.kube))
        count, uses = await write_objects(session.kube, work.search, work.writer, passing)
        gateways = gateway_keys(desired, facts, {"Service"})
        charted = [(facts.live[key], str(release)) for key, release in gateways.items()]
        work.writer.document("gateways.json", {"gateways": await gateway_rows(session.kube, charted, work.search)})
        workloads = {key: facts.live[key] for key in gateway_keys(desired, facts, {"Deployment", "DaemonSet"})}
        work.writer.document(SERVING, serving_document(await ask_gateways(session, workloads)))
        work.writer.document("namespaces.json", {"namespaces": await namespace_rows(session.kube, work.search, passing)})
        homes = {release.key.namespace for release in desired.releases if release.component is Component.GATEWAY}
        work.writer.document("secrets.json", {"secrets": await secret_rows(session, uses, homes, desired.mesh_namespace)})
        work.writer.document("mesh.json", await _mesh(work, facts))
    work.writer.document("verdict.json", verdict_document(terms.verdict))
    work.search.insist()
    return _publish(work, count)


def _write_files(work: _Work) -> None:
    if not work.terms.files:
        work.warnings.append("there is no meshinstall.yaml: the snapshot has the resolved state, and no file of yours")
    for path, text in sorted(work.terms.files.items()):
        if work.search.is_clean_text(f"File/{path}", text):
            work.writer.text(f"files/{path}", text)


async def _write_charts(work: _Work, facts: Facts) -> None:
    """The archives of the desired releases, and the desired state."""
    for name in sorted(facts.charts):
        archive = await work.session.charts.fetch(facts.charts[name])
        clean = [work.search.is_clean_bytes(f"Chart/{name}", path, data) for path, data in work.terms.unpack(archive)]
        if all(clean):
            work.draft.copy(chart_path(facts.charts[name]), archive)
    document = desired_document(work.desired, facts.charts)
    if work.search.is_clean("Desired/state", {key: document[key] for key in ("releases", "policies", "layered")}):
        work.writer.document("desired.json", document)


def _write_releases(work: _Work, facts: Facts) -> None:
    clean = {record.key: work.search.is_clean(f"Release/{record.key}", record.values) for record in records_of(facts)}
    rows = [release_document(record, with_values=clean[record.key]) for record in records_of(facts)]
    work.writer.document("releases.json", {"releases": rows})
    work.warnings += release_differences(work.desired, facts)


async def _mesh(work: _Work, facts: Facts) -> dict[str, Any]:
    desired, session = work.desired, work.session
    authority = await find_authority(session, desired.mesh_namespace, whole=work.terms.sealer is not None)
    return {
        "tool": work.terms.tool,
        "cluster": session.cluster,
        "cloud": desired.cloud,
        "environment": desired.environment,
        "kubernetes": facts.kubernetes,
        "istioVersion": desired.istio_version,
        "controlPlanes": plane_rows(facts.control_planes),
        "tags": tag_rows(await find_tags(session.kube, desired.mesh_namespace)),
        **await mesh_identity(session, facts),
        "roots": await root_fingerprints(session, desired.mesh_namespace),
        "authority": _write_authority(work, authority),
    }


def _write_authority(work: _Work, authority: Authority) -> dict[str, Any]:
    """Seal the CA where that was asked for; what the snapshot says of it."""
    recipients: tuple[str, ...] = ()
    if work.terms.sealer and authority.whole:
        work.draft.write(AUTHORITY, work.terms.sealer.seal(sealed_text(authority.whole)))
        recipients = work.terms.sealer.recipients
    else:
        work.warnings.append("the CA is not in the snapshot: it cannot keep the trust of this mesh by itself (--include-authority)")
    return {
        "secret": authority.secret or None,
        "fingerprints": list(authority.fingerprints),
        "unread": authority.unread or None,
        "included": bool(recipients),
        "recipients": list(recipients),
    }


def _publish(work: _Work, count: int) -> Taken:
    """Write what is known last, sign the manifest of everything, and give the folder its name."""
    left_out = [{"name": name, "fields": list(fields)} for name, fields in sorted(work.search.left_out.items())]
    work.writer.document("left-out.json", {"leftOut": left_out})
    verdict = work.terms.verdict
    times = {"takenAt": work.session.now().isoformat(), "verifiedAt": verdict.at.isoformat() if verdict else None, "by": work.session.who}
    work.writer.document(TIMES, times)
    entries = work.draft.entries()
    envelope = Envelope(manifest_bytes(entries), ())
    signer = work.terms.signer
    envelope = Envelope(envelope.payload, (signer.sign(envelope.signed),)) if signer else envelope
    work.draft.publish(envelope_bytes(envelope))
    warnings = [*work.warnings, *(f"--leave-out {name}: it holds no secret, and is in the snapshot" for name in work.search.unused)]
    size = sum(one.size for one in entries)
    return Taken(len(entries), size, count, envelope.signatures, dict(work.search.left_out), tuple(warnings))
