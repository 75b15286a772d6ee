"""Reads a folder of certificates, which the variables of cloud tools may name and which their SDKs for Python cannot all read."""

import re
from collections.abc import Iterator
from pathlib import Path

# Files of a folder, and bytes of each, that are read.
_MOST_FILES, _MOST = 1000, 4 * 1024**2
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")


def read_folder(folder: Path) -> tuple[str, ...]:
    """The certificates (PEM) in the files of a folder, whatever their names, each once; raises OSError."""
    return tuple(dict.fromkeys(_blocks(folder)))


def read_first(file: Path) -> str:
    """The first certificate (PEM) in a file, empty where it has none; raises OSError."""
    with file.open("rb") as opened:
        found = _PEM.search(opened.read(_MOST))
    return found[0].decode("ascii") if found else ""


def _blocks(folder: Path) -> Iterator[str]:
    # A folder by c_rehash has each file under two names.
    for file in sorted({one.resolve() for one in folder.iterdir()})[:_MOST_FILES]:
        if file.is_file():
            with file.open("rb") as opened:
                yield from (block.decode("ascii") for block in _PEM.findall(opened.read(_MOST)))
