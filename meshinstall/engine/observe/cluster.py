"""Reads a cluster once before planning, everything at the same time.

Requests: one for the version, those for control planes (engine/mesh/control_planes.py), one each for CRDs and the
namespaces that we made, one for each desired namespace and policy, one for Helm's records in each namespace and one
for each release there, one for each kind of object in each namespace that the releases own, and one for all
PeerAuthentications. None of them depends on how many pods or namespaces the cluster has.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from meshinstall.config import lockfile
from meshinstall.config.lockfile import Lock
from meshinstall.engine.mesh.control_planes import control_planes, of_kube
from meshinstall.engine.mesh.istio_kinds import PEER_AUTHENTICATIONS
from meshinstall.engine.mesh.kube_objects import peer_policy
from meshinstall.engine.objects.release_manifest import crd_names, objects
from meshinstall.engine.tasks import gather, soon, task_group
from meshinstall.errors import ForbiddenError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.mesh import PeerPolicy
from meshinstall.model.ownership import ENVIRONMENT, HELM_MANAGER, MANAGED_BY, MANAGER, made_by_us
from meshinstall.model.paths import KINDS, object_path, path_of
from meshinstall.model.release import ChartRef, Manifest, ReleaseKey, ReleaseRecord, ReleaseStatus, readable
from meshinstall.ports import Charts, Kube, Releases

# What Helm writes on everything it makes.
_HELM_OWNED = f"{MANAGED_BY}={HELM_MANAGER}"
_PEERS_CRD = f"{PEER_AUTHENTICATIONS.plural}.{PEER_AUTHENTICATIONS.group}"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def observe(desired: Desired, kube: Kube, records: Releases, charts: Charts, lock: Lock) -> Facts:
    """Answer everything that planning asks; raises ClusterError or ChartError."""
    spaces = [namespace.name for namespace in desired.namespaces]
    policies = [key_of(policy.manifest) for policy in desired.policies]
    wanted_charts = {release.chart.name: release.chart for release in desired.releases}
    async with task_group() as group:
        version = soon(group, kube.get, "/version")
        found = soon(group, records.newest, spaces)
        spaces_seen = soon(group, lambda names: gather(names, lambda name: kube.get(object_path("v1", "namespaces", name=name))), spaces)
        policies_seen = soon(group, lambda keys: gather(keys, lambda key: kube.get(path_of(key))), policies)
        charts_seen = soon(
            group, lambda names: gather(names, lambda name: with_digest(charts, lock, wanted_charts[name])), list(wanted_charts)
        )
        planes = soon(group, control_planes, of_kube(kube))
        crds = soon(group, lambda path: _all(kube, path, "", metadata_only=True), _CRDS)
        made = soon(group, lambda asked: made_for(kube, asked), desired)
    left = {name: live for name, live in made.value.items() if name not in spaces}
    wanted = {release.key for release in desired.releases}
    releases = readable(found.value, sorted(wanted, key=str))
    # A gateway that was taken out of the configuration has, by default, a namespace of its own.
    seen = {**found.value, **(await records.newest(left) if left else {})}
    owned = {key: objects(record) for key, record in releases.items()}
    has_peers = any(crd["metadata"]["name"] == _PEERS_CRD for crd in crds.value)
    async with task_group() as group:
        live = soon(group, _live, kube, owned)
        peers = soon(group, list_peers, kube) if has_peers else None
    found_peers, unseen, is_denied = peers.value if peers else ((), "", False)
    return Facts(
        kubernetes=str((version.value or {}).get("gitVersion", "")).removeprefix("v"),
        namespaces=spaces_seen.value,
        releases=releases,
        charts=charts_seen.value,
        owned=owned,
        live=live.value,
        policies=policies_seen.value,
        control_planes=tuple(plane.item for plane in planes.value.found),
        # Labels of Istio's CRDs changed over the versions; their groups did not.
        crds={crd["metadata"]["name"]: crd for crd in crds.value if crd["metadata"]["name"].endswith(".istio.io")},
        orphans=tuple(record for key, record in seen.items() if key not in wanted and made_by_us(record)),
        istiods=tuple(_istiods(found.value.values(), desired.mesh_namespace)),
        left=left,
        missing_crds=tuple(_missing(releases.values(), crds.value)),
        peers=found_peers,
        peers_unseen=unseen,
        peers_denied=is_denied,
    )


async def made_for(kube: Kube, desired: Desired) -> dict[str, Manifest]:
    """The namespaces that runs for this environment made, desired or not."""
    labels = f"{MANAGED_BY}={MANAGER},{ENVIRONMENT}={desired.environment}"
    return {item["metadata"]["name"]: item for item in await _all(kube, object_path("v1", "namespaces"), labels, metadata_only=True)}


async def with_digest(charts: Charts, lock: Lock, chart: ChartRef) -> ChartRef:
    """The chart with its digest: of the lock file when there is one, else what the source has now."""
    if pinned := lock.pinned(chart.name, chart.version):
        return replace(chart, digest=pinned.digest)
    found = chart if chart.digest else await charts.resolve(chart)
    if lock.charts:
        lockfile.check(lock, [found])
    return found


async def _all(kube: Kube, path: str, labels: str, *, metadata_only: bool = False) -> list[Manifest]:
    return [item async for item in kube.list(path, labels=labels, metadata_only=metadata_only)]


async def _live(kube: Kube, owned: Mapping[ReleaseKey, tuple[Manifest, ...]]) -> dict[ObjectKey, Manifest]:
    """What of the owned objects is there, by one list for each kind and namespace."""
    keys = {key_of(manifest, release.namespace) for release, manifests in owned.items() for manifest in manifests}
    collections = {key._replace(name="", namespace=key.namespace if KINDS[key.kind][1] else "") for key in keys if key.kind in KINDS}
    lists = await gather(collections, lambda one: _all(kube, path_of(one), _HELM_OWNED))
    # Items of a list carry no apiVersion and kind.
    return {
        one._replace(name=item["metadata"]["name"], namespace=item["metadata"].get("namespace", "")): item
        for one, items in lists.items()
        for item in items
    }


async def list_peers(kube: Kube) -> tuple[tuple[PeerPolicy, ...], str, bool]:
    """All PeerAuthentications, or why they are not known, and whether a right is missing; an older Istio serves an older version alone."""
    try:
        for version in PEER_AUTHENTICATIONS.versions:
            path = object_path(f"{PEER_AUTHENTICATIONS.group}/{version}", PEER_AUTHENTICATIONS.plural)
            if found := await _all(kube, path, ""):
                return tuple(map(peer_policy, found)), "", False
    except ForbiddenError as error:
        return (), error.message, True
    except ValueError as error:
        return (), f"one of them could not be parsed: {error}", False
    return (), "", False


def _istiods(records: Iterable[ReleaseRecord], namespace: str) -> Iterator[ReleaseRecord]:
    for record in records:
        is_there = record.status is not ReleaseStatus.UNINSTALLED and not record.problem
        if record.key.namespace == namespace and record.chart == "istiod" and is_there:
            yield record


def _missing(records: Iterable[ReleaseRecord], crds: Iterable[Manifest]) -> list[str]:
    there = {crd["metadata"]["name"] for crd in crds}
    return [name for record in records for name in crd_names(record.manifest) if name not in there]
