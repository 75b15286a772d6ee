"""How findings name many things, and single ones in commands."""

import shlex
from collections.abc import Iterable, Sequence

from meshinstall.model.foreign_text import line

_SHOWN = 5


def some(names: Iterable[str]) -> str:
    """The first five names in their order, each once, and how many more there are."""
    return first(list(dict.fromkeys(names)), _SHOWN)


def first(names: Sequence[str], shown: int) -> str:
    """The first ``shown`` of the names, and how many more there are."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def word(text: str) -> str:
    """A name in a command that is to be copied: one word for every shell, on one line."""
    return shlex.quote(line(text))
