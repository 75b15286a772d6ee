"""Requests to servers of every manner, behind what an Envoy shows of them."""

from collections.abc import Callable

import pytest

from meshinstall.adapters.wire import calls
from meshinstall.model.wire import Call, End, Reply, Way
from tests.unit.adapters.wire.peers import CLIENT, OPEN, TARGET, Envoy, Peer, unreachable

ASK = Call(TARGET, Way.MESH_HTTP, b"GET / HTTP/1.1\r\nhost: web\r\n\r\n")
DENIED = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 19\r\nServer: istio-envoy\r\n\r\nRBAC: access denied"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for what never comes are short."""
    for name in ("_BEGIN", "_HEAD", "_BODY"):
        monkeypatch.setattr(calls, name, 0.1)


def says(*parts: bytes, then: Callable[[Peer], None] = lambda _: None) -> Callable[[Peer], None]:
    """A server that reads one request and answers with these parts."""

    def serve(peer: Peer) -> None:
        peer.answer(200, **{name.replace("-", "_"): value for name, value in OPEN.items()})
        peer.receive()
        for part in parts:
            peer.send(part)
        then(peer)

    return serve


def spoken(serve: Callable[[Peer], None], call: Call = ASK) -> tuple[Reply, Envoy]:
    """What came back, and what the client's Envoy was asked for."""
    envoy = Envoy([serve])
    with envoy.stream() as stream:
        return calls.speak(stream, call), envoy


def test_an_answer_has_its_status_headers_and_the_beginning_of_its_body() -> None:
    reply, envoy = spoken(says(DENIED))
    assert reply.end is End.HEAD
    assert reply.status == 403
    assert reply.headers == {"content-length": "19", "server": "istio-envoy"}
    assert reply.body == "RBAC: access denied"
    assert reply.identity == CLIENT
    assert envoy.seen == [("/mesh-http", "10.0.0.7:8080")]


@pytest.mark.parametrize("parts", [(DENIED[:9], DENIED[9:50], DENIED[50:]), (b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n", DENIED)])
def test_an_answer_in_pieces_and_behind_others_is_the_same(parts: tuple[bytes, ...]) -> None:
    reply, _ = spoken(says(*parts))
    assert (reply.status, reply.body) == (403, "RBAC: access denied")


def test_of_a_long_body_the_beginning_is_looked_at() -> None:
    reply, _ = spoken(says(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000))
    assert reply.body == "x" * 256


@pytest.mark.parametrize(
    ("serve", "end"),
    [
        (says(then=Peer.reset), End.RESET),
        (says(then=Peer.finish), End.CLOSED),
        (says(), End.HELD),
        (says(b"SSH-2.0-x\r\n\r\n"), End.BYTES),
        (says(b"HTTP/1.1 OK\r\n\r\n"), End.BYTES),
        (says(b"HTTP/1.1 200 OK\r\nx: "), End.BYTES),
        (says(b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000), End.BYTES),
    ],
)
def test_what_is_no_answer_is_said_to_be_none(serve: Callable[[Peer], None], end: End) -> None:
    assert spoken(serve)[0].end is end


@pytest.mark.parametrize(("way", "path"), [(Way.PLAIN, "/plain"), (Way.MESH_TCP, "/mesh-tcp")])
def test_bytes_of_tcp_are_answered_by_any_bytes(way: Way, path: str) -> None:
    reply, envoy = spoken(says(b"\x05"), Call(TARGET, way, b"\0\0\1\0\0", speaks_http=False))
    assert reply.end is End.BYTES
    assert envoy.seen[0][0] == path


@pytest.mark.parametrize(("then", "end"), [(Peer.reset, End.RESET), (Peer.finish, End.CLOSED)])
def test_a_greeting_before_the_connection_is_closed_proves_nothing(then: Callable[[Peer], None], end: End) -> None:
    """A server may speak first: a proxy judges a connection of TCP only when the client's first byte is there."""
    call = Call(TARGET, Way.MESH_TCP, b"\0\0\1\0\0", speaks_http=False)
    assert spoken(says(b"SSH-2.0-x\r\n", then=then), call)[0].end is end


def test_a_length_that_no_number_holds_is_none() -> None:
    reply, _ = spoken(says(b"HTTP/1.1 200 OK\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\nbody"))
    assert (reply.status, reply.body) == (200, "body")


def test_without_a_connection_the_reason_is_envoys() -> None:
    reply, _ = spoken(unreachable("x", "delayed_connect_error:_Connection_refused"))
    assert (reply.end, reply.words) == (End.FAILED, "connection refused")


def test_what_is_sent_is_never_shown() -> None:
    assert "GET" not in repr(ASK)
