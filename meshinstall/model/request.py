"""What a command line asks for, before any file is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from meshinstall.model.cluster_ref import Cloud


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One environment of a project, or a cluster without one; what is None or empty is taken from the files.

    ``config`` is meshinstall.yaml or its folder. ``files`` are RELEASE=FILE, ``sets`` and ``set_strings``
    RELEASE.KEY=VALUE, in the order given. ``cluster`` has the keys of ``cluster`` in meshinstall.yaml and goes over
    them. A relative path counts from ``folder``. ``revisions`` stands for ``istio.revisions``: an upgrade gives a mesh revisions before
    its files say so.
    """

    environment: str = ""
    cloud: Cloud | None = None
    config: Path | None = None
    profile: str | None = None
    files: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    set_strings: tuple[str, ...] = ()
    cluster: Mapping[str, str] = field(default_factory=dict)
    charts: str | None = None
    istio_version: str | None = None
    revisions: bool | None = None
    folder: Path = field(default_factory=Path.cwd)
