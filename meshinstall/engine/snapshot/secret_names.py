"""Finds the Secrets that a mesh needs, by name: of their content a snapshot has the fingerprints of certificates, and nothing else.

Requests: one for each Secret that an object names, in each namespace where it may be, and one list of metadata.
"""

import base64
import re
from collections import defaultdict
from collections.abc import Collection
from typing import Any

from meshinstall.engine.objects.json_fields import at, text
from meshinstall.engine.session import Session
from meshinstall.engine.snapshot.identity import fingerprints
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.model.snapshot_objects import SecretUse

# Where certificates are in a Secret of a gateway (istio: pilot/pkg/credentials/kube/secrets.go).
_CERTIFICATES = ("tls.crt", "cert", "ca.crt", "cacert")
# Of another form no Secret is; ".." would lead a request to something else (RFC 1123, as the API server takes names).
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_REMOTE = "istio/multiCluster=true"
_REMOTE_CLUSTER = "networking.istio.io/cluster"


async def secret_rows(session: Session, uses: Collection[SecretUse], gateways: Collection[str], mesh: str) -> list[dict[str, Any]]:
    """A row for each Secret that objects name, and for those of other clusters; ``gateways`` are the namespaces of gateways' pods."""
    known = {(use.namespace, use.name) for use in uses}
    named = defaultdict[tuple[str, str], set[str]](set)
    for use in uses:
        for namespace in [use.namespace] if use.namespace else {*gateways, use.by.partition(" ")[2].partition("/")[0]}:
            named[namespace, use.name].add(use.by)
    found = await gather(sorted(named), lambda key: _look(session, *key))
    there = {name for (_, name), row in found.items() if row["found"]}
    # Of several namespaces where it may be, one is enough.
    kept = {key: row for key, row in sorted(found.items()) if row["found"] is not False or key in known or key[1] not in there}
    rows = [{"purpose": "named by objects", "namedBy": sorted(named[key]), **row} for key, row in kept.items()]
    return [*rows, *await _remotes(session, mesh)]


async def _look(session: Session, namespace: str, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"namespace": namespace, "name": name, "found": None, "fingerprints": [], "unread": None}
    if not _NAME.fullmatch(name):
        return {**row, "found": False}
    try:
        secret = await session.kube.get(object_path("v1", "secrets", namespace, name))
    except ForbiddenError as error:
        return {**row, "unread": error.message}
    if secret is None:
        return {**row, "found": False}
    try:
        return {**row, "found": True, "fingerprints": fingerprints(_certificates(secret), session.certificates)}
    except (ClusterError, ValueError):
        # Somebody's gateway may well be broken; that is no matter of a snapshot.
        return {**row, "found": True, "unread": "it holds no certificate that can be read"}


def _certificates(secret: Manifest) -> bytes:
    texts = [text(at(secret, "data", key)) for key in _CERTIFICATES]
    return b"\n".join(base64.b64decode(one, validate=True) for one in texts if one)


async def _remotes(session: Session, mesh: str) -> list[dict[str, Any]]:
    """The kubeconfigs of other clusters of the mesh, by their metadata: what is in them is a credential."""
    rows = []
    try:
        async for item in session.kube.list(object_path("v1", "secrets", mesh), labels=_REMOTE, metadata_only=True):
            metadata = item["metadata"]
            cluster = (metadata.get("annotations") or {}).get(_REMOTE_CLUSTER, "")
            rows.append(_remote(mesh, metadata["name"], f"cluster {cluster}" if cluster else ""))
    except ForbiddenError as error:
        return [{**_remote(mesh, "", ""), "found": None, "unread": error.message}]
    return sorted(rows, key=lambda row: str(row["name"]))


def _remote(namespace: str, name: str, by: str) -> dict[str, Any]:
    named = {"purpose": "another cluster", "namedBy": [by] if by else [], "namespace": namespace, "name": name}
    return {**named, "found": True, "fingerprints": [], "unread": None}
