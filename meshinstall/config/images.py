"""One setting of hub, tag, variant and pull for all components, written where each chart reads it."""

from collections.abc import Mapping
from typing import Any

from meshinstall.config.source import Document
from meshinstall.model.release import Component
from meshinstall.model.values import KeyPath, Layer, LayerKind

_GLOBAL: Mapping[str, KeyPath] = {
    "hub": ("global", "hub"),
    "tag": ("global", "tag"),
    "variant": ("global", "variant"),
    "pullPolicy": ("global", "imagePullPolicy"),
    "pullSecrets": ("global", "imagePullSecrets"),
}
# Read from the templates of each chart. A gateway's own image is the injector's ("auto"), decided by istiod's values.
_READ: Mapping[Component, Mapping[str, KeyPath]] = {
    Component.BASE: {"pullSecrets": ("global", "imagePullSecrets")},
    Component.ISTIOD: _GLOBAL,
    Component.CNI: _GLOBAL,
    Component.ZTUNNEL: {key: path[1:] for key, path in _GLOBAL.items()},
    Component.GATEWAY: {"pullPolicy": ("imagePullPolicy",), "pullSecrets": ("imagePullSecrets",)},
}


def image_layer(document: Document, component: Component) -> Layer | None:
    """The layer that ``images`` of meshinstall.yaml makes for a component; None when it says nothing to it."""
    images: Mapping[str, Any] = document.values.get("images") or {}
    values: dict[str, Any] = {}
    positions: dict[KeyPath, tuple[int, int]] = {}
    for key, path in _READ[component].items():
        if images.get(key):
            *parents, last = path
            into = values
            for parent in parents:
                into = into.setdefault(parent, {})
            into[last] = _shape(component, key, images[key])
            positions[path] = document.place(("images", key))
    return Layer(LayerKind.PROJECT, document.source, values, positions) if values else None


def _shape(component: Component, key: str, value: Any) -> Any:
    """The gateway chart copies pull secrets into the pod as they are; the others take names."""
    return [{"name": name} for name in value] if component is Component.GATEWAY and key == "pullSecrets" else value
