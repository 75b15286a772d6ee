"""Holds objects against the schemas of Istio's CRDs, made strict: the API server drops a field that it does not know, and says so to few.

Rules in CEL, and what webhooks ask, are the cluster's to judge.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshinstall.config.documents import suggestion
from meshinstall.errors import ChartError, Problem
from meshinstall.model.foreign_text import plain
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.yaml_text import documents, load

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

# apiVersion and kind.
_Type = tuple[str, str]


@dataclass(slots=True)
class Schemas:
    """The schemas of the CRDs in ``definitions``, by apiVersion and kind; each is made when it is asked for."""

    by_type: Mapping[_Type, Any]
    _made: dict[_Type, "Draft202012Validator"] = field(default_factory=dict)

    def problems(self, one: PolicyObject) -> Iterator[Problem]:
        """Where an object breaks the schema of its kind; nothing for kinds that are not among them."""
        wanted = (str(one.manifest.get("apiVersion")), one.kind)
        if wanted not in self.by_type:
            groups = {version.partition("/")[0] for version, _ in self.by_type}
            if one.group in groups:
                known = tuple(sorted({kind for version, kind in self.by_type if version == wanted[0]}))
                line, column = one.place(("kind",))
                yield Problem(one.source, line, column, f"Istio has no {one.kind} in {wanted[0]}", suggestion(one.kind, known))
            return
        from jsonschema_rs import Draft202012Validator

        if wanted not in self._made:
            self._made[wanted] = Draft202012Validator(_strict(self.by_type[wanted]), offline=True)
        spec = {"spec": one.manifest.get("spec") or {}}
        for error in self._made[wanted].iter_errors(spec):
            yield _problem(one, error)


def read_schemas(definitions: str) -> Schemas:
    """The schemas of CRDs in YAML; raises ChartError where they are none."""
    found: dict[_Type, Any] = {}
    try:
        for _, part in documents(definitions):
            item = load(part)
            spec: Any = item["spec"] if item else {"versions": ()}
            for version in spec["versions"]:
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                found[key] = version["schema"]["openAPIV3Schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise ChartError("the CRDs of Istio's base chart cannot be read", "the archive is damaged or is not an Istio chart") from error
    return Schemas(found)


def _strict(schema: Any) -> Any:
    """The same with an end to fields that it does not name; of Kubernetes' own extensions, what JSON Schema has words for."""
    spec = schema.get("properties", {}).get("spec", {})
    return {"type": "object", "properties": {"spec": _closed(spec)}}


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    closed = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-") and key not in {"description", "format"}}
    if schema.get("x-kubernetes-int-or-string"):
        closed["type"] = ["integer", "string"]
    if isinstance(fields := schema.get("properties"), dict):
        closed["properties"] = {name: _closed(inner) for name, inner in fields.items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if key in schema:
            closed[key] = _closed(schema[key])
    if schema.get("nullable") and isinstance(schema.get("type"), str):
        closed["type"] = [schema["type"], "null"]
    return closed


# What a rule that is broken means; others are named as JSON Schema does.
_WORDS = {
    "enum": "has a value that is not among its choices",
    "pattern": "has not the form that it must have",
    "minLength": "is empty",
    "minItems": "has too few entries",
    "maxItems": "has too many entries",
    "minProperties": "has too few entries",
    "oneOfMultipleValid": "has fields that exclude each other",
}


def _problem(one: PolicyObject, error: "ValidationError") -> Problem:
    """The error in words; the value that it is about is not repeated."""
    path = tuple(str(part) for part in error.instance_path)
    # What it has more than a name depends on the name.
    kind: Any = error.kind
    hint = ""
    match kind.name:
        case "additionalProperties":
            path = (*path, min(kind.unexpected))
            text, hint = f"{one.kind} has no field {'.'.join(path)}", "the API server drops it, and says so only to who asks"
        case "type":
            text = f"{'.'.join(path)} is of another type than its schema's"
        case "required":
            text = f"{'.'.join(path)} lacks {kind.property}"
        case name:
            text = f"{'.'.join(path)} {_WORDS.get(name, f'breaks a rule of its schema ({name})')}"
    return Problem(one.source, *one.place(path), plain(text), hint)
