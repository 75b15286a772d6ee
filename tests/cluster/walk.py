"""Runs the commands of a section of a page of docs/, as a reader copies them, and holds what they print against the page."""

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.transcript import first_missing

_FENCE = "```"
_CUT = "[…]"
_MARK = "=== meshinstall walk ==="
# Seconds for the whole page.
_PATIENCE = 400


@dataclass(frozen=True, slots=True)
class Piece:
    """Commands that follow each other, and the lines that the page shows below them."""

    commands: tuple[str, ...]
    told: tuple[str, ...] = ()


def pieces(page: Path, heading: str) -> list[Piece]:
    """The commands of a section: blocks of sh, and the lines that begin with a $ in others."""
    section = page.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    found: list[Piece] = []
    for block in section.split(f"{_FENCE}")[1::2]:
        kind, _, text = block.partition("\n")
        found += [Piece(tuple(text.splitlines()))] if kind == "sh" else _shown(text.splitlines())
    return found


def _shown(lines: list[str]) -> Iterator[Piece]:
    starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        told = tuple(line for line in lines[start + 1 : end] if line and line != _CUT)
        yield Piece((lines[start].removeprefix("$ "),), told)


def free_port() -> str:
    """A port of four digits, as pages have them: a longer one would break lines elsewhere."""
    for port in range(7000 + os.getpid() % 1000, 10_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return str(port)
    message = "no port is free"
    raise AssertionError(message)


def run(found: list[Piece], folder: Path, env: Mapping[str, str], changes: Mapping[str, str]) -> list[str]:
    """What each piece printed, all by one shell; ``changes`` are made to the text first. What shows nothing has to succeed."""
    lines = []
    for piece in found:
        check = [] if piece.told else ["set -e"]
        lines += [f"echo '{_MARK}'", *check, *piece.commands, "set +e"]
    script = "\n".join(lines)
    for old, new in changes.items():
        assert old in script, old
        script = script.replace(old, new)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=_PATIENCE, check=False,
    )  # fmt: skip
    printed = done.stdout.split(f"{_MARK}\n")[1:]
    assert done.returncode == 0, done.stdout
    assert len(printed) == len(found), done.stdout
    return printed


def compare(found: list[Piece], printed: list[str], changes: Mapping[str, str]) -> None:
    """Hold what was printed, with the ``changes`` undone, against what the page shows."""
    for piece, text in zip(found, printed, strict=True):
        said = text
        for old, new in changes.items():
            said = said.replace(new, old)
        missing = first_missing(list(piece.told), said)
        assert not missing, f"{piece.commands}\nlacks: {missing}\n{said}"
