"""A constant load of HTTP requests: those of clients that come anew, and those of one client that keeps its connection."""

import http.client
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

# Seconds between two requests of a kind, and for one answer.
_PERIOD = 0.02
_PATIENCE = 5.0
# Bytes of a wrong answer that are printed.
_TOLD = 300
# Requests of a kind: a quarter of an hour, which is more than a test should take.
_MOST = 45_000


@dataclass(slots=True)
class Load:
    """What came of the requests so far; ``failures`` holds a line for each that was not answered with 200."""

    answered: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class _WrongAnswerError(Exception):
    """An answer with another status than 200."""


class _Client:
    """One that comes anew for each request, or ``keeps`` its connection for as long as the server wants it.

    A server that ends a kept connection must say so in an answer before, as Envoy does while it drains. A request that meets the end of
    its connection has failed.
    """

    def __init__(self, host: str, *, keeps: bool) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=_PATIENCE)
        self._keeps = keeps

    def ask(self) -> None:
        """One request; raises OSError, HTTPException or _WrongAnswerError. The connection opens itself when it is closed."""
        is_whole = False
        try:
            self._connection.request("GET", "/")
            answer = self._connection.getresponse()
            said = answer.read()[:_TOLD]
            if answer.status != http.HTTPStatus.OK:
                # Envoy says there why it could not answer.
                message = f"status {answer.status} {said.decode(errors='replace')}"
                raise _WrongAnswerError(message)
            is_whole = True
        finally:
            if not (is_whole and self._keeps):
                self.close()

    def close(self) -> None:
        """End the connection, if there is one."""
        self._connection.close()


@contextmanager
def load(host: str, of: str = "") -> Iterator[Load]:
    """Ask ``host`` (or host:port) in both ways until the block ends, and once more after it; every failure is printed.

    ``of`` says in what is printed whose load it is.
    """
    found, ended = Load(), threading.Event()
    clients = {f"fresh {of}".strip(): _Client(host, keeps=False), f"kept {of}".strip(): _Client(host, keeps=True)}
    threads = [threading.Thread(target=_run, args=(kind, client, found, ended)) for kind, client in clients.items()]
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


def _run(kind: str, client: _Client, found: Load, ended: threading.Event) -> None:
    found.answered[kind] = 0
    with closing(client):
        for _ in range(_MOST):
            is_last, began = ended.is_set(), time.monotonic()
            try:
                client.ask()
            except (OSError, http.client.HTTPException, _WrongAnswerError) as error:
                found.failures.append(f"{datetime.now(UTC):%H:%M:%S.%f} {kind}: {type(error).__name__}: {error}")
            else:
                found.answered[kind] += 1
            if is_last:
                return
            ended.wait(max(0.0, _PERIOD - (time.monotonic() - began)))
    found.failures.append(f"{kind}: stopped after {_MOST} requests, before the end of what it should watch")
