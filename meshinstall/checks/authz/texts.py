"""How Istio compares texts: exact, by prefix, by suffix, by presence (istio: pilot/pkg/security/authz/matcher)."""

from collections.abc import Callable

Match = Callable[[str], bool]


def matching(pattern: str, before: str = "") -> Match:
    """Compare with ``before`` and the pattern; ``*`` alone is any text that is not empty, elsewhere it counts at one end only."""
    if pattern == "*":
        return bool
    if pattern.startswith("*"):
        rest = pattern[1:]
        return lambda text: text.startswith(before) and text.endswith(rest) and len(text) >= len(before) + len(rest)
    if pattern.endswith("*"):
        return lambda text: text.startswith(before + pattern[:-1])
    return lambda text: text == before + pattern


def header(pattern: str) -> Callable[[str | None], bool]:
    """Compare with a header, None where there is none; ``*`` is any header that is there, an empty one too."""
    if pattern == "*":
        return lambda value: value is not None
    match = matching(pattern)
    return lambda value: value is not None and match(value)


def between(pattern: str, before: str, after: str) -> Match:
    """Whether a text holds ``before``, the pattern and ``after`` in this order, where each ``*`` is any text; takes linear time."""
    first, *rest = pattern.split("*")
    pieces = [before + first, *rest]
    pieces[-1] += after

    def match(text: str) -> bool:
        at = 0
        for piece in pieces:
            if (at := text.find(piece, at)) < 0:
                return False
            at += len(piece)
        return True

    return match
