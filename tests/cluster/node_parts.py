"""Kills what a node, or its API server, consists of, and starts it again as it was, in the namespaces of the cluster."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from testbed import cluster as testbed_cluster
from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import read_process

# Seconds in which a killed process is gone, and in which containerd is there again.
_GONE, _READY = 10, 30
# What containerd writes when it serves the kubelet; it listens before that, and refuses it ("server is not initialized yet").
_BOOTED = b"containerd successfully booted"


def restart(of: Cluster, *programs: str) -> None:
    """Kill these programs with SIGKILL, all at once, and start them again in this order."""
    first = testbed_cluster.first_process(of.spec.name)
    assert first is not None
    found = {program: _find(first, program) for program in programs}
    started = {program: (_words(process / "cmdline"), _words(process / "environ")) for program, process in found.items()}
    boots = _boots(of) if "containerd" in programs else 0
    for process in found.values():
        os.kill(int(process.name), signal.SIGKILL)
    until(lambda: not any(process.exists() for process in found.values()), _GONE, lambda: f"they do not end: {found}")
    nsenter = shutil.which("nsenter") or "nsenter"
    for program, (argv, env) in started.items():
        inside = [nsenter, f"--target={first}", "--net", "--mount", "--pid", *argv]
        log = (os.POSIX_SPAWN_OPEN, 1, str(of.log / f"{program}.log"), os.O_WRONLY | os.O_APPEND, 0)
        variables = dict(word.split("=", 1) for word in env)
        os.posix_spawn(nsenter, inside, variables, setsid=True, file_actions=[log, (os.POSIX_SPAWN_DUP2, 1, 2)])
        if program == "containerd":
            # A kubelet that does not find it ends.
            until(lambda: _boots(of) > boots, _READY, lambda: "containerd does not start again")


def _boots(of: Cluster) -> int:
    """How often containerd has come up."""
    return (of.log / "containerd.log").read_bytes().count(_BOOTED)


def _find(first: int, program: str) -> Path:
    """The process of a program: one that was started again is no child of the cluster's first process."""
    space = _space(Path(f"/proc/{first}"))
    (found,) = (process for process in _called(program) if _space(process) == space)
    return found


def _called(program: str) -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        if read_process(process / "cmdline").partition(b"\0")[0].endswith(f"/{program}".encode()):
            yield process


def _space(process: Path) -> int:
    """The namespace of processes that it is in; zero when it is gone."""
    try:
        return (process / "ns" / "pid").stat().st_ino
    except OSError:
        return 0


def _words(file: Path) -> list[str]:
    return file.read_bytes().decode().split("\0")[:-1]
