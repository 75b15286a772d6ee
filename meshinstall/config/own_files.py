"""The files of a project as they are, for a machine that has no checkout of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from meshinstall.config.layer_files import has_policies, policy_paths
from meshinstall.config.lockfile import NAME as LOCK
from meshinstall.config.project import FILE_NAME, FOLDERS, Project
from meshinstall.config.source import MAX_BYTES
from meshinstall.errors import UsageError


def own_files(project: Project) -> Mapping[str, str]:
    """The text of each file that a run of this project reads, by its path from the project's folder.

    Raises UsageError for a project without meshinstall.yaml, for charts in a folder beside it, and for what cannot be read.
    """
    if not (project.folder / FILE_NAME).is_file():
        raise UsageError(f"a job needs a {FILE_NAME}, and this project has only the built-in files", "meshinstall init writes an example")
    source = project.settings.charts.source
    if "://" not in source and not Path(source).is_absolute():
        raise UsageError(
            f"charts.source is the folder {source}, which the job does not have ({project.document.source}:{_line(project)})",
            "name a registry, or a folder of the image by its absolute path",
        )
    return project_files(project)


def project_files(project: Project) -> Mapping[str, str]:
    """The same of any project; empty without meshinstall.yaml.

    Raises UsageError for what cannot be read.
    """
    if not (project.folder / FILE_NAME).is_file():
        return {}
    paths = [*_paths(project.folder), *_policies(project.folder)]
    return {path.relative_to(project.folder).as_posix(): _text(path) for path in paths}


def _policies(folder: Path) -> Iterator[Path]:
    """What is wrong with any was told when the project was read."""
    if has_policies(folder):
        yield from (path for path, _ in policy_paths(folder, "", []))


def _line(project: Project) -> int:
    return project.document.positions.get(("charts", "source"), (1, 1))[0]


def _paths(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in (FILE_NAME, LOCK) if (folder / name).is_file())
    for name in FOLDERS:
        yield from sorted((folder / name).glob("*.yaml"))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start})") from error
