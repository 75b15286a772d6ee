"""Reads JSON from clusters and proxies, which may have any shape: each function names the type it expects, and null reads as empty."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

_Kind = TypeVar("_Kind")


class MalformedError(ValueError):
    """Something is not of the type that it is always of."""


def table(value: Any) -> Mapping[str, Any]:
    """A JSON object."""
    return _of(dict, value, {})


def rows(value: Any) -> Sequence[Any]:
    """A JSON array."""
    return _of(list, value, [])


def text(value: Any) -> str:
    """A JSON string."""
    return _of(str, value, "")


def texts(value: Any) -> dict[str, str]:
    """A JSON object of strings, such as labels."""
    return {name: text(under) for name, under in table(value).items()}


def number(value: Any) -> int:
    """A JSON number without a fraction."""
    if isinstance(value, bool):
        raise MalformedError("int expected, found bool")
    return _of(int, value, 0)


def flag(value: Any) -> bool:
    """A JSON boolean."""
    return _of(bool, value, False)


def at(value: Any, *names: str) -> Any:
    """What stands under ``names``, one below the other; None when there is nothing."""
    for name in names:
        value = table(value).get(name)
    return value


def _of(kind: type[_Kind], value: Any, empty: _Kind) -> _Kind:
    if value is None:
        return empty
    if not isinstance(value, kind):
        raise MalformedError(f"{kind.__name__} expected, found {type(value).__name__}")
    return value
