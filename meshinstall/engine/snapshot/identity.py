"""Reads who a mesh is: trust domain, mesh ID, network, and the roots that its workloads trust; of a Secret no key is looked at.

Requests: for each control plane up to three ConfigMaps; one ConfigMap with the roots; the two Secrets that may hold the CA.
"""

import json
from dataclasses import dataclass
from typing import Any

from meshinstall.engine.mesh.ca_objects import ca_of, roots_of
from meshinstall.engine.mesh.kube_objects import istiod, mesh_settings
from meshinstall.engine.objects.json_fields import at, text
from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError, ForbiddenError, SnapshotError
from meshinstall.model import json_text
from meshinstall.model.facts import Facts
from meshinstall.model.istio import CA_SECRETS, ROOT_CERTIFICATE
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.model.yaml_text import load
from meshinstall.ports import Certificates

_INJECTOR = "istio-sidecar-injector"


@dataclass(frozen=True, slots=True)
class Authority:
    """The Secret that istiod signs with, empty where there is none; ``unread`` says why that is not known.

    ``sealed`` is the whole Secret for whoever asked for it, None otherwise; it is never shown.
    """

    secret: str = ""
    fingerprints: tuple[str, ...] = ()
    unread: str = ""
    whole: Manifest | None = None


async def mesh_identity(session: Session, facts: Facts) -> dict[str, Any]:
    """Trust domain, mesh ID, network and cluster name, as the first control plane has them; raises ClusterError."""
    planes = [found for item in facts.control_planes if (found := istiod(item))]
    if not planes:
        return {"trustDomain": None, "trustDomainAliases": [], "rootNamespace": None, "meshID": None, "network": None, "clusterName": None}
    plane = min(planes, key=lambda one: one.place)
    space = plane.place.namespace
    own = await _config_map(session, space, plane.settings)
    shared = await _config_map(session, space, plane.shared) if plane.shared else None
    injector = await _config_map(session, space, f"{_INJECTOR}-{plane.revision}") or await _config_map(session, space, _INJECTOR)
    try:
        settings = mesh_settings(own or {}, shared)
        values = json_text.load(text(at(injector, "data", "values")) or "{}")
        proxy = at(load(text(at(own, "data", "mesh")) or "{}", aliases=False), "defaultConfig")
        return {
            "trustDomain": settings.trust_domain,
            "trustDomainAliases": list(settings.trust_domain_aliases),
            "rootNamespace": settings.root_namespace,
            "meshID": text(at(values, "global", "meshID")) or text(at(proxy, "meshId")) or None,
            "network": text(at(values, "global", "network")) or None,
            "clusterName": text(at(values, "global", "multiCluster", "clusterName")) or None,
        }
    except ValueError as error:
        raise ClusterError(f"the mesh configuration of Deployment {plane.place} could not be parsed: {error}") from error


async def _config_map(session: Session, namespace: str, name: str) -> Manifest | None:
    return await session.kube.get(object_path("v1", "configmaps", namespace, name))


async def root_fingerprints(session: Session, namespace: str) -> list[str]:
    """Those of the roots that istiod hands to workloads, sorted; raises ClusterError."""
    found = await _config_map(session, namespace, ROOT_CERTIFICATE)
    return fingerprints(roots_of(found), session.certificates) if found else []


def fingerprints(pem: bytes, certificates: Certificates) -> list[str]:
    """SHA-256 of each certificate in PEM, sorted; raises ClusterError for what is not PEM."""
    return sorted({one.fingerprint for one in certificates.read_roots(pem)}) if pem.strip() else []


async def find_authority(session: Session, namespace: str, *, whole: bool) -> Authority:
    """The CA of the mesh in ``namespace``; raises SnapshotError where the ``whole`` of it was asked for and cannot be had."""
    try:
        for name in CA_SECRETS:
            if secret := await session.kube.get(object_path("v1", "secrets", namespace, name)):
                return _authority(secret, f"{namespace}/{name}", session.certificates, whole=whole)
    except ForbiddenError as error:
        if whole:
            raise
        return Authority(unread=error.message)
    if whole:
        raise SnapshotError(
            f"--include-authority: neither Secret {' nor '.join(f'{namespace}/{name}' for name in CA_SECRETS)} is there",
            "somebody else signs for this mesh; take the snapshot without it",
        )
    return Authority()


def _authority(secret: Manifest, name: str, certificates: Certificates, *, whole: bool) -> Authority:
    try:
        found = fingerprints(ca_of(secret).chain, certificates)
    except ValueError as error:
        raise ClusterError(f"Secret {name} is not that of a CA: {error}") from error
    return Authority(name, tuple(found), whole=secret if whole else None)


def sealed_text(secret: Manifest) -> bytes:
    """A Secret as a restore applies it: name, type and data."""
    metadata = secret["metadata"]
    named = {"name": metadata["name"], "namespace": metadata["namespace"]}
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": named, "type": secret.get("type", "Opaque"), "data": secret.get("data") or {}}
    return json.dumps(made, sort_keys=True).encode()
