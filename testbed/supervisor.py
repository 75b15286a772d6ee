"""The first process of a cluster: starts its components, watches them, restarts nothing.

It runs as PID 1 of its own PID, mount and network namespaces
(``python -m testbed.supervisor STATE``), so its end is the end of everything
in the cluster. It tells what it knows in STATE/status.json.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed import inside, spec
from testbed.components import Component, components
from testbed.spec import INSIDE, Spec

# Seconds between two looks at components that are not ready yet.
_LOOK = 0.1
_WATCHED = (signal.SIGCHLD, signal.SIGTERM)


@dataclass(slots=True)
class Process:
    """What is known of one component; times are seconds since the epoch."""

    name: str
    state: str = "waiting"
    pid: int = 0
    since: float = 0.0
    exit: str = ""

    def become(self, state: str) -> None:
        """Enter ``state`` now."""
        self.state, self.since = state, time.time()


class Supervisor:
    """Starts components in the order of what they wait for."""

    def __init__(self, wanted: Iterable[Component], env: dict[str, str], log: Path, status: Path) -> None:
        self._components = {component.name: component for component in wanted}
        self._processes = {name: Process(name) for name in self._components}
        self._env = env
        self._log = log
        self._status = status
        self._told = ""

    def run(self) -> None:
        """Supervise until SIGTERM; the caller has blocked the watched signals."""
        while True:
            self._start_what_can()
            self._ask_who_is_ready()
            self._tell()
            unsettled = any(process.state in {"waiting", "starting"} for process in self._processes.values())
            received = signal.sigtimedwait(_WATCHED, _LOOK if unsettled else 60)
            if received and received.si_signo == signal.SIGTERM:
                return
            self._reap()

    def _start_what_can(self) -> None:
        for name, component in self._components.items():
            process = self._processes[name]
            if process.state == "waiting" and all(self._processes[other].state in {"ready", "done"} for other in component.after):
                process.pid = _spawn(component, self._env, self._log / f"{name}.log")
                process.become("starting")

    def _ask_who_is_ready(self) -> None:
        for name, process in self._processes.items():
            component = self._components[name]
            if process.state == "starting" and not component.once and component.ready():
                process.become("ready")

    def _reap(self) -> None:
        # Orphans of the whole namespace come here too: shims, init containers.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, process in self._processes.items():
                if process.pid == pid:
                    code = os.waitstatus_to_exitcode(status)
                    process.exit = signal.Signals(-code).name if code < 0 else str(code)
                    process.become("done" if self._components[name].once and code == 0 else "died")

    def _tell(self) -> None:
        text = json.dumps([asdict(process) for process in self._processes.values()], indent=2)
        if text != self._told:
            draft = self._status.with_suffix(".new")
            draft.write_text(text)
            draft.rename(self._status)
            self._told = text


def _spawn(component: Component, env: dict[str, str], log: Path) -> int:
    """Start a component in a session of its own, its output appended to ``log``."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        component.argv[0],
        component.argv,
        {**env, **component.env},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
    )


def _environment(of: Spec) -> dict[str, str]:
    debian = Path(of.parts.get("debian", "/"))
    folders = [*of.parts.values(), *(str(debian / "root" / name) for name in ("usr/sbin", "usr/bin", "bin"))]
    return {
        "PATH": ":".join([*folders, "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
        "HOME": str(INSIDE),
        "TMPDIR": str(INSIDE / "tmp"),
        "LD_LIBRARY_PATH": str(debian / "lib"),
        "XTABLES_LIBDIR": str(debian / "root/usr/lib/x86_64-linux-gnu/xtables"),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }


def main() -> None:
    """Prepare the namespaces, then supervise."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    state = Path(sys.argv[1])
    inside.mount_private(state)
    of = spec.load(INSIDE / "spec.json")
    inside.join_network(of)
    Supervisor(components(of, sys.executable), _environment(of), INSIDE / "log", INSIDE / "status.json").run()


if __name__ == "__main__":
    main()
