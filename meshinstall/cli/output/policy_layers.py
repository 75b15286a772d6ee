"""What `explain policy` shows: the layers of an object, and where each of its values was written."""

from collections.abc import Iterable, Iterator
from typing import Any

from meshinstall.cli.output.tables import columns
from meshinstall.config.json_patch import Node
from meshinstall.config.policy_layers import Layered, Said
from meshinstall.model.foreign_text import for_log, whole
from meshinstall.model.values import Origin

SCHEMA = "meshinstall.dev/explain-policy/v1"
_NONE = "no layer of this environment has policies"


def layers_text(found: Iterable[Layered]) -> str:
    """Every object with its layers, the lowest first, and its values with their lines."""
    return for_log("\n\n".join(map(_text, found)) or _NONE)


def _text(one: Layered) -> str:
    removed = "" if one.tree else "  (removed)"
    said = columns(("", said.layer.word, said.verb, str(said.at), *_dropped(said)) for said in one.said)
    values = (
        columns(("", name, whole(value), str(origin)) for name, value, origin in _leaves(one.tree) if _is_told(name)) if one.tree else []
    )
    return "\n".join((f"{one.key}{removed}", *said, *([""] if values else []), *values))


def _dropped(said: Said) -> tuple[str, ...]:
    told = ", ".join(f"{rule.what} ({rule.before})" for rule in said.dropped)
    return (f"without {told}",) if told else ()


def _is_told(name: str) -> bool:
    """What names the object stands above its values."""
    return name not in {"apiVersion", "kind", "metadata.name", "metadata.namespace"}


def _leaves(node: Node, name: str = "") -> Iterator[tuple[str, Any, Origin]]:
    """Each value that holds no other, as people read its path."""
    inner = node.value
    if isinstance(inner, dict) and inner:
        for key, one in inner.items():
            yield from _leaves(one, f"{name}.{key}" if name else key)
    elif isinstance(inner, list) and inner:
        for index, one in enumerate(inner):
            yield from _leaves(one, f"{name}[{index}]")
    else:
        yield name, inner, node.origin


def layers_json(found: Iterable[Layered]) -> dict[str, Any]:
    """The document that docs/schemas/explain-policy.json describes."""
    return {"schema": SCHEMA, "policies": [_json(one) for one in found]}


def _json(one: Layered) -> dict[str, Any]:
    return {
        "group": one.key.group,
        "kind": one.key.kind,
        "namespace": one.key.namespace,
        "name": one.key.name,
        "removed": one.tree is None,
        "layers": [
            {
                "layer": said.layer.word,
                "verb": said.verb,
                "origin": str(said.at),
                "dropped": [{"path": rule.what, "before": str(rule.before), "after": str(rule.after)} for rule in said.dropped],
            }
            for said in one.said
        ],
        "values": [{"path": name, "value": value, "origin": str(at)} for name, value, at in (_leaves(one.tree) if one.tree else ())],
    }
