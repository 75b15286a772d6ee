"""The stream that upgrades are watched with: which ends are right, and what it must see."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

import pytest
from urllib3.exceptions import ProtocolError

from testbed.api import Api, Json
from testbed.waiting import until
from tests.cluster.stream_load import Drains, Streams, ending_pods, streams
from tests.contracts.servers import QuietHandler, serving

# Closes a connection by a reset.
RESET = struct.pack("ii", 1, 0)


class Server:
    """Numbers lines until it is told to end in a way; ``skips`` leaves one number out."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.asked = 0
        self.resets = self.skips = self.says_so = False

    def respond(self, request: BaseHTTPRequestHandler) -> None:
        """A chunk for each line."""
        self.asked += 1
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.close_connection = True
        number = 0
        with suppress(OSError):
            while not self.end.wait(0.01):
                number += 2 if self.skips and number == 3 else 1
                line = f"{number}\n".encode()
                request.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            if self.resets:
                request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                request.connection.close()
            elif self.says_so:
                request.wfile.write(b"0\r\n\r\n")
        self.end.clear()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def address(server: Server) -> Iterator[str]:
    """Where the server is reached."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            server.respond(self)

    with serving(Handler) as found:
        yield found


class Gateway:
    """A look at its pods that are ending."""

    def __init__(self) -> None:
        self.ending: set[str] = set()
        self.looks = 0

    def look(self) -> frozenset[str]:
        """What a watcher sees."""
        found = frozenset(self.ending)
        self.looks += 1
        return found

    def ends(self, uid: str) -> None:
        """A pod begins to end, and is seen."""
        self.ending.add(uid)
        # The look that is under way may have been too early.
        looks = self.looks + 2
        until(lambda: self.looks >= looks, 10, lambda: "nobody looks at the gateway's pods")


def end_one(server: Server, found: Streams) -> None:
    """The stream ends after a line more, and the next one runs."""
    lines, asked = found.lines, server.asked
    until(lambda: found.lines > lines or found.failures, 10, lambda: "no line came")
    server.end.set()
    until(lambda: server.asked > asked, 10, lambda: "no stream followed")
    lines = found.lines
    until(lambda: found.lines > lines, 10, lambda: "the stream that followed has no lines")


def watched(address: str, server: Server, *ending: str, drain: float = 0.0, ends: int = 1) -> Streams:
    """What came of streams that ended, one after the other, after pods were seen to be ending."""
    gateway = Gateway()
    with streams(address, "/", gateway.look, drain=drain) as found:
        for uid in ending:
            gateway.ends(uid)
        for _ in range(ends):
            end_one(server, found)
    return found


@pytest.mark.parametrize("says_so", [False, True])
def test_an_end_after_an_announced_drain_is_right(address: str, server: Server, *, says_so: bool) -> None:
    server.says_so = says_so
    found = watched(address, server, "pod")
    assert found.failures == []
    assert found.drained == 1


@pytest.mark.parametrize("says_so", [False, True])
def test_an_end_that_nothing_announced_is_a_failure(address: str, server: Server, *, says_so: bool) -> None:
    server.says_so = says_so
    found = watched(address, server)
    assert found.drained == 0
    assert "no drain that was over explains it" in found.failures[0]


def test_an_end_before_the_drain_is_over_is_a_failure(address: str, server: Server) -> None:
    found = watched(address, server, "pod", drain=60.0)
    assert found.drained == 0
    assert len(found.failures) == 1


def test_a_drain_does_not_explain_the_end_of_a_stream_that_began_after_it(address: str, server: Server) -> None:
    found = watched(address, server, "pod", ends=2)
    assert found.drained == 1
    assert len(found.failures) == 1


def test_a_reset_is_a_failure_whatever_was_announced(address: str, server: Server) -> None:
    server.resets = True
    found = watched(address, server, "pod")
    assert found.drained == 0
    assert "ConnectionResetError" in found.failures[0]


def test_a_lost_line_is_a_failure(address: str, server: Server) -> None:
    server.skips = True
    with streams(address, "/", frozenset) as found:
        until(lambda: found.failures, 10, lambda: "the gap was not seen")
    assert "b'5' came in place of 4" in found.failures[0]


def test_nobody_there_is_a_failure() -> None:
    with serving(QuietHandler) as address:
        pass
    with streams(address, "/", frozenset) as found:
        pass
    assert "ConnectionRefusedError" in found.failures[0]


class Away(Api):
    """An API server that is being restarted."""

    def __init__(self) -> None:
        """It has no address."""

    def get(self, path: str) -> Json:
        """It ends the connection."""
        raise ProtocolError(path)


def test_while_the_api_server_is_away_it_is_not_known_which_pods_end_and_the_look_goes_on() -> None:
    assert ending_pods(Away(), "istio-ingress", "istio-ingress")() is None


class Seen:
    """Drains of which the looks show this, and the last one takes so many seconds."""

    def __init__(self, *looks: frozenset[str] | None, seconds: float) -> None:
        self._looks, self._seconds = list(looks), seconds
        self._now = 0.0
        self._ended = threading.Event()
        drains = Drains(self._look, 5.0, lambda: self._now)
        drains.watch(self._ended)
        self.announced = drains.announced(began=0.0)

    def _look(self) -> frozenset[str] | None:
        found = self._looks.pop(0)
        if not self._looks:
            self._now += self._seconds
            self._ended.set()
        return found


NONE, POD = frozenset[str](), frozenset({"pod"})


def test_a_pod_that_is_seen_late_may_have_begun_to_end_as_early_as_the_look_before() -> None:
    assert Seen(NONE, POD, seconds=5.0).announced
    assert Seen(NONE, None, POD, seconds=5.0).announced


def test_a_pod_that_is_seen_at_once_has_its_drain_before_it() -> None:
    assert not Seen(NONE, POD, seconds=0.1).announced
