"""Names this process for others, and knows which processes of this machine live."""

import getpass
import os
import re
import secrets
import socket
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_PROC = Path("/proc")
# ``user@host/boot-namespace[-nonce]/pid-start``; runs of older versions have no nonce.
_HOLDER = re.compile(r"[^/]*@(?P<host>[^/@]+)/(?P<place>[0-9a-f]+-[0-9]+)(?:-[0-9a-f]+)?/(?P<pid>[0-9]{1,10})-(?P<start>[0-9]*)", re.ASCII)


class Life(Enum):
    """Whether a process lives; UNKNOWN where it cannot be seen from here."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine this process runs on: ``proc`` is where its processes are listed, ``host`` its name."""

    proc: Path = _PROC
    host: str = ""

    def who(self) -> str:
        """A name for people that no other run has: the nonce tells apart two machines, or containers, that look the same."""
        pid = os.getpid()
        return f"{_user()}@{self._host()}/{self._place()}-{secrets.token_hex(4)}/{pid}-{self._stat(pid)[1]}"

    def life(self, holder: str) -> Life:
        """Whether the process that ``who`` named lives.

        A process number means something only on its own machine, since its boot and in its PID namespace. What /proc does not
        show may live all the same (hidepid): only the kernel's answer to a signal, or another start time, says that it is dead.
        """
        found = _HOLDER.fullmatch(holder)
        if not found or found["host"] != self._host() or found["place"] != self._place():
            return Life.UNKNOWN
        pid = int(found["pid"])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return Life.DEAD
        except (OSError, OverflowError):  # EPERM: it is another user's
            pass
        state, start = self._stat(pid)
        # A zombie does nothing, but threads of it may.
        if not start or not found["start"] or (start == found["start"] and state == "Z"):
            return Life.UNKNOWN
        return Life.ALIVE if start == found["start"] else Life.DEAD

    def _host(self) -> str:
        return self.host or socket.gethostname()

    def _place(self) -> str:
        """What tells apart all places with process numbers of their own; empty where that cannot be known."""
        try:
            boot = (self.proc / "sys/kernel/random/boot_id").read_text()[:8]
            return f"{boot}-{(self.proc / 'self/ns/pid').stat().st_ino}"
        except OSError:
            return ""

    def _stat(self, pid: int) -> tuple[str, str]:
        """The state of a process, and when it began in the kernel's ticks; empty when that is not shown."""
        try:
            fields = (self.proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
            return fields[0], fields[19]
        except (OSError, IndexError):
            return "", ""


def seconds() -> float:
    """A clock that nobody sets and that also counts while the machine sleeps, where the system has one (Linux: clock_gettime(2))."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _user() -> str:
    """The user's name; the number where a container runs as one that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError: Pythons before 3.13
        return f"uid-{os.getuid()}"
