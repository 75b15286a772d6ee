"""The clusters that a cloud shows, as people and programs read them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshinstall.cli.output.tables import columns
from meshinstall.model.cluster import Listing, MeshFound
from meshinstall.model.foreign_text import for_log

SCHEMA = "meshinstall.dev/clusters/v1"
# Places of one reason that are named.
_NAMED = 3


def listing_text(found: Listing, meshes: Sequence[MeshFound]) -> str:
    """One line a cluster, then each place that could not be asked."""
    lines = columns(_rows(found, meshes)) if found.clusters else ["No cluster is visible to you."]
    lines += _failures(found.failures)
    return for_log("\n".join(lines))


def _failures(failures: Mapping[str, str]) -> Iterator[str]:
    """A line for each reason: one policy or quota refuses hundreds of places with the same words, but for the place's own name."""
    kinds: dict[str, list[str]] = {}
    for place, why in sorted(failures.items()):
        kinds.setdefault(why.replace(place, "\0"), []).append(place)
    for places in kinds.values():
        more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
        of = f"{len(places)} places ({', '.join(places[:_NAMED])}{more}), the first" if len(places) > 1 else places[0]
        yield f"✗ {of}: {failures[places[0]]}"


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
