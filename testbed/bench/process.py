"""Runs one program and measures it."""

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from testbed.errors import TestbedError

# Seconds between two looks at the program's memory.
_LOOK = 0.02
# Bytes of a failed program's stderr that are shown.
_TAIL = 2000


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds on the clock, seconds of CPU with all children, and the largest resident set without them in bytes."""

    seconds: float
    cpu: float
    memory: int


def measure(argv: Sequence[str], env: Mapping[str, str], status: int = 0) -> Cost:
    """Run ``argv`` to its end with ``env`` added to the environment.

    Raises TestbedError with the end of its stderr when it ends with another ``status``.
    """
    memory = 0
    with TemporaryFile() as said:
        started = time.monotonic()
        process = subprocess.Popen(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        end = os.pidfd_open(process.pid)
        while not select.select([end], [], [], _LOOK)[0]:
            memory = max(memory, _peak(process.pid))
        seconds = time.monotonic() - started
        os.close(end)
        _, wait_status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(wait_status)
        if process.returncode != status:
            said.seek(max(0, said.seek(0, os.SEEK_END) - _TAIL))
            message = f"{' '.join(argv)} ended with {process.returncode}, not {status}:\n{said.read().decode(errors='replace')}"
            raise TestbedError(message)
    return Cost(seconds, usage.ru_utime + usage.ru_stime, memory)


def _peak(pid: int) -> int:
    # The kernel's ru_maxrss would count what our own process held before the program replaced it.
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
