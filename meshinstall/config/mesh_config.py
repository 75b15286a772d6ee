"""Checks istiod's meshConfig against the fields and types of Istio's MeshConfig: istiod does not start with a wrong type.

Source: istio.io/api mesh/v1alpha1; protobuf's JSON mapping, as istiod reads it (pkg/util/protomarshal): names in camelCase or snake_case,
whole numbers also as text, unknown fields ignored.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from meshinstall.config.documents import suggestion
from meshinstall.errors import Problem
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, LayerKind, value_at

# The old prefix of the chart comes last: it wins there.
_PLACES: tuple[KeyPath, ...] = (("meshConfig",), ("pilot", "meshConfig"))
_DURATION = re.compile(r"[-+]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+)")
_WHOLE = re.compile(r"[-+]?\d+")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?|NaN|-?Infinity")
_NESTED = re.compile(r"(list|map|enum)\((.*)\)")
# istiod merges these by their names in camelCase and drops them otherwise (pkg/config/mesh: ApplyMeshConfig).
_ONLY_CAMEL = {"default_config": "defaultConfig", "default_providers": "defaultProviders"}


@dataclass(frozen=True, slots=True)
class MeshVerdict:
    """``errors`` keep istiod from starting; ``unknown`` fields are ignored by it."""

    errors: tuple[Problem, ...] = ()
    unknown: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class _Mistake:
    path: KeyPath
    text: str
    hint: str = ""
    is_error: bool = True


def check_mesh_config(stack: ValuesStack, version: str) -> MeshVerdict:
    """Check the values of istiod's chart of ``version``; another minor than that of the list of fields is not checked."""
    from meshinstall.config.mesh_config_fields import MINOR

    if not version.startswith(f"{MINOR}."):
        return MeshVerdict()
    values = stack.merged()
    found = [mistake for place in _PLACES for mistake in _check(place, value_at(values, place), "MeshConfig")]
    return MeshVerdict(
        tuple(_problem(stack, mistake) for mistake in found if mistake.is_error),
        tuple(_problem(stack, mistake) for mistake in found if not mistake.is_error),
    )


def _problem(stack: ValuesStack, mistake: _Mistake) -> Problem:
    origin = stack.origin(mistake.path)
    hint = "use --set-string" if mistake.hint == "quote it" and origin.kind is LayerKind.FLAG else mistake.hint
    return origin.problem(f"{'.'.join(mistake.path)} {mistake.text}", hint)


def _check(path: KeyPath, value: Any, kind: str) -> Iterator[_Mistake]:
    if value is None or kind == "any":
        return
    nested = _NESTED.fullmatch(kind)
    if nested is None and kind not in _SCALARS:
        yield from _check_message(path, value, kind)
    elif nested is None:
        wrong, hint = _SCALARS[kind]
        if not _fits(value, kind):
            yield _Mistake(path, wrong, hint)
    elif nested[1] == "enum":
        names = tuple(nested[2].split("|"))
        if value not in names and (not isinstance(value, int) or isinstance(value, bool)):
            yield _Mistake(path, "must be one of Istio's names for it", suggestion(str(value), names))
    elif nested[1] == "list":
        yield from _check_items(path, value, nested[2]) if isinstance(value, list) else [_Mistake(path, "must be a list")]
    else:
        yield from _check_items(path, value, nested[2]) if isinstance(value, Mapping) else [_Mistake(path, "must be a map")]


def _check_items(path: KeyPath, value: list[Any] | Mapping[str, Any], kind: str) -> Iterator[_Mistake]:
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from _check((*path, str(key)), item, kind)


def _check_message(path: KeyPath, value: Any, kind: str) -> Iterator[_Mistake]:
    if not isinstance(value, Mapping):
        yield _Mistake(path, "must be a map")
        return
    fields = _fields(kind)
    for key, item in value.items():
        name = _camel(key)
        if kind == "MeshConfig" and key in _ONLY_CAMEL:
            yield _Mistake((*path, key), "is not read by istiod in this spelling", f"write {_ONLY_CAMEL[key]}", is_error=False)
        elif name not in fields:
            yield _Mistake((*path, key), "is not read by istiod", suggestion(name, tuple(fields)), is_error=False)
        else:
            yield from _check((*path, key), item, fields[name])


_SCALARS: Mapping[str, tuple[str, str]] = {
    "text": ("must be text", "quote it"),
    "bool": ("must be true or false", "without quotes"),
    "int": ("must be a whole number", ""),
    "uint": ("must be a whole number, not below 0", ""),
    "float": ("must be a number", ""),
    "duration": ("must be a duration", "such as 10s, with its unit"),
}


def _fits(value: Any, kind: str) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind in {"text", "duration"}:
        return isinstance(value, str) and (kind == "text" or bool(_DURATION.fullmatch(value)))
    if isinstance(value, str):
        return bool((_NUMBER if kind == "float" else _WHOLE).fullmatch(value)) and not (kind == "uint" and value.startswith("-"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # Helm writes 1.0 as 1.
    return kind == "float" or (float(value).is_integer() and (kind == "int" or value >= 0))


@cache
def _fields(message: str) -> Mapping[str, str]:
    from meshinstall.config.mesh_config_fields import FIELDS

    pairs = (field.partition(":") for field in FIELDS[message].split())
    return {name: kind for name, _, kind in pairs}


def _camel(key: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), key)
