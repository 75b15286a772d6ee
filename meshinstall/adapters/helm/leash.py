"""Ends what was started with the process that started it, also when that one is killed: no helm may work beside the next run.

A shell of its own session hears of each process group and waits for the end of its input, which the kernel brings when we are no more.
Nothing needs to run between fork and exec, where a process with threads cannot safely run anything.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, cast

_SCRIPT = """
trap '' HUP INT TERM
groups=" "
while read -r sign group; do
  case $sign in
    +) groups="$groups$group " ;;
    -) groups="${groups%% $group *} ${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
"""


class Leash:
    """The shell, which is there while something is held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shell: subprocess.Popen[bytes] | None = None
        self._held = 0

    @contextmanager
    def holding(self, group: int) -> Iterator[None]:
        """A block in which a process group ends with us."""
        with self._lock:
            self._held += 1
            self._tell(f"+ {group}\n")
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1
                self._tell(f"- {group}\n")
                if not self._held and self._shell:
                    self._shell.communicate()
                    self._shell = None

    def _tell(self, line: str) -> None:
        if self._shell is None:
            quiet = subprocess.DEVNULL
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
            )
        # Somebody may have killed it; then a killed run leaves its helm, and nothing else is different.
        with suppress(OSError):
            os.write(cast("IO[bytes]", self._shell.stdin).fileno(), line.encode())


LEASH = Leash()
