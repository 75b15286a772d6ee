"""Reads JSON from elsewhere so that whatever it holds can be walked, counted, written as JSON again and printed."""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

# Levels of objects and lists: what walks through them calls itself for each. The deepest that Kubernetes or Envoy has is about 40.
_DEEPEST = 100
# A character of JSON's escapes, and one that stands for half a character only, as Python reads and no file can hold.
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|u[dD][c-fC-F][0-9a-fA-F]{2}|.)", re.DOTALL)
_HALF = len(r"\ud800")
_UNKNOWN = r"\ufffd"
_HOLDERS = frozenset({dict, list})


def load(text: str | bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The value in ``text``; half a character is U+FFFD, as Go reads it. ``pairs`` makes each object of its keys and values.

    Raises ValueError when it is not JSON in UTF-8, is nested too deep, or has a number that Python cannot hold.
    """
    decoded = (text if isinstance(text, bytes) else text.encode()).decode("utf-8-sig")
    if "\\ud" in decoded or "\\uD" in decoded:
        decoded = _ESCAPE.sub(_whole, decoded)
    try:
        found = json.loads(decoded, parse_constant=_refuse, parse_float=_number, object_pairs_hook=pairs)
        is_deep = _is_deep(found)
    except RecursionError:
        is_deep = True
    if is_deep:
        raise ValueError(f"nested too deep: more than {_DEEPEST} levels")
    return found


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object each of whose keys stands once, for ``pairs``; raises ValueError: readers disagree on which of two counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _whole(match: re.Match[str]) -> str:
    return _UNKNOWN if len(match[0]) == _HALF else match[0]


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")


def _number(text: str) -> float:
    found = float(text)
    if found in {float("inf"), float("-inf")}:
        raise ValueError("a number is too large")
    return found


def _is_deep(value: Any) -> bool:
    """Whether objects and lists are nested too deep; level by level, for it may not call itself."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        level = [one for holder in level for one in (holder.values() if type(holder) is dict else holder) if type(one) in _HOLDERS]
        if not level:
            return False
    return True
