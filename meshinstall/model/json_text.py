"""Reads JSON from elsewhere so that whatever it holds can be walked, counted, written as JSON again and printed."""

import json
import re
from typing import Any, NoReturn

# Levels of objects and lists: what walks through them calls itself for each. The deepest that Kubernetes or Envoy has is about 40.
_DEEPEST = 100
# A character of JSON's escapes, and one that stands for half a character only, as Python reads and no file can hold.
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|u[dD][c-fC-F][0-9a-fA-F]{2}|.)", re.DOTALL)
_HALF = len(r"\ud800")
_UNKNOWN = r"\ufffd"
# Unless each quote began a text, ever so long ones would be tried from each of their quotes.
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def load(text: str | bytes) -> Any:
    """The value in ``text``; half a character is U+FFFD, as Go reads it.

    Raises ValueError when it is not JSON in UTF-8, is nested too deep, or has a number that Python cannot hold.
    """
    data = text if isinstance(text, bytes) else text.encode()
    if _is_deep(data):
        raise ValueError(f"nested too deep: more than {_DEEPEST} levels")
    decoded = data.decode("utf-8-sig")
    if "\\ud" in decoded or "\\uD" in decoded:
        decoded = _ESCAPE.sub(_whole, decoded)
    return json.loads(decoded, parse_constant=_refuse, parse_float=_number)


def _whole(match: re.Match[str]) -> str:
    return _UNKNOWN if len(match[0]) == _HALF else match[0]


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")


def _number(text: str) -> float:
    found = float(text)
    if found in {float("inf"), float("-inf")}:
        raise ValueError("a number is too large")
    return found


def _is_deep(data: bytes) -> bool:
    """Whether brackets are nested too deep; without the ones of texts, which need not come in pairs, where they decide."""
    return _is_nested(data) and _is_nested(_TEXT.sub(b"", data))


def _is_nested(data: bytes) -> bool:
    """Takes the innermost pairs away, level by level; what is left has more levels, or unequal brackets."""
    left = data.translate(None, _NO_BRACKETS)
    for _ in range(_DEEPEST):
        if not left:
            return False
        left = left.replace(b"[]", b"").replace(b"{}", b"")
    return bool(left)
