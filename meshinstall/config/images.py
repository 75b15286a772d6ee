"""One setting of hub, tag, variant and pull for all components, written where each chart reads it; an environment may have its own."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshinstall.config.documents import Images
from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.release import Component
from meshinstall.model.values import KeyPath, Layer, LayerKind, value_at

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
# A pod gets the injector's image when it is made: an annotation with what was asked for makes the Deployment roll.
_PROXY: KeyPath = ("podAnnotations", "meshinstall.dev/proxy-image")
_PROXY_KEYS = ("hub", "tag", "variant")

# Where ``images`` may stand in meshinstall.yaml, the nearer later.
Places = Iterable[tuple[LayerKind, KeyPath]]

# distribution/reference: host and port, then parts of a path; what follows the last colon or @ is no part of it.
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HUB = re.compile(rf"[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{{1,5}})?(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_VARIANT = re.compile(r"(?P<tag>.+)-(?P<variant>debug|distroless)")
# RFC 1123, as Secrets are named.
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")


def check_images(document: Document, images: Images, above: KeyPath = ()) -> Iterator[Problem]:
    """Find settings of ``images`` at ``above`` from which no node could pull."""
    at = (*above, "images")
    if images.hub and (wrong := _wrong_hub(images.hub)):
        yield document.problem((*at, "hub"), f"images.hub {wrong}", "write host/path, such as registry.example.com/istio")
    if images.tag and not _TAG.fullmatch(images.tag):
        hint = "write a tag alone, such as 1.31.0; digests are not supported"
        yield document.problem((*at, "tag"), f"images.tag {images.tag!r} is not a valid tag", hint)
    elif ending := _VARIANT.fullmatch(images.tag):
        # The charts put a hyphen and the variant behind the tag; so does their profile for ambient.
        hint = f"write tag: {ending['tag']} and variant: {ending['variant']}"
        yield document.problem((*at, "tag"), f"images.tag {images.tag!r} includes a variant, which the charts add", hint)
    for index, name in enumerate(images.pull_secrets):
        if not _NAME.fullmatch(name):
            yield document.problem((*at, "pullSecrets", str(index)), f"images.pullSecrets: {name!r} is not a valid Secret name")


def _wrong_hub(hub: str) -> str:
    if "://" in hub:
        return "has a scheme"
    if hub.endswith("/"):
        return "ends with a slash"
    if "@" in hub or ":" in hub.partition("/")[2]:
        return "includes a tag or digest"
    return "" if _HUB.fullmatch(hub) else f"{hub!r} is not an image registry and path"


def image_layers(document: Document, places: Places, component: Component) -> Iterator[Layer]:
    """A layer for each place whose ``images`` say something to a component; a nearer one goes over a farther one, key by key."""
    said: dict[str, Any] = {}
    for kind, above in places:
        written = {key: value for key, value in (value_at(document.values, (*above, "images")) or {}).items() if value}
        said |= written
        if layer := _layer(document, (kind, (*above, "images")), component, written, said):
            yield layer


def _layer(
    document: Document, place: tuple[LayerKind, KeyPath], component: Component, written: Mapping[str, Any], said: Mapping[str, Any]
) -> Layer | None:
    """What is ``written`` at one place; ``said`` is that with what the farther ones add."""
    kind, at = place
    values: dict[str, Any] = {}
    positions: dict[KeyPath, tuple[int, int]] = {}
    for key, path in _READ[component].items():
        if key in written:
            _put(values, path, _shape(component, key, written[key]))
            positions[path] = document.place((*at, key))
    proxy = [key for key in _PROXY_KEYS if key in written]
    if component is Component.GATEWAY and proxy:
        _put(values, _PROXY, _proxy_image(said))
        positions[_PROXY] = document.place((*at, proxy[0]))
    return Layer(kind, document.source, values, positions) if values else None


def _put(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    *parents, last = path
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value


def _proxy_image(images: Mapping[str, Any]) -> str:
    """``HUB/proxyv2:TAG-VARIANT`` of what is written."""
    hub, *ending = (images.get(key) or "" for key in _PROXY_KEYS)
    return ":".join(filter(None, ("/".join(filter(None, (hub, "proxyv2"))), "-".join(filter(None, ending)))))


def _shape(component: Component, key: str, value: Any) -> Any:
    """The gateway chart copies pull secrets into the pod as they are; the others take names."""
    return [{"name": name} for name in value] if component is Component.GATEWAY and key == "pullSecrets" else value
