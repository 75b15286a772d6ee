"""The gateways of an environment: those of its profile, changed and added to by the environment."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from meshinstall.config.documents import Gateway
from meshinstall.config.exposure import SETTINGS, Setting
from meshinstall.config.source import Document
from meshinstall.model.values import Layer, LayerKind


@dataclass(frozen=True, slots=True)
class NamedGateway:
    """A gateway with everything that was written about it.

    ``layers`` are its own values, lowest first; ``settings`` say how it is reached, each as the highest file has it.
    """

    name: str
    namespace: str
    order: int = 0
    layers: tuple[Layer, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """The ``gateways`` of one file, and the path they stand at."""

    kind: LayerKind
    document: Document
    path: tuple[str, ...]
    gateways: Mapping[str, Gateway | None]


def combine(written: Iterable[Written]) -> tuple[NamedGateway, ...]:
    """Merge by name, later files over earlier; null removes a gateway. Sorted by order, then name."""
    found: dict[str, NamedGateway] = {}
    for part in written:
        for name, gateway in part.gateways.items():
            if gateway is None:
                found.pop(name, None)
            else:
                found[name] = _add(found.get(name, NamedGateway(name, name)), part, gateway)
    return tuple(sorted(found.values(), key=lambda gateway: (gateway.order, gateway.name)))


def _add(found: NamedGateway, part: Written, gateway: Gateway) -> NamedGateway:
    layer = part.document.layer(part.kind, (*part.path, found.name, "values"))
    return replace(
        found,
        namespace=gateway.namespace or found.namespace,
        order=found.order if gateway.order is None else gateway.order,
        layers=(*found.layers, layer) if layer else found.layers,
        settings={**found.settings, **{setting.key: setting for setting in _settings(found.name, part)}},
    )


def _settings(name: str, part: Written) -> Iterator[Setting]:
    written = part.document.values
    for key in (*part.path, name):
        written = written[key]
    for key in SETTINGS:
        if key in written:
            yield Setting(key, written[key], part.kind, part.document, (*part.path, name, key))
