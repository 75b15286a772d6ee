"""How findings name many things."""

from collections.abc import Iterable

_SHOWN = 5


def some(names: Iterable[str]) -> str:
    """The first five names in their order, and how many more there are."""
    listed = list(dict.fromkeys(names))
    return ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")
