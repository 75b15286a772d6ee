"""Refuses numbers, booleans and the like where Kubernetes takes only text, and numbers that Helm would write in another way.

Sources: templates of Istio's charts of 1.31. Helm reads every number as a float64 and prints it with Go's %v.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.config.chart_layers import template_path
from meshinstall.errors import Problem
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, LayerKind

# Maps of text, wherever they are: the templates copy them as they are.
_TEXT_MAP = re.compile(r"(.*[lL]abels|.*[aA]nnotations|nodeSelector)")
# Maps whose values the templates quote: a number or a boolean becomes text, a list or a map becomes Go's text for it.
_QUOTED: Mapping[Component, frozenset[KeyPath]] = {
    Component.BASE: frozenset(),
    Component.ISTIOD: frozenset({("env",), ("deploymentLabels",), ("podLabels",), ("sidecarInjectorWebhook", "injectedAnnotations")}),
    Component.CNI: frozenset({("env",)}),
    Component.ZTUNNEL: frozenset({("env",), ("meshConfig", "defaultConfig", "proxyMetadata")}),
    Component.GATEWAY: frozenset({("env",), ("labels",)}),
}
# Single texts that the templates quote or put into a longer text, at the root or under ``global``.
_QUOTED_TEXTS = frozenset({("meshID",), ("network",), ("multiCluster", "clusterName"), ("hub",), ("tag",), ("variant",)})
# Written without quotes into the value of an environment variable.
_BARE_TEXTS: Mapping[Component, frozenset[KeyPath]] = {Component.ZTUNNEL: frozenset({("multiCluster", "clusterName")})}
# Istio's own configuration has types of its own (config/mesh_config.py).
_MESH_CONFIG = "meshConfig"
# From here on %v has an exponent.
_LARGE, _SMALL = 1_000_000, 0.0001


def is_text_entry(component: Component, path: KeyPath) -> bool:
    """Whether ``path`` is an entry of a map whose values are text for Kubernetes, so that a null would be rendered as empty text."""
    inside = template_path(component, path)[:-1]
    return inside in _QUOTED[component] or bool(inside and inside[0] != _MESH_CONFIG and _TEXT_MAP.fullmatch(inside[-1]))


def check_types(component: Component, stack: ValuesStack, unknown: frozenset[KeyPath]) -> tuple[Problem, ...]:
    """Values of a wrong type for what the templates make of them; ``unknown`` keys are not read by the chart, as templates see them."""
    found: dict[KeyPath, Problem] = {}
    for written, spoken in stack.winners().items():
        path = template_path(component, written)
        if spoken.value is None or any(path[:end] in unknown for end in range(1, len(path) + 1)):
            continue
        prefix = written[: len(written) - len(path)]
        for inside, wrong in _wrong(component, path, spoken.value):
            at = (*prefix, *inside)
            origin = stack.origin(max(at, written, key=len))
            hint = "" if wrong == _NOT_A_MAP else "use --set-string" if origin.kind is LayerKind.FLAG else "quote it"
            found.setdefault(at, origin.problem(f"{'.'.join(at)} {wrong}", hint))
    return tuple(found.values())


def _wrong(component: Component, path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with one leaf, or with what is inside of it when it is a list; with the path of the mistake."""
    for end in range(1, len(path)):
        if path[:end] in _QUOTED[component]:
            yield from _in_quoted(path, path[: end + 1], value)
            return
        if path[0] != _MESH_CONFIG and _TEXT_MAP.fullmatch(path[end - 1]):
            yield from _in_text_map(path, path[: end + 1], value)
            return
    root = path[1:] if path[0] == "global" else path
    if path in _QUOTED[component] or (path[0] != _MESH_CONFIG and _TEXT_MAP.fullmatch(path[-1])):
        if value != {}:
            yield path, _NOT_A_MAP
    elif path in _BARE_TEXTS.get(component, ()) and not isinstance(value, str):
        yield path, f"must be text, not {_kind(value)}"
    elif root in _QUOTED_TEXTS and (isinstance(value, float) or _is_rewritten(value)):
        yield path, _REWRITTEN
    elif path[0] != _MESH_CONFIG:
        yield from _inside(path, value)


_NOT_A_MAP = "must be a map"
_REWRITTEN = "must be text: Helm would write this number in another way, as 2.5e+07 or without its zeros"


def _in_quoted(path: KeyPath, entry: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str]]:
    if path != entry or isinstance(value, Mapping | list):
        yield entry, f"must be text, not {_kind(value if path == entry else {})}"
    elif _is_rewritten(value):
        yield entry, _REWRITTEN


def _in_text_map(path: KeyPath, entry: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str]]:
    if path != entry or not isinstance(value, str):
        yield entry, f"must be text, not {_kind(value if path == entry else {})}"


def _inside(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, str]]:
    """Maps of text and environment variables inside lists, which are leaves of a stack."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _inside((*path, str(number)), item)
            name = item.get("value") if isinstance(item, Mapping) and path[-1] == "env" else ""
            if name is not None and not isinstance(name, str):
                yield (*path, str(number), "value"), f"must be text, not {_kind(name)}"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if _TEXT_MAP.fullmatch(path[-1]):
                if item is not None and not isinstance(item, str):
                    yield (*path, key), f"must be text, not {_kind(item)}"
            else:
                yield from _inside((*path, key), item)


def _is_rewritten(value: Any) -> bool:
    """Whether a number is printed by Go's %v otherwise than it was written in a file."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) >= _LARGE or (isinstance(value, float) and (value.is_integer() or abs(value) < _SMALL))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "a map"
