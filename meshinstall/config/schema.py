"""Checks values against a chart: its schema, its profiles, and the keys it reads."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshinstall.config.chart_layers import chart_path, chart_view, chosen
from meshinstall.config.documents import suggestion
from meshinstall.config.mesh_config import MeshVerdict, check_mesh_config
from meshinstall.config.value_kinds import check_kinds
from meshinstall.config.value_rules import check_rules, doubtful
from meshinstall.config.value_types import check_types
from meshinstall.errors import Problem
from meshinstall.model import json_text
from meshinstall.model.chart import ChartFiles
from meshinstall.model.release import Component
from meshinstall.model.stack import ValuesStack, leaves
from meshinstall.model.values import CHART_KINDS, KeyPath, Origin, value_at

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

# Maps whose keys are the user's own, or are read by something else than the chart.
_FREE_FORM = re.compile(r".*(labels|annotations|selector|metadata|env|config|resources|networkgatewayports|templates)", re.IGNORECASE)

# Read by templates of 1.31, and mentioned nowhere else in the chart.
_TEMPLATES_ONLY = frozenset(
    {
        "affinity",
        "agentgateway",
        "compatibilityVersion",
        "crlConfigMapName",
        "internalTrafficPolicy",
        "lifecycle",
        "nodeSelector",
        "ownerName",
        "platform",
        "profile",
        "tracer",
        "trafficDistribution",
        "trustBundleName",
        "validationCABundle",
        "validationFailurePolicy",
        "validationURL",
    }
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Mistakes in the values of a release; with ``errors`` helm or the API server would refuse them.

    ``warnings`` are keys that are not read, ``doubts`` values that do something else than they seem to do.
    """

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    doubts: tuple[Problem, ...] = ()


def check_values(component: Component, files: ChartFiles, stack: ValuesStack) -> Verdict:
    """Everything that is wrong with the values of a release; one message for each place."""
    view = chart_view(component, files, stack)
    unknown = unknown_keys(component, files, view, stack)
    mesh = check_mesh_config(stack, str(files.metadata.get("appVersion", ""))) if component is Component.ISTIOD else MeshVerdict()
    schema = validate(stack.merged(), files.schema, stack) if files.schema else ()
    errors = _one_for_each_place(
        (
            *check_types(component, stack, frozenset(unknown)),
            *check_rules(component, view, stack),
            *mesh.errors,
            *check_profiles(files, stack),
            *schema,
            *check_kinds(component, view, stack),
        )
    )
    warnings = _one_for_each_place((*errors, *unknown.values(), *mesh.unknown))[len(errors) :]
    return Verdict(errors, warnings, _one_for_each_place((*errors, *doubtful(component, view, stack)))[len(errors) :])


def _one_for_each_place(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The first problem of each key; of several flags each is a place of its own."""
    found: dict[tuple[str, int, int], Problem] = {}
    for problem in problems:
        found.setdefault((problem.source, problem.line, problem.column), problem)
    return tuple(found.values())


def validate(values: Mapping[str, Any], schema_json: str, stack: ValuesStack) -> tuple[Problem, ...]:
    """Where ``values`` break the chart's JSON schema, as helm would find; each at the line that wrote the key.

    Messages never hold a value. A schema that points to another document, or is none, is a problem of the chart.
    """
    # jsonschema takes 0.14 s to import, this one 0.05 s; and no URL that a chart names is ever fetched.
    from jsonschema_rs import Draft202012Validator

    try:
        schema = json_text.load(schema_json)
        validator = Draft202012Validator(schema, offline=True)
    except ValueError as error:
        reason = str(error).splitlines()[0][:200]
        return (Problem("the chart's values.schema.json", 0, 0, f"is not a usable JSON schema: {reason}"),)
    found = [problem for error in validator.iter_errors(values) for problem in _explain(error, schema, stack)]
    return tuple(sorted(found, key=lambda problem: (problem.source, problem.line, problem.column)))


def check_profiles(files: ChartFiles, stack: ValuesStack) -> tuple[Problem, ...]:
    """A problem for each chart profile, platform or compatibility version that the chart does not have: it would fail."""
    return tuple(
        _origin(stack, choice.path).problem(
            f"the chart has no {choice.path[-1]} {choice.name!r}",
            suggestion(choice.name, _names(files, choice.prefix)),
        )
        for choice in chosen(stack)
        if choice.profile not in files.profiles
    )


def _names(files: ChartFiles, prefix: str) -> tuple[str, ...]:
    names = (name.removeprefix(prefix) for name in files.profiles if name.startswith(prefix))
    return tuple(name for name in names if not name.startswith(("platform-", "compatibility-version-")))


def unknown_keys(component: Component, files: ChartFiles, view: ValuesStack, stack: ValuesStack) -> dict[KeyPath, Problem]:
    """Keys that the chart's values, profiles and schema never mention, comments included, where the chart has a map of known keys."""
    own = ValuesStack(tuple(layer for layer in view.layers if layer.kind in CHART_KINDS)).effective()
    texts = "\n".join((files.values, files.schema or "", *files.profiles.values()))
    words = {*re.findall(r"[\w-]+", texts), *_TEMPLATES_ONLY}
    found: dict[KeyPath, Problem] = {}
    for path in leaves(stack.merged()):
        if (wrong := _unknown(own, chart_path(component, path), words)) and wrong not in found:
            depth = len(path) - len(chart_path(component, path)) + len(wrong)
            siblings = tuple(_map_at(own, wrong[:-1]) or ())
            text = f"the chart does not read {'.'.join(path[:depth])}"
            found[wrong] = _origin(stack, path[:depth]).problem(text, suggestion(wrong[-1], siblings))
    return found


def _unknown(own: Mapping[str, Any], path: KeyPath, words: set[str]) -> KeyPath | None:
    """The first part of ``path`` that the chart does not know; None when all is known or free-form."""
    for end, key in enumerate(path):
        here = _map_at(own, path[:end])
        if not here or (end and _FREE_FORM.fullmatch(path[end - 1])):
            return None
        if key not in here:
            return None if key in words else path[: end + 1]
    return None


def _map_at(values: Any, path: KeyPath) -> Mapping[str, Any] | None:
    found = value_at(values, path)
    return found if isinstance(found, Mapping) else None


def _explain(error: "ValidationError", schema: Any, stack: ValuesStack) -> Iterator[Problem]:
    path: KeyPath = tuple(map(str, error.instance_path))
    rule = error.kind.name
    if rule == "additionalProperties":
        known = tuple(_inside(schema, error.schema_path[:-1]).get("properties", {}))
        for key in error.kind.as_dict()["unexpected"]:
            yield _origin(stack, (*path, key)).problem(f"the chart's schema has no key {'.'.join((*path, key))}", suggestion(key, known))
    else:
        yield _origin(stack, path).problem(f"{'.'.join(path)} {_expected(rule, _inside(schema, error.schema_path))}")


def _inside(schema: Any, path: Iterable[str | int]) -> Any:
    """What stands at a place of the schema; a validator names places where references lead to."""
    for step in path:
        schema = schema[step]
    return schema


def _expected(rule: str, value: Any) -> str:
    if rule == "type":
        return f"must be {value if isinstance(value, str) else ' or '.join(value)}"
    if rule == "enum":
        return f"must be one of {', '.join(map(json.dumps, value))}"
    return f"violates the chart's schema ({rule})"


def _origin(stack: ValuesStack, path: KeyPath) -> Origin:
    """Who wrote the value at ``path``; lists are one value to a stack, but their items have places."""
    return stack.origin(path)
