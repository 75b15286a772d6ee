"""A response that does not end, read through a gateway: it may end when the announced drain of a pod is over, and not else."""

import http.client
import sys
import threading
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from urllib3.exceptions import HTTPError

from testbed.api import Api
from testbed.waiting import until

# Seconds without a byte after which a stream has failed: its server sends ten lines a second.
_SILENCE = 5.0
# Seconds for which a proxy serves on after it was told to end (istio: terminationDrainDuration), and how exactly its end is seen.
DRAIN = 5.0
_EXACT = 1.0
# Seconds between two looks at a gateway's pods.
_LOOK = 0.2
# Streams that one test may open, one after the other.
_MOST = 200


@dataclass(slots=True)
class Streams:
    """What came of the streams so far: lines in their order, ends that were announced, and a line for each other end or gap."""

    lines: int = 0
    drained: int = 0
    failures: list[str] = field(default_factory=list)


Look = Callable[[], AbstractSet[str] | None]


@dataclass(frozen=True, slots=True)
class _Ending:
    """A pod began to end between two looks: when the one that did not show it yet began, and when the other was done."""

    earliest: float
    latest: float


class Drains:
    """When pods began to end; ``look`` gives the UIDs of those that are ending, None while that cannot be known.

    On a busy machine a look may come late: what it shows may have begun as early as the look before.
    """

    def __init__(self, look: Look, drain: float = DRAIN, clock: Callable[[], float] = time.monotonic) -> None:
        self._look, self._drain, self._clock = look, drain, clock
        self._seen: dict[str, _Ending] = {}

    def watch(self, ended: threading.Event) -> None:
        """Look until the event is set."""
        before = self._clock()
        while not ended.is_set():
            began, found = self._clock(), self._look()
            if found is not None:
                for uid in found:
                    self._seen.setdefault(uid, _Ending(before, self._clock()))
                before = began
            ended.wait(_LOOK)

    def announced(self, began: float) -> bool:
        """Whether a stream that began then may end now: a pod that it could have is ending, and its drain is over."""
        now = self._clock()
        ours = (seen for seen in list(self._seen.values()) if seen.latest >= began - self._drain)
        return any(now - seen.earliest >= self._drain - _EXACT for seen in ours)


def ending_pods(api: Api, namespace: str, app: str) -> Look:
    """A look at the pods of a gateway that are being deleted, for a thread of its own; None while the API server is away."""
    path = f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}"

    def look() -> frozenset[str] | None:
        try:
            found = api.get(path)
        except HTTPError:
            return None
        pods = (pod["metadata"] for pod in found["items"])
        return frozenset(pod["uid"] for pod in pods if "deletionTimestamp" in pod)

    return look


@contextmanager
def streams(host: str, path: str, look: Look, *, of: str = "", drain: float = DRAIN) -> Iterator[Streams]:
    """Read numbered lines from ``host`` until the block ends; a stream that ends is followed by the next. Every failure is printed."""
    found, ended, drains = Streams(), threading.Event(), Drains(look, drain)
    reader = threading.Thread(target=_read, args=(host, path, drains, found, ended))
    watcher = threading.Thread(target=drains.watch, args=(ended,))
    for thread in (reader, watcher):
        thread.start()
    try:
        until(lambda: found.lines or found.failures, _SILENCE * 2, lambda: f"no line of the stream {of} came")
        yield found
    finally:
        ended.set()
        for thread in (reader, watcher):
            thread.join()
        told = f"stream {of}: {found.lines} lines, {found.drained} ends that were announced"
        sys.stderr.writelines(f"{line}\n" for line in (told, *found.failures))


class _EndedError(Exception):
    """The stream ended without a reset: FIN, or the end of the response."""


class _WrongError(Exception):
    """What came is not what was sent."""


def _read(host: str, path: str, drains: Drains, found: Streams, ended: threading.Event) -> None:
    for _ in range(_MOST):
        began, before = time.monotonic(), found.lines
        try:
            with closing(http.client.HTTPConnection(host, timeout=_SILENCE)) as connection:
                _follow(connection, path, found, ended)
        except _EndedError:
            if drains.announced(began):
                found.drained += 1
            else:
                _fail(found, f"ended after {found.lines - before} lines, and no drain that was over explains it")
        except (OSError, http.client.HTTPException, _WrongError) as error:
            _fail(found, f"{type(error).__name__}: {error} after {found.lines - before} lines")
        if ended.is_set():
            return
    _fail(found, f"stopped after {_MOST} streams, before the end of what it should watch")


def _follow(connection: http.client.HTTPConnection, path: str, found: Streams, ended: threading.Event) -> None:
    """Count lines until the event is set; raises _EndedError, _WrongError, OSError or HTTPException."""
    connection.request("GET", path)
    answer = connection.getresponse()
    if answer.status != http.HTTPStatus.OK:
        message = f"status {answer.status}"
        raise _WrongError(message)
    rest, number = b"", 0
    while not ended.is_set():
        try:
            data = answer.read1(4096)
        except http.client.IncompleteRead as error:
            raise _EndedError from error
        if not data:
            raise _EndedError
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            number += 1
            if line != str(number).encode():
                message = f"{line!r} came in place of {number}"
                raise _WrongError(message)
        found.lines += len(lines)


def _fail(found: Streams, text: str) -> None:
    found.failures.append(f"{datetime.now(UTC):%H:%M:%S.%f} stream: {text}")
