"""Ends what was started with the process that started it, also when that one is killed: no helm may work beside the next run.

A shell of its own session hears of each process and waits for the end of its input, which the kernel brings when we are no more.
Nothing needs to run between fork and exec, where a process with threads cannot safely run anything.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, cast

# Seconds between SIGTERM and SIGKILL for what is ended gently.
GRACE = 2
_SCRIPT = f"""
trap '' HUP INT TERM
hard=" "
soft=" "
while read -r sign target; do
  case $sign in
    +) hard="$hard$target " ;;
    '~') soft="$soft$target " ;;
    -)
      case $hard in *" $target "*) hard="${{hard%% $target *}} ${{hard#* $target }}" ;; esac
      case $soft in *" $target "*) soft="${{soft%% $target *}} ${{soft#* $target }}" ;; esac
      ;;
  esac
done
for target in $hard; do kill -s KILL -- "$target" 2>/dev/null; done
[ "$soft" = " " ] && exit
for target in $soft; do kill -s TERM -- "$target" 2>/dev/null; done
sleep {GRACE}
for target in $soft; do kill -s KILL -- "$target" 2>/dev/null; done
"""

# Waits for a word of ours, on a descriptor that it is told, before it becomes the program: it is held by then, or does not begin.
GATE = ("/bin/sh", "-c", 'IFS= read -r word <"/dev/fd/$1" && [ "$word" = go ] || exit 125; shift; exec "$@"', "sh")
WORD = b"go\n"


class Leash:
    """The shell, which is there while something is held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shell: subprocess.Popen[bytes] | None = None
        self._held = 0

    @contextmanager
    def ready(self) -> Iterator[None]:
        """A block in which the shell is there, so that what starts in it is held without a delay."""
        with self._lock:
            self._held += 1
            if self._shell is None:
                self._start()
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1
                if not self._held and self._shell:
                    self._shell.communicate()
                    self._shell = None

    @contextmanager
    def holding(self, target: int, *, gently: bool = False) -> Iterator[None]:
        """A block in which a process, or with ``-GROUP`` a process group, ends with us; ``gently`` it hears SIGTERM first."""
        with self.ready():
            self._tell(f"{'~' if gently else '+'} {target}\n")
            try:
                yield
            finally:
                self._tell(f"- {target}\n")

    def _start(self) -> None:
        quiet = subprocess.DEVNULL
        argv = ["/bin/sh", "-c", _SCRIPT]
        self._shell = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)

    def _tell(self, line: str) -> None:
        shell = cast("subprocess.Popen[bytes]", self._shell)
        # Somebody may have killed it; then a killed run leaves what it started, and nothing else is different.
        with suppress(OSError):
            os.write(cast("IO[bytes]", shell.stdin).fileno(), line.encode())


LEASH = Leash()
