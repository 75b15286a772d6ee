"""Reads the objects that make a mesh what it is, and writes what was wanted of them, one after the other.

Requests: one for each version of Istio's groups and of the Gateway API, and one list for each kind that is served. Of a list there is
one page in memory, of what was written only where it is.
"""

from collections.abc import Iterable
from typing import Any

from meshinstall.engine.observe.policies import find_served
from meshinstall.engine.snapshot.search import Search, Writer
from meshinstall.model.ownership import HOLDER
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.model.snapshot_objects import SNAPSHOT_KINDS, SecretUse, keeper, mesh_labels, secret_uses, wanted_state
from meshinstall.ports import Kube

# The Service of a gateway that istiod or another controller made for a Gateway of the Gateway API.
OF_GATEWAY = "gateway.networking.k8s.io/gateway-name"
_SERVICE_FIELDS = ("type", "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges", "externalTrafficPolicy", "externalIPs")


async def namespaces(kube: Kube) -> list[Manifest]:
    """The metadata of every namespace; raises ClusterError."""
    return [item["metadata"] async for item in kube.list(object_path("v1", "namespaces"), metadata_only=True)]


def passing_namespaces(spaces: Iterable[Manifest]) -> frozenset[str]:
    """Namespaces that are being deleted, or that a run made for a moment, as ``verify`` does: nothing in them is wanted."""
    return frozenset(one["name"] for one in spaces if "deletionTimestamp" in one or HOLDER in (one.get("annotations") or {}))


async def write_objects(kube: Kube, search: Search, writer: Writer, passing: frozenset[str]) -> tuple[int, set[SecretUse]]:
    """Write objects/PLURAL.GROUP.jsonl of each kind; how many there are, and the Secrets that they name. Raises ClusterError."""
    count, uses = 0, set[SecretUse]()
    served = await find_served(kube, SNAPSHOT_KINDS)
    for group, kind in sorted(served):
        version, plural = served[group, kind], SNAPSHOT_KINDS[group, kind].plural
        with writer.lines(f"objects/{plural}.{group}.jsonl") as lines:
            async for live in kube.list(object_path(version, plural)):
                # What is being deleted is not wanted any more.
                if "deletionTimestamp" in live["metadata"] or live["metadata"].get("namespace") in passing:
                    continue
                found = wanted_state(live, version, kind)
                uses.update(secret_uses(found))
                key = f"{found['metadata'].get('namespace', '')}/{found['metadata']['name']}"
                if search.is_clean(f"{kind}/{key}", found):
                    lines.add(key, {"keeper": keeper(live) or None, "object": found})
                    count += 1
    return count, uses


async def namespace_rows(kube: Kube, search: Search, passing: frozenset[str]) -> list[dict[str, Any]]:
    """The namespaces that have labels of Istio, with those alone; raises ClusterError."""
    rows = []
    async for item in kube.list(object_path("v1", "namespaces"), metadata_only=True):
        name, labels = item["metadata"]["name"], mesh_labels(item["metadata"].get("labels") or {})
        if labels and name not in passing and search.is_clean(f"Namespace/{name}", labels):
            rows.append({"name": name, "labels": labels})
    return sorted(rows, key=lambda row: str(row["name"]))


async def gateway_rows(kube: Kube, charted: Iterable[tuple[Any, str]], search: Search) -> list[dict[str, Any]]:
    """The Services of gateways: ``charted`` ones, each with its release, and those of the Gateway API. Raises ClusterError."""
    own = [item async for item in kube.list(object_path("v1", "services"), labels=OF_GATEWAY)]
    rows = [*(_gateway(item, "") for item in own), *(_gateway(item, release) for item, release in charted)]
    clean = [row for row in rows if search.is_clean(f"Service/{row['namespace']}/{row['name']}", row["annotations"])]
    return sorted({(row["namespace"], row["name"]): row for row in clean}.values(), key=lambda row: (row["namespace"], row["name"]))


def _gateway(service: Any, release: str) -> dict[str, Any]:
    metadata, spec = wanted_state(service, "v1", "Service")["metadata"], service.get("spec") or {}
    status = (service.get("status") or {}).get("loadBalancer") or {}
    addresses = [one.get("hostname") or one.get("ip") for one in status.get("ingress") or ()]
    ports = [{key: one.get(key) for key in ("name", "port", "protocol", "nodePort")} for one in spec.get("ports") or ()]
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "release": release or None,
        "gateway": (metadata.get("labels") or {}).get(OF_GATEWAY),
        "addresses": sorted(one for one in addresses if one),
        "annotations": metadata.get("annotations") or {},
        "ports": ports,
        **{key: spec.get(key) for key in _SERVICE_FIELDS},
    }
