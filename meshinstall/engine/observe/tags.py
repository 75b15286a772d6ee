"""Reads the tags of a mesh, and renders those that it should have with the chart of its istiod.

Requests: two lists, of webhook configurations and of Services with the label of tags; where the mesh has revisions, helm renders once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from meshinstall.engine.objects.release_manifest import read_objects
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ChartError, HelmError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.labels import TAG
from meshinstall.model.ownership import audit_labels
from meshinstall.model.paths import KINDS, object_path, path_of
from meshinstall.model.release import ChartRef, Manifest
from meshinstall.model.trial import Ground
from meshinstall.ports import Charts, Helm, Kube

WEBHOOKS = "MutatingWebhookConfiguration"
_KINDS: Mapping[str, str] = {WEBHOOKS: "admissionregistration.k8s.io/v1", "Service": "v1"}


async def with_tags(desired: Desired, facts: Facts, session: Session) -> Facts:
    """The facts with the tags that are there and those that should be; raises ClusterError, HelmError and ChartError."""
    there = await find_tags(session.kube, desired.mesh_namespace)
    istiod = desired.istiod
    chart = facts.charts.get(istiod.chart.name, istiod.chart) if istiod else None
    wanted = await render_tags(desired, chart, Ground(facts.kubernetes), session.charts, session.helm) if chart else ()
    keys = [key_of(manifest) for manifest in wanted]
    # What has the name of a tag of ours and not its label is found too; tags of other meshes are not this one's objects.
    others = await gather([key for key in keys if key not in there], lambda key: session.kube.get(path_of(key)))
    live = {key: found for key in keys if (found := there.get(key) or others.get(key))}
    return replace(facts, tags=there, wanted_tags=wanted, live={**facts.live, **live})


async def find_tags(kube: Kube, namespace: str) -> dict[ObjectKey, Manifest]:
    """Every object of a tag, whoever made it: webhook configurations of the cluster, and Services of the mesh's namespace."""

    async def listed(kind: str) -> list[tuple[ObjectKey, Manifest]]:
        plural, namespaced = KINDS[kind]
        path = object_path(_KINDS[kind], plural, namespace if namespaced else "")
        items = [item async for item in kube.list(path, labels=TAG)]
        return [(ObjectKey(_KINDS[kind], kind, namespace if namespaced else "", item["metadata"]["name"]), item) for item in items]

    found = await gather(_KINDS, listed)
    return {key: item for kind in _KINDS for key, item in found[kind]}


async def render_tags(desired: Desired, chart: ChartRef, ground: Ground, charts: Charts, helm: Helm) -> tuple[Manifest, ...]:
    """The objects of every tag that the mesh should have, by the chart of its istiod; raises HelmError and ChartError."""
    istiod = desired.istiod
    if not desired.tags or istiod is None:
        return ()
    archive = await charts.fetch(chart)
    values = {**istiod.values.merged(), "revisionTags": list(desired.tags)}
    text = await helm.template(istiod.key, archive, values, ground)
    try:
        made = tuple(_ours(one, desired) for one in read_objects(text) if TAG in (one["metadata"].get("labels") or {}))
    except ValueError as error:
        raise HelmError(f"helm template of {istiod.key} made what is not YAML: {error}") from error
    _insist(desired.tags, made, f"chart {chart.name} {chart.version}")
    return made


def _insist(tags: Iterable[str], made: Iterable[Manifest], chart: str) -> None:
    """A tag without a webhook would be one in name only."""
    there = {manifest["metadata"]["labels"][TAG] for manifest in made if manifest["kind"] == WEBHOOKS}
    if missing := [tag for tag in tags if tag not in there]:
        hint = "see the values istiod.global.operatorManageWebhooks and istiod.global.resourceScope, or set istio.revisions: false"
        raise ChartError(f"{chart} makes no webhook for the tags {', '.join(missing)} with the values of this mesh", hint)


def _ours(manifest: Manifest, desired: Desired) -> Manifest:
    """The object as meshinstall keeps it: helm knows no release of it."""
    metadata: dict[str, Any] = dict(manifest["metadata"])
    metadata["labels"] = {**metadata["labels"], **audit_labels(desired)}
    return {**manifest, "metadata": metadata}
