"""Whether this machine can carry the testbed, asked before any work.

Standard library only: it runs with the system's Python before anything is
installed (``python3 -m testbed.machine FOLDER``).
"""

import os
import platform
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3
MIN_DISK = 15 * GIB
MIN_MEMORY = 4 * GIB
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
MIN_INSTANCES = 1024


@dataclass(frozen=True, slots=True)
class Machine:
    """What the testbed asks of a machine; sizes in bytes."""

    system: str
    architecture: str
    has_apt: bool
    is_root: bool
    memory: int
    free_disk: int
    cached: bool


def inspect(cache: Path) -> Machine:
    """Read the machine's facts; ``cache`` is the folder that parts are built in."""
    folder = next(parent for parent in (cache, *cache.parents) if parent.exists())
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        has_apt=shutil.which("apt-get") is not None,
        is_root=os.geteuid() == 0,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        free_disk=shutil.disk_usage(folder).free,
        cached=(cache / "parts").is_dir(),
    )


def objection(machine: Machine) -> str | None:
    """Return one sentence on why this machine will not do, or None.

    The disk is asked for only before a first build: a cache that is there has
    already taken its space.
    """
    if (machine.system, machine.architecture) != ("Linux", "x86_64") or not machine.has_apt:
        return (
            f"The testbed needs Debian or Ubuntu on x86-64, and this is {machine.system} on "
            f"{machine.architecture}{'' if machine.has_apt else ' without apt-get'}; "
            "with a cluster of your own you need no testbed (README, 'Your own cluster')."
        )
    if not machine.is_root:
        return "The testbed makes network namespaces and cgroups and needs root: run it again with sudo."
    # A "4 GB" machine shows a little less to its system.
    if machine.memory < MIN_MEMORY * 0.9:
        return f"The testbed needs 4 GB of memory; this machine has {machine.memory / GIB:.1f} GB."
    if not machine.cached and machine.free_disk < MIN_DISK:
        return (
            f"The testbed needs 15 GB of free disk to build its parts; there are {machine.free_disk / GIB:.1f} GB. "
            "Free some, or point XDG_CACHE_HOME at a larger disk."
        )
    return None


def allow_watches() -> None:
    """Raise how many inotify instances root may have: each agent of a proxy takes one, and 128 are few for two clusters.

    Where this machine forbids it, the limit stays.
    """
    with suppress(OSError):
        if int(INSTANCES.read_text()) < MIN_INSTANCES:
            INSTANCES.write_text(str(MIN_INSTANCES))


def main() -> int:
    """Print the objection, if any; exit status 1 then."""
    answer = objection(inspect(Path(sys.argv[1])))
    if answer:
        print(answer, file=sys.stderr)
    return 1 if answer else 0


if __name__ == "__main__":
    sys.exit(main())
