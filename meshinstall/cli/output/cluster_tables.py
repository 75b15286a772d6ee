"""The clusters that a cloud shows, as people and programs read them."""

from collections.abc import Iterator, Sequence
from typing import Any

from meshinstall.cli.output.tables import columns
from meshinstall.model.cluster import Listing, MeshFound
from meshinstall.model.foreign_text import for_log

SCHEMA = "meshinstall.dev/clusters/v1"


def listing_text(found: Listing, meshes: Sequence[MeshFound]) -> str:
    """One line a cluster, then each place that could not be asked."""
    lines = columns(_rows(found, meshes)) if found.clusters else ["No cluster is visible to you."]
    lines += [f"✗ {place}: {why}" for place, why in sorted(found.failures.items())]
    return for_log("\n".join(lines))


def _rows(found: Listing, meshes: Sequence[MeshFound]) -> Iterator[tuple[str, ...]]:
    yield "CLUSTER", "LOCATION", "KUBERNETES", "STATUS", "ENDPOINT", "MESH"
    for cluster, mesh in zip(found.clusters, meshes, strict=True):
        kind = cluster.endpoint.kind if cluster.endpoint else "none"
        yield cluster.name, cluster.location, cluster.version, cluster.status, kind, _mesh(mesh)


def _mesh(mesh: MeshFound) -> str:
    if mesh.unknown:
        return f"unknown: {mesh.unknown}"
    return f"istiod {', '.join(mesh.versions)}" if mesh.versions else "none"


def listing_json(found: Listing, meshes: Sequence[MeshFound]) -> dict[str, Any]:
    """The document that docs/schemas/clusters.json describes."""
    return {
        "schema": SCHEMA,
        "caller": {"name": found.caller.name, "chosenBy": found.caller.chosen_by} if found.caller else None,
        "clusters": [
            {
                "cloud": cluster.cloud,
                "name": cluster.name,
                "location": cluster.location,
                "kubernetesVersion": cluster.version,
                "status": cluster.status,
                "ready": cluster.ready,
                "endpoint": {"server": cluster.endpoint.server, "kind": cluster.endpoint.kind} if cluster.endpoint else None,
                "mesh": {"istiodVersions": list(mesh.versions), "unknown": mesh.unknown},
            }
            for cluster, mesh in zip(found.clusters, meshes, strict=True)
        ],
        "failures": [{"place": place, "reason": why} for place, why in sorted(found.failures.items())],
    }
