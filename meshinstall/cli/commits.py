"""What Git says of a site: the files of a folder, or of a commit, of which anything is hostile: plain files, in a folder of their own."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from meshinstall.cli.request_options import arguments
from meshinstall.cli.target import warn
from meshinstall.errors import ConfigError, UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.config.project import Project
    from meshinstall.engine.drifting.remedies import Way
    from meshinstall.engine.report.drift import Asked
    from meshinstall.model.cluster import ClusterRef


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


def files_of(request: Request, cluster: "ClusterRef", project: "Project | None" = None) -> "Asked":
    """A site as files have it: those of the folder, unless ``project`` has others. Raises ConfigError for what cannot be read."""
    from meshinstall.config import lockfile
    from meshinstall.config.project import load_project
    from meshinstall.engine.report.drift import Asked
    from meshinstall.engine.report.render import Means
    from meshinstall.wiring import lock_path, open_charts, open_helm

    project = project or load_project(request.config, os.environ, Path.cwd())
    means = Means(open_charts(warn), lockfile.load(lock_path(project)), open_helm())
    return Asked(request, project, means, f"the files of {project.folder}", way_of(request, cluster))


def way_of(request: Request, cluster: "ClusterRef") -> "Way":
    """By which options meshinstall and kubectl reach a cluster."""
    from meshinstall.engine.drifting.remedies import Way

    kubectl = [("--context", cluster.context), ("--kubeconfig", cluster.kubeconfig)]
    flags = tuple(text for name, value in kubectl if value for text in (name, str(value)))
    return Way(arguments(request), arguments(request, cluster=False), flags)
