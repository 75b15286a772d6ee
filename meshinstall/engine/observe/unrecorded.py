"""Finds a release of which helm has no record, by the labels of Istio's charts: a GitOps engine or kubectl applied its objects.

Requests: for such a release one list of each watched kind in its namespace; for that of the CRDs one list.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from meshinstall.engine.tasks import gather
from meshinstall.model.desired import Release
from meshinstall.model.facts import ObjectKey, key_of
from meshinstall.model.foreign_text import plain
from meshinstall.model.labels import CHART, INSTANCE
from meshinstall.model.paths import path_of
from meshinstall.model.release import Component, Manifest
from meshinstall.ports import Kube

_APPS, _CRD = "apps/v1", ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
_KINDS = ((_APPS, "Deployment"), (_APPS, "DaemonSet"), ("v1", "Service"))
# What helm's charts write as ``name-version``.
_CHART = re.compile(r"(?P<name>[a-z0-9-]{1,40}?)-(?P<version>\d[0-9A-Za-z._-]{0,60})")


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """The chart that the objects name, and what of it is watched."""

    chart: str
    version: str
    live: Mapping[ObjectKey, Manifest] = field(default_factory=dict)


async def find_unrecorded(kube: Kube, release: Release) -> Unrecorded | None:
    """What is there of a release without a record; None where nothing is. Raises ClusterError."""
    is_base = release.component is Component.BASE
    kinds = (_CRD,) if is_base else _KINDS

    async def listed(kind: tuple[str, str]) -> dict[ObjectKey, Manifest]:
        place = ObjectKey(*kind, "" if is_base else release.key.namespace, "")
        items = kube.list(path_of(place), labels=f"{INSTANCE}={release.key.name},{CHART}", metadata_only=is_base)
        return {place._replace(name=key_of(item).name): item async for item in items}

    lists = await gather(kinds, listed)
    found = {key: live for kind in kinds for key, live in lists[kind].items()}
    named = _chart(found.values())
    return Unrecorded(*named, {} if is_base else found) if named else None


def _chart(objects: Iterable[Manifest]) -> tuple[str, str] | None:
    """Name and version of the chart that the first of them names."""
    labels = (str((one["metadata"].get("labels") or {}).get(CHART, "")) for one in objects)
    matches = (_CHART.fullmatch(label) for label in labels)
    return next(((plain(found["name"]), plain(found["version"])) for found in matches if found), None)
