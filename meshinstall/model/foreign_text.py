"""Text from clouds, clusters and tools on its way into errors, findings and reports: nothing in it moves a terminal's cursor."""

from typing import Any

_LONGEST = 300


def printable(text: str, kept: str = "") -> str:
    """``text`` without control, direction and other characters that do not print, except those in ``kept``."""
    return "".join(char for char in text if char in kept or char.isprintable())


def plain(text: object, longest: int = _LONGEST, cut: str = "") -> str:
    """One printable line of at most ``longest`` characters; ``cut`` follows a line that was longer."""
    line = printable(" ".join(str(text)[: 4 * longest].split()))
    return line if len(line) <= longest else f"{line[:longest]}{cut}"


def cleaned(found: Any) -> Any:
    """Maps and lists as they are, with every other value but true, false and null as plain text."""
    if isinstance(found, dict):
        return {plain(key): cleaned(value) for key, value in found.items()}
    if isinstance(found, list):
        return [cleaned(value) for value in found]
    return found if found is None or isinstance(found, bool) else plain(found)
