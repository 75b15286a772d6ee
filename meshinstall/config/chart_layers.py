"""A chart's own values as layers, in the order in which Istio's charts put them together.

Istio's charts keep their defaults under one key and merge in templates (templates/zzz_profile.yaml): defaults, the
chart's profile, compatibility version and platform, then the user's values. Two charts copy ``global`` to the root first,
two copy an old prefix to the root last (templates/zzy_descope_legacy.yaml): there ``pilot.x`` beats ``x``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from meshinstall.config.source import parse
from meshinstall.errors import ChartError, Problem
from meshinstall.model.chart import ChartFiles
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Layer, LayerKind

_DEFAULTS = "_internal_defaults_do_not_set"
_COPIES_GLOBAL = frozenset({Component.ZTUNNEL, Component.GATEWAY})
_PREFIX: Mapping[Component, str] = {Component.ISTIOD: "pilot", Component.CNI: "cni"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A profile of the chart that a value at ``path`` chooses by ``name``; the chart's own name has a prefix by kind."""

    path: KeyPath
    name: str
    prefix: str

    @property
    def profile(self) -> str:
        """``ambient``, ``platform-gke``: the name in ChartFiles.profiles."""
        return self.prefix + self.name


def chart_view(component: Component, files: ChartFiles, sent: ValuesStack) -> ValuesStack:
    """Every layer that decides what the chart's templates see, lowest first; raises ChartError on broken YAML.

    Values under the chart's old prefix appear without it, in layers above the others.
    """
    profiles = [
        _read(files.profiles[choice.profile], f"chart files/profile-{choice.profile}.yaml", LayerKind.CHART_PROFILE)
        for choice in chosen(sent)
        if choice.profile in files.profiles
    ]
    layers = [_read(files.values, "chart values.yaml", LayerKind.CHART), *profiles]
    if component in _COPIES_GLOBAL:
        layers += _below([*profiles, *sent.layers], "global")
    layers += sent.layers
    if prefix := _PREFIX.get(component):
        layers = [*(_without(layer, prefix) for layer in layers), *_below(layers, prefix)]
    return ValuesStack(tuple(layer for layer in layers if layer.values))


def chart_path(component: Component, path: KeyPath) -> KeyPath:
    """``path`` as the view spells it: without the chart's old prefix."""
    return path[1:] if len(path) > 1 and path[0] == _PREFIX.get(component) else path


def template_path(component: Component, path: KeyPath) -> KeyPath:
    """``path`` as templates see it: without the old prefix, and without ``global`` where the chart copies that to the root."""
    path = chart_path(component, path)
    return path[1:] if len(path) > 1 and path[0] == "global" and component in _COPIES_GLOBAL else path


def chosen(sent: ValuesStack) -> Iterator[Chosen]:
    """What the values choose, lowest first."""
    values = sent.merged()
    shared = values.get("global")
    shared = shared if isinstance(shared, Mapping) else {}
    for key, name, prefix in (
        ("profile", values.get("profile") or shared.get("profile"), ""),
        ("compatibilityVersion", values.get("compatibilityVersion"), "compatibility-version-"),
        ("platform", values.get("platform") or shared.get("platform"), "platform-"),
    ):
        if name:
            yield Chosen((key,) if values.get(key) else ("global", key), str(name), prefix)


def _read(text: str, source: str, kind: LayerKind) -> Layer:
    problems: list[Problem] = []
    document = parse(text, source, problems)
    if problems:
        raise ChartError(f"cannot read the chart's values: {problems[0]}", "the archive is damaged or is not an Istio chart")
    nested = (_DEFAULTS,) if kind is LayerKind.CHART and _DEFAULTS in document.values else ()
    return document.layer(kind, nested) or Layer(kind, document.source, {})


def _below(layers: list[Layer], key: str) -> list[Layer]:
    """What each layer says under ``key``, as if it stood at the root."""
    return [
        replace(layer, values=inner, positions={path[1:]: at for path, at in layer.positions.items() if path[0] == key and len(path) > 1})
        for layer in layers
        if isinstance(inner := layer.values.get(key), Mapping)
    ]


def _without(layer: Layer, key: str) -> Layer:
    return replace(layer, values={name: value for name, value in layer.values.items() if name != key}) if key in layer.values else layer
