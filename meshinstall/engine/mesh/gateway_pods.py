"""Reads a pod of a gateway as far as its Envoy is asked and its scout is made like it; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshinstall.engine.mesh.injection import injected_by
from meshinstall.engine.mesh.kube_objects import labels, place
from meshinstall.engine.mesh.pod_status import is_ready
from meshinstall.engine.mesh.proxy_config import admin_port
from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.model.istio import ENVOY_ADMIN_PORT, PROXY_CONTAINER, image_tag
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest


@dataclass(frozen=True, slots=True)
class GatewayPod:
    """A pod that is Ready: ``admin_port`` is where its Envoy answers on its loopback, ``revision`` is what injected it."""

    place: Place
    ip: str = ""
    admin_port: int = ENVOY_ADMIN_PORT
    account: str = "default"
    revision: str = ""
    version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def read_ready_pod(item: Manifest) -> GatewayPod | None:
    """A pod with a proxy that is Ready and not being deleted; None for any other. Raises ValueError for what is not a pod."""
    containers = (*rows(at(item, "spec", "initContainers")), *rows(at(item, "spec", "containers")))
    proxy = next((one for one in containers if at(one, "name") == PROXY_CONTAINER), None)
    if proxy is None or not is_ready(item):
        return None
    return GatewayPod(
        place(item),
        text(at(item, "status", "podIP")),
        admin_port(proxy) or ENVOY_ADMIN_PORT,
        text(at(item, "spec", "serviceAccountName")) or "default",
        injected_by(item),
        image_tag(text(at(proxy, "image"))),
        labels(item),
    )
