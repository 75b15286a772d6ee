"""The cgroup folders that hold a cluster's pods, under every hierarchy of the host.

Control group version 1, version 2 and the hybrid of both: see the kernel's
Documentation/admin-guide/cgroup-v1 and cgroup-v2.
"""

import errno
import os
from pathlib import Path

from testbed.waiting import until

# Seconds for the kernel to finish with processes that were just killed.
_PATIENCE = 10


def hierarchies() -> list[tuple[Path, str]]:
    """Mount point and type (cgroup or cgroup2) of every hierarchy."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [(Path(mount[1]), mount[2]) for mount in mounts if mount[2] in {"cgroup", "cgroup2"}]


def create(name: str) -> None:
    """Make the folder ``name`` in every hierarchy, ready for a kubelet's cgroupRoot."""
    for root, kind in hierarchies():
        folder = root / name
        if kind == "cgroup2":
            available = (root / "cgroup.controllers").read_text().split()
            (root / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in available))
        folder.mkdir(exist_ok=True)
        if kind == "cgroup2" and available:
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in available))
        # A version 1 cpuset starts empty and refuses every process.
        for file in ("cpuset.cpus", "cpuset.mems"):
            if kind == "cgroup" and (folder / file).exists():
                (folder / file).write_text((root / file).read_text())


def remove(name: str) -> None:
    """Remove the folder ``name`` and all below it; its processes have ended."""
    for root, _ in hierarchies():
        for folder, _, _ in os.walk(root / name, topdown=False):
            _remove_empty(Path(folder))


def existing(name: str) -> list[Path]:
    """Folders called ``name`` that are there."""
    return [root / name for root, _ in hierarchies() if (root / name).exists()]


def _remove_empty(folder: Path) -> None:
    until(lambda: _try_to_remove(folder), _PATIENCE, lambda: f"{folder} still holds processes")


def _try_to_remove(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
