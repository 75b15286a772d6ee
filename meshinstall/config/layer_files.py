"""Finds and reads the files of policies/ beside meshinstall.yaml, by layer; bounded, as they may come from somebody's pull request."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from meshinstall.config.source import Document, read
from meshinstall.errors import Problem
from meshinstall.model.foreign_text import plain

FOLDER = "policies"
# Files and folders of one project, and folders in each other.
MAX_ENTRIES = 5_000
MAX_DEPTH = 8
_OTHER_ENDINGS = frozenset({".yml", ".json"})


class PolicyLayer(IntEnum):
    """Where a policy was written; the higher wins. ``depth`` of its folder below policies/ is how many names it has."""

    BASE = 1
    CLOUDS = 2
    ENVS = 3
    SITES = 4

    @property
    def word(self) -> str:
        """Its folder."""
        return self.name.lower()

    @property
    def depth(self) -> int:
        """How many folders lead to its files: base, clouds/CLOUD, envs/ENVIRONMENT, sites/ENVIRONMENT/CLOUD."""
        return {PolicyLayer.BASE: 1, PolicyLayer.CLOUDS: 2, PolicyLayer.ENVS: 2, PolicyLayer.SITES: 3}[self]


_BY_WORD = {layer.word: layer for layer in PolicyLayer}
_LAYOUT = "policies are in base/, clouds/CLOUD/, envs/ENVIRONMENT/ and sites/ENVIRONMENT/CLOUD/"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One file of a layer; ``names`` are those of its cloud, environment or site, ``path`` is from the project's folder."""

    layer: PolicyLayer
    names: tuple[str, ...]
    path: str
    document: Document


def layer_of(path: Path) -> tuple[str, ...]:
    """The folders of the layer that a file is in, wherever its project is; empty for a file elsewhere."""
    parts = path.parts
    for at, part in enumerate(parts[:-1]):
        layer = _BY_WORD.get(part) if at and parts[at - 1] == FOLDER else None
        if layer and len(parts) - 1 - at >= layer.depth:
            return parts[at : at + layer.depth]
    return ()


def has_policies(folder: Path) -> bool:
    """Whether a project has a folder of policies."""
    return os.path.lexists(folder / FOLDER)


def read_policies(folder: Path, label: str, problems: list[Problem]) -> tuple[PolicyFile, ...]:
    """Every file of every layer, in order; none without the folder. What is wrong is added to ``problems``."""
    if not has_policies(folder):
        return ()
    found = []
    for path, relative in policy_paths(folder, label, problems):
        source = str(Path(label) / relative)
        parts = relative.parts[1:-1]
        layer = _BY_WORD.get(parts[0]) if parts else None
        if layer is None or len(parts) < layer.depth:
            problems.append(Problem(source, 0, 0, "is not in a layer", _LAYOUT))
            continue
        document = read(path, source, problems, numbers_are_keys=True)
        found.append(PolicyFile(layer, parts[1 : layer.depth], relative.as_posix(), document))
    return tuple(sorted(found, key=lambda one: (one.layer, one.names, one.path)))


def policy_paths(folder: Path, label: str, problems: list[Problem]) -> Iterator[tuple[Path, Path]]:
    """Each .yaml file below policies/, with its path from the project's folder; hidden ones are left out."""
    start = folder / FOLDER
    source = str(Path(label) / FOLDER)
    if not _is_inside(start, folder) or not start.is_dir():
        problems.append(Problem(source, 0, 0, "is not a folder of this project", "make it a folder beside meshinstall.yaml, not a link"))
        return
    for count, entry in enumerate(_entries(start, Path(FOLDER), label, problems)):
        if count == MAX_ENTRIES:
            problems.append(Problem(source, 0, 0, f"has more than {MAX_ENTRIES} files and folders", "is this the right folder?"))
            return
        if isinstance(entry, tuple):
            yield entry


def _entries(at: Path, relative: Path, label: str, problems: list[Problem]) -> Iterator[tuple[Path, Path] | None]:
    """Files, and None for what else was looked at."""
    try:
        with os.scandir(at) as listed:
            # Sorted, so that what is told does not depend on the disk; one more than all is enough to refuse.
            names = sorted(entry.name for entry, _ in zip(listed, range(MAX_ENTRIES + 1), strict=False) if not entry.name.startswith("."))
    except OSError as error:
        problems.append(Problem(str(Path(label) / relative), 0, 0, f"cannot be read: {error.strerror}"))
        return
    for name in names:
        path, inner = at / name, relative / name
        if wrong := _wrong(path, at, name, len(inner.parts)):
            problems.append(Problem(plain(Path(label) / inner), 0, 0, *wrong))
            yield None
        elif path.is_dir():
            yield None
            yield from _entries(path, inner, label, problems)
        else:
            yield (path, inner) if path.suffix == ".yaml" else None


def _wrong(path: Path, at: Path, name: str, depth: int) -> tuple[str, str] | None:
    """What is wrong with a file or folder before it is opened, and what to do."""
    if not name.isprintable():
        return "has a name with characters that do not print", "rename it"
    if depth > MAX_DEPTH + 1:
        return f"is more than {MAX_DEPTH} folders deep", _LAYOUT
    try:
        is_link, mode = stat.S_ISLNK(path.lstat().st_mode), path.stat().st_mode
    except (OSError, RuntimeError):
        return "is a link that leads nowhere", "put the file itself there"
    root = next(parent for parent in (at, *at.parents) if parent.name == FOLDER)
    if is_link and (stat.S_ISDIR(mode) or not _is_inside(path, root)):
        return "is a link to a folder, or out of policies/; it is not followed", "put the file itself there"
    return _wrong_kind(path, mode)


def _wrong_kind(path: Path, mode: int) -> tuple[str, str] | None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return "is neither a file nor a folder", "remove it"
    if path.suffix in _OTHER_ENDINGS and not stat.S_ISDIR(mode):
        return "only .yaml files are read", f"rename it to {path.stem}.yaml"
    return None


def _is_inside(path: Path, folder: Path) -> bool:
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False
