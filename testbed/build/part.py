"""What a part is: a folder in the cache whose name says what it was made from."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed.build.workshop import Workshop

Build = Callable[[Workshop, Path], None]


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to build.

    ``inputs`` are texts or files that decide the result; ``needs`` names the
    parts that ``build`` reads. ``seconds`` is a rough cold build time on two
    cores, used only to start the longest first.
    """

    name: str
    build: Build
    inputs: tuple[str | Path, ...]
    needs: tuple[str, ...] = ()
    seconds: int = 1


def keys(parts: Mapping[str, Part]) -> dict[str, str]:
    """Map each part's name to the hash of everything it is made from."""
    found: dict[str, str] = {}

    def key(name: str) -> str:
        if name not in found:
            part = parts[name]
            digest = hashlib.sha256(name.encode())
            for item in part.inputs:
                digest.update(hashlib.sha256(item.read_bytes() if isinstance(item, Path) else item.encode()).digest())
            for need in part.needs:
                digest.update(key(need).encode())
            found[name] = digest.hexdigest()[:16]
        return found[name]

    return {name: key(name) for name in parts}


def closure(parts: Mapping[str, Part], wanted: tuple[str, ...]) -> set[str]:
    """Names in ``wanted`` and everything they need."""
    found: set[str] = set()
    stack = list(wanted)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack += parts[name].needs
    return found
