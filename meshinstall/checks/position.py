"""Tells where a mesh stands between revisions, from one observation; pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, ObjectKey
from meshinstall.model.foreign_text import plain
from meshinstall.model.istio import ISTIOD_CONTAINER, image_tag
from meshinstall.model.labels import REVISION
from meshinstall.model.ownership import kept_by, made_by_us, owner_of
from meshinstall.model.position import ControlPlane, Position
from meshinstall.model.release import Component, Manifest, ReleaseKey, ReleaseRecord, ReleaseStatus, without_digest
from meshinstall.model.revision import DEFAULT_REVISION
from meshinstall.model.version import is_full, order

_VERSION = "app.kubernetes.io/version"
_WORKLOADS = ("Deployment", "DaemonSet")


def where(desired: Desired, facts: Facts) -> Position:
    """The istiods in the namespace of the mesh, whoever made them, and what uses which; not those that a GitOps engine keeps."""
    planes = sorted(find_planes(desired.mesh_namespace, facts), key=lambda plane: (order(plane.runs or plane.version), plane.name))
    gateways: dict[str, list[str]] = {}
    for release in desired.releases:
        if release.component is Component.GATEWAY and (revision := _gateway(release.key, facts)):
            gateways.setdefault(revision, []).append(str(release.key))
    named = {revision: tuple(names) for revision, names in gateways.items()}
    return Position(tuple(planes), wanted_revision(desired), facts.revision_users, named)


def wanted_revision(desired: Desired) -> str:
    """The revision of the istiod that the configuration wants; empty where it wants none."""
    istiod = desired.istiod
    return str(istiod.values.merged().get("revision") or DEFAULT_REVISION) if istiod else ""


def find_planes(namespace: str, facts: Facts) -> Iterator[ControlPlane]:
    """Deployments of istiod that webhooks lead to, and releases of the chart that have none."""
    records = {record.key: record for record in facts.istiods}
    seen = set()
    for item in facts.control_planes:
        if item["metadata"]["namespace"] != namespace or kept_by(item):
            continue
        key = owner_of(item["metadata"])
        record = records.get(key) if key else None
        seen.add(key)
        name = f"{namespace}/{plain(item['metadata']['name'])}"
        yield ControlPlane(name, revision_label(item), _version(record), _runs(item), key, _is_ours(record))
    for key, record in records.items():
        if key not in seen:
            revision = str(record.values.get("revision") or DEFAULT_REVISION)
            yield ControlPlane(str(key), plain(revision), _version(record), "", key, _is_ours(record))


def _is_ours(record: ReleaseRecord | None) -> bool:
    # When it fails, helm writes its own words over ours.
    return record is not None and (made_by_us(record) or record.status is not ReleaseStatus.DEPLOYED)


def revision_label(item: Manifest) -> str:
    """The revision that an object of Istio's charts says it is of."""
    return plain((item["metadata"].get("labels") or {}).get(REVISION) or DEFAULT_REVISION)


def _version(record: ReleaseRecord | None) -> str:
    version = without_digest(record.version) if record else ""
    return version if is_full(version) else ""


def _runs(item: Manifest) -> str:
    """The version that the chart wrote on it, else that in the tag of its image, which may be of anybody's own numbering."""
    label = without_digest(str((item["metadata"].get("labels") or {}).get(_VERSION, "")))
    if is_full(label):
        return label
    template: Mapping[str, Any] = ((item.get("spec") or {}).get("template") or {}).get("spec") or {}
    images = [one.get("image", "") for one in template.get("containers") or () if one.get("name") == ISTIOD_CONTAINER]
    tag = image_tag(str(images[0])).removesuffix("-distroless").removesuffix("-debug") if images else ""
    return tag if is_full(tag) else ""


def _gateway(release: ReleaseKey, facts: Facts) -> str:
    """The revision of a gateway's pods: what its template says, else what serves namespaces that name none; empty without a gateway."""
    for key, live in facts.live.items():
        if _is_of(key, live, release):
            labels = (((live.get("spec") or {}).get("template") or {}).get("metadata") or {}).get("labels") or {}
            return plain(labels.get(REVISION) or facts.revision_users.default or DEFAULT_REVISION)
    return ""


def _is_of(key: ObjectKey, live: Manifest, release: ReleaseKey) -> bool:
    return key.kind in _WORKLOADS and key.namespace == release.namespace and owner_of(live["metadata"]) == release
