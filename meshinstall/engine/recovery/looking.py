"""Looks at a mesh that was made of a snapshot, as far as it is compared with it.

Requests: those of a plan's look, one list for each kind, one of namespaces and one of pods' metadata, one for the roots and some for
the mesh configuration; for each gateway its pods and some port-forwards; one for each Secret of the snapshot.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.engine.mesh.gateways_serving import ask_gateways
from meshinstall.engine.mesh.pods import workload
from meshinstall.engine.observe.cluster import observe
from meshinstall.engine.observe.policies import find_served
from meshinstall.engine.session import Session
from meshinstall.engine.snapshot.cluster_objects import OF_GATEWAY, namespaces, passing_namespaces
from meshinstall.engine.snapshot.documents import gateway_keys
from meshinstall.engine.snapshot.identity import mesh_identity, root_fingerprints
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.labels import INJECT, INJECTION, REVISION, STATUS
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.model.policy_kinds import PolicyKey
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import KeptSecret, Rebuilt, SnapshotContent
from meshinstall.model.snapshot_objects import SNAPSHOT_KINDS, mesh_labels, wanted_state


async def look(desired: Desired, session: Session, content: SnapshotContent) -> Rebuilt:
    """What is there now; raises ClusterError where the mesh itself cannot be read."""
    spaces = await namespaces(session.kube)
    passing = passing_namespaces(spaces)
    lasting = {one["name"]: one.get("labels") or {} for one in spaces if one["name"] not in passing}
    facts = await observe(desired, session.kube, session.releases, session.charts, session.chart_pins)
    workloads = {key: facts.live[key] for key in gateway_keys(desired, facts, {"Deployment", "DaemonSet"})}
    gaps: dict[str, str] = {}
    identity = await mesh_identity(session, facts)
    return Rebuilt(
        objects=await _objects(session, passing),
        labels={name: mesh_labels(labels) for name, labels in lasting.items()},
        serving=await ask_gateways(session, workloads),
        roots=tuple(await root_fingerprints(session, desired.mesh_namespace)),
        trust_domain=str(identity["trustDomain"] or ""),
        bare=await _bare(session, lasting, gaps),
        addresses=await _addresses(session, desired, facts),
        lacking=await _lacking(session, content, gaps),
        gaps=gaps,
    )


async def _objects(session: Session, passing: frozenset[str]) -> dict[PolicyKey, Manifest]:
    served = await find_served(session.kube, SNAPSHOT_KINDS)

    async def listed(kind: tuple[str, str]) -> list[Manifest]:
        path = object_path(served[kind], SNAPSHOT_KINDS[kind].plural)
        return [wanted_state(item, served[kind], kind[1]) async for item in session.kube.list(path)]

    found = await gather(served, listed)
    return {
        PolicyKey(*kind, one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for kind, items in found.items()
        for one in items
        if one["metadata"].get("namespace") not in passing
    }


async def _bare(session: Session, labels: Mapping[str, Mapping[str, str]], gaps: dict[str, str]) -> tuple[Place, ...]:
    """Workloads without a proxy whose pods should have one: they came before istiod did."""
    try:
        pods = await _pods(session)
        bare = [one for one in pods if one["namespace"] in labels and _is_bare(one, labels[one["namespace"]])]
        # In the network of its node no pod gets a proxy.
        hosts = {(one["namespace"], one["name"]) for one in (await _pods(session, "spec.hostNetwork=true") if bare else ())}
    except ClusterError as error:
        gaps["workloads without a proxy"] = error.message
        return ()
    found = {Place(one["namespace"], workload({"metadata": one})) for one in bare if (one["namespace"], one["name"]) not in hosts}
    return tuple(sorted(found))


async def _pods(session: Session, *more: str) -> list[Manifest]:
    fields = ",".join(("status.phase!=Succeeded", "status.phase!=Failed", *more))
    return [item["metadata"] async for item in session.kube.list(object_path("v1", "pods"), fields=fields, metadata_only=True)]


def _is_bare(pod: Manifest, namespace: Mapping[str, str]) -> bool:
    notes, labels = pod.get("annotations") or {}, pod.get("labels") or {}
    return STATUS not in notes and "deletionTimestamp" not in pod and _is_injected(labels, notes, namespace)


def _is_injected(labels: Mapping[str, str], notes: Mapping[str, str], namespace: Mapping[str, str]) -> bool:
    """As istiod's webhooks select pods (istio: manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml)."""
    if "false" in {labels.get(INJECT), notes.get(INJECT)} or namespace.get(INJECTION, "enabled") != "enabled":
        return False
    return INJECTION in namespace or bool(namespace.get(REVISION)) or labels.get(INJECT) == "true" or bool(labels.get(REVISION))


async def _addresses(session: Session, desired: Desired, facts: Facts) -> dict[str, tuple[str, ...]]:
    """Those of the gateways that charts brought, and of those that controllers made for a Gateway."""
    services = [facts.live[key] for key in gateway_keys(desired, facts, {"Service"})]
    services += [item async for item in session.kube.list(object_path("v1", "services"), labels=OF_GATEWAY)]
    return {f"{one['metadata']['namespace']}/{one['metadata']['name']}": tuple(_of_service(one)) for one in services if one}


def _of_service(live: Any) -> Iterator[str]:
    status = (live.get("status") or {}).get("loadBalancer") or {}
    yield from sorted(str(found) for one in status.get("ingress") or () if (found := one.get("hostname") or one.get("ip")))


async def _lacking(session: Session, content: SnapshotContent, gaps: dict[str, str]) -> tuple[KeptSecret, ...]:
    async def is_there(secret: KeptSecret) -> bool:
        try:
            return await session.kube.get(object_path("v1", "secrets", secret.namespace, secret.name)) is not None
        except ClusterError as error:
            gaps["Secrets"] = error.message
            return True

    found = await gather((one for one in content.secrets if one.namespace), is_there)
    return tuple(secret for secret in content.secrets if not found.get(secret, True))
