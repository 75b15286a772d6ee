"""Builds what is missing, several parts at once, safe to interrupt and resume."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

from testbed.build.part import Part, closure, keys
from testbed.build.workshop import Workshop
from testbed.machine import GIB

# Seconds between two lines that say what is still being built.
_HEARTBEAT = 30
# A Go link of Kubernetes takes over a gigabyte: one at a time on small machines.
_MEMORY_FOR_TWO = 7 * GIB

Say = Callable[[str], None]


def build(parts: Mapping[str, Part], wanted: tuple[str, ...], cache: Path, say: Say) -> Workshop:
    """Build the parts in ``wanted`` and what they need; return where they are.

    A part is built in a temporary folder and renamed when whole, under a lock
    of its own, so an interrupted build leaves nothing half-made and two
    builds at once do the work once. Raises TestbedError when a part fails.
    """
    workshop = Workshop(cache, keys(parts))
    missing = {name for name in closure(parts, wanted) if not workshop.part(name).exists()}
    if not missing:
        return workshop
    for folder in ("parts", "logs", "locks", "tmp"):
        (cache / folder).mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    _build_missing(parts, missing, workshop, say)
    say(f"built {len(missing)} parts in {_clock(started)}")
    return workshop


def _build_missing(parts: Mapping[str, Part], missing: set[str], workshop: Workshop, say: Say) -> None:
    jobs = 2 if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >= _MEMORY_FOR_TWO else 1
    waiting = sorted(missing, key=lambda name: -parts[name].seconds)
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or running:
            ready = [name for name in waiting if not any(need in waiting or need in running.values() for need in parts[name].needs)]
            for name in ready[: jobs - len(running)]:
                waiting.remove(name)
                running[pool.submit(_build_one, parts[name], workshop, say)] = name
            done, _ = wait(running, timeout=_HEARTBEAT, return_when=FIRST_COMPLETED)
            if not done:
                say(f"still building {', '.join(running.values())}; then {', '.join(waiting) or 'done'}")
            for future in done:
                del running[future]
                future.result()


def _build_one(part: Part, workshop: Workshop, say: Say) -> None:
    with _locked(workshop.cache / "locks" / part.name):
        target = workshop.part(part.name)
        if target.exists():
            return
        started = time.monotonic()
        say(f"building {part.name}")
        draft = workshop.cache / "tmp" / target.name
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        workshop.log(part.name).unlink(missing_ok=True)
        part.build(workshop, draft)
        draft.rename(target)
        say(f"built {part.name} in {_clock(started)}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _clock(started: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    return f"{minutes}:{seconds:02}"
