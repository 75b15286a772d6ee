"""Projects of a user, resolved."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Desired, Release
from meshinstall.model.request import Request

Write = Callable[[Mapping[str, str]], Path]

HEAD = "apiVersion: meshinstall.dev/v1\n"


def resolved(folder: Path, **request: Any) -> Desired:
    """Environment dev on a local cluster, unless the request says otherwise, with the files of a folder."""
    asked: dict[str, Any] = {"environment": "dev", "cloud": Cloud.LOCAL, "folder": folder} | request
    return resolve(Request(**asked), load_project(None, {}, folder))


def release(desired: Desired, name: str) -> Release:
    """The release of a name."""
    return next(each for each in desired.releases if each.key.name == name)
