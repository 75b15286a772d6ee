"""Starts a pod that is nothing but a proxy, and waits until its Envoy has its configuration and its certificate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio

from meshinstall.engine.mesh.proxy_config import admin_port
from meshinstall.engine.mesh.reader import short
from meshinstall.engine.objects import readiness
from meshinstall.engine.probe import probe_objects
from meshinstall.engine.probe.admission import create_admitted
from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model import json_text
from meshinstall.model.istio import ENVOY_ADMIN_PORT, PROXY_CONTAINER
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

# Seconds between two looks, and after which a pod that cannot start is believed.
_LOOK = 0.2
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Starting:
    """A pod, the seconds that it has to be ready, and whether it has to have a client's listener then."""

    body: Manifest
    patience: float
    listens: bool


async def start_pod(session: Session, namespace: str, wanted: Starting, say: Callable[[str], None]) -> str:
    """Create a pod and wait until its Envoy has its configuration; returns its SPIFFE name. Raises ClusterError."""
    path, name = object_path("v1", "pods", namespace), str(wanted.body["metadata"]["name"])
    pod = await create_admitted(session.kube, path, wanted.body, say)
    if any(container.get("image") == "auto" for container in pod["spec"]["containers"]):
        raise ClusterError("the injection webhook did not inject a pod that asks for a sidecar")
    started = anyio.current_time()
    while True:
        pod = await session.kube.get(f"{path}/{name}") or {}
        waits = f"it is {(pod.get('status') or {}).get('phase', 'gone')}"
        if waits == "it is Running":
            identity, waits = await _identity(session, namespace, wanted, _admin_port(pod))
            if identity:
                return identity
        passed = anyio.current_time() - started
        for trouble in readiness.pod_troubles(pod) if pod else ():
            if trouble.hopeless and passed > min(trouble.grace, _PATIENCE):
                raise ClusterError(trouble.text, trouble.hint)
            waits = trouble.text
        if passed > wanted.patience:
            raise ClusterError(f"pod {name} was not ready within {wanted.patience:.0f} s: {waits}")
        await anyio.sleep(_LOOK)


def _admin_port(pod: Manifest) -> int:
    """Where its Envoy answers, as the injector wrote it down."""
    containers = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    proxy = next((container for container in containers if container.get("name") == PROXY_CONTAINER), None)
    try:
        return admin_port(proxy) or ENVOY_ADMIN_PORT
    except ValueError:
        return ENVOY_ADMIN_PORT


async def _identity(session: Session, namespace: str, wanted: Starting, admin: int) -> tuple[str, str]:
    """The SPIFFE name that a pod's Envoy has a certificate for, or why there is none yet; raises ForbiddenError."""
    name = str(wanted.body["metadata"]["name"])
    try:
        await session.pods.get(namespace, name, admin, "/ready")
        if wanted.listens:
            await session.pods.get(namespace, name, probe_objects.LISTENER, probe_objects.READY)
        found: Any = json_text.load(await session.pods.get(namespace, name, admin, "/certs"))
        chains = [certificate["cert_chain"] for certificate in found["certificates"]]
        names = [entry["uri"] for chain in chains for one in chain for entry in one["subject_alt_names"] if "uri" in entry]
    except ForbiddenError:
        raise
    except ClusterError as error:
        return "", short(error)
    except (ValueError, LookupError, TypeError):
        return "", "its Envoy does not report its certificates"
    return next((uri for uri in names if isinstance(uri, str) and uri.startswith("spiffe://")), ""), "its Envoy has no certificate yet"
