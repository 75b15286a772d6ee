"""A constant load of HTTP requests: those of clients that come anew, and those of one client that keeps its connection."""

import http.client
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

# Seconds between two requests of a kind, and for one answer.
_PERIOD = 0.02
_PATIENCE = 5.0
# Requests of a kind: five minutes, which is more than a test should take.
_MOST = 15_000

Ask = Callable[[], None]


@dataclass(slots=True)
class Load:
    """What came of the requests so far; ``failures`` holds a line for each that was not answered with 200."""

    answered: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class _WrongAnswerError(Exception):
    """An answer with another status than 200."""


class _Fresh:
    """A connection for each request."""

    def __init__(self, host: str) -> None:
        self._host = host

    def __call__(self) -> None:
        connection = http.client.HTTPConnection(self._host, timeout=_PATIENCE)
        try:
            _get(connection)
        finally:
            connection.close()


class _Kept:
    """One connection for as long as the server wants it.

    A server that ends it must say so in an answer before, as Envoy does while it drains: a request that meets its end is a failed one.
    """

    def __init__(self, host: str) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=_PATIENCE)

    def __call__(self) -> None:
        # It opens itself again after an answer that announced its end.
        try:
            _get(self._connection)
        except BaseException:
            self._connection.close()
            raise


def _get(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    if answer.status != http.HTTPStatus.OK:
        message = f"status {answer.status}"
        raise _WrongAnswerError(message)


@contextmanager
def load(host: str) -> Iterator[Load]:
    """Ask ``host`` (or host:port) in both ways until the block ends, and once more after it; every failure is printed."""
    found, ended = Load(), threading.Event()
    threads = [
        threading.Thread(target=_run, args=(kind, ask, found, ended)) for kind, ask in (("fresh", _Fresh(host)), ("kept", _Kept(host)))
    ]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ended.set()
        for thread in threads:
            thread.join()
        told = [f"{number} {kind} requests were answered" for kind, number in found.answered.items()]
        sys.stderr.writelines(f"{line}\n" for line in (*told, *found.failures))


def _run(kind: str, ask: Ask, found: Load, ended: threading.Event) -> None:
    found.answered[kind] = 0
    for _ in range(_MOST):
        is_last, began = ended.is_set(), time.monotonic()
        try:
            ask()
        except (OSError, http.client.HTTPException, _WrongAnswerError) as error:
            found.failures.append(f"{datetime.now(UTC):%H:%M:%S.%f} {kind}: {type(error).__name__}: {error}")
        else:
            found.answered[kind] += 1
        if is_last:
            return
        ended.wait(max(0.0, _PERIOD - (time.monotonic() - began)))
    found.failures.append(f"{kind}: stopped after {_MOST} requests, before the end of what it should watch")
