"""Reads the project of a commit, of which anything is hostile: plain files alone, written into a folder that is nobody else's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from meshinstall.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from meshinstall.config.project import Project


@dataclass(frozen=True, slots=True)
class Side:
    """A commit, written into a folder of its own; ``project`` is None where the commit has no meshinstall.yaml."""

    commit: str
    folder: Path
    project: "Project | None"


def read_side(here: Path, commit: str, folder: Path, tables: Sequence[str] = ()) -> Side:
    """The project that a commit has in ``here``, written into ``folder``, with these files beside it.

    Raises UsageError, and ConfigError with the mistakes in its files.
    """
    from meshinstall.config.layer_files import FOLDER
    from meshinstall.config.project import FILE_NAME, load_project
    from meshinstall.wiring import git

    folder.mkdir(mode=0o700)
    files = git().read_files(here, commit, [FILE_NAME, "meshinstall.lock", "profiles", "values", FOLDER, *tables])
    git().write_files(folder, files)
    if missing := [table for table in tables if table not in files]:
        raise UsageError(f"--test {missing[0]}: not a file of commit {commit[:12]}", "name it from the folder of meshinstall.yaml")
    if FILE_NAME not in files:
        return Side(commit, folder, None)
    try:
        return Side(commit, folder, load_project(folder, {}, folder))
    except ConfigError as error:
        raise placed(error, commit) from None


def placed(error: ConfigError, commit: str) -> ConfigError:
    """The same as git names files of a commit."""
    return ConfigError(tuple(replace(one, source=f"{commit[:12]}:{one.source}") for one in error.problems))
