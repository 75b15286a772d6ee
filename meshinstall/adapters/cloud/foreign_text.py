"""Text from a cloud's API on its way into our errors and findings: bounded, one line, and nothing that moves a terminal's cursor."""

import unicodedata
from typing import Any

_LONGEST = 300


def plain(text: object) -> str:
    """One line of ``text``, without control characters."""
    line = " ".join(str(text)[: 4 * _LONGEST].split())
    return "".join(char for char in line if not unicodedata.category(char).startswith("C"))[:_LONGEST]


def cleaned(found: Any) -> Any:
    """Maps and lists as they are, with every other value but true, false and null as plain text."""
    if isinstance(found, dict):
        return {plain(key): cleaned(value) for key, value in found.items()}
    if isinstance(found, list):
        return [cleaned(value) for value in found]
    return found if found is None or isinstance(found, bool) else plain(found)
