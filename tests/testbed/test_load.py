"""The load that upgrades are watched with: what it must see, and what is no failure."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest

from tests.cluster.load import Load, load
from tests.contracts.servers import QuietHandler, Respond, serving

OK = b"hello"


def answer(request: BaseHTTPRequestHandler, status: int = 200, **headers: str) -> None:
    """A whole answer."""
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(OK)))
    request.end_headers()
    request.wfile.write(OK)


def say_nothing_and_end(request: BaseHTTPRequestHandler) -> None:
    """The answer is whole, and then the connection is gone although nothing announced it."""
    answer(request)
    request.close_connection = True


def end_before_the_answer(request: BaseHTTPRequestHandler) -> None:
    """As a proxy that is killed."""
    request.close_connection = True


@pytest.fixture
def watched(until_true: Callable[[Callable[[], bool]], None]) -> Callable[[Respond], Load]:
    """What a load saw of a server once it had two answers, or failures, of each kind."""

    def watch(respond: Respond) -> Load:
        handler = type("Handler", (QuietHandler,), {"do_GET": respond, "protocol_version": "HTTP/1.1"})
        with serving(handler) as address, load(address) as found:
            until_true(lambda: all(asked(found, kind) >= 2 for kind in ("fresh", "kept")))
        return found

    return watch


def asked(found: Load, kind: str) -> int:
    """Requests of a kind that came to an end."""
    return found.answered.get(kind, 0) + len(failed(found, kind))


def failed(found: Load, kind: str) -> list[str]:
    """What failed, without its time."""
    return [line.partition(f" {kind}: ")[2] for line in found.failures if f" {kind}: " in line]


def test_nothing_fails_where_all_is_answered(watched: Callable[[Respond], Load]) -> None:
    found = watched(answer)
    assert found.failures == []
    assert min(found.answered.values()) >= 2


def test_whose_load_it_is_is_in_its_lines() -> None:
    with serving(QuietHandler) as address:
        pass
    with load(address, of="istio-wide") as found:
        pass
    assert set(found.answered) == {"fresh istio-wide", "kept istio-wide"}
    assert failed(found, "fresh istio-wide")[0].startswith("ConnectionRefusedError")


def test_an_end_that_was_announced_is_no_failure(watched: Callable[[Respond], Load]) -> None:
    assert watched(lambda request: answer(request, Connection="close")).failures == []


def test_an_end_that_was_not_announced_fails_who_kept_the_connection(watched: Callable[[Respond], Load]) -> None:
    found = watched(say_nothing_and_end)
    assert failed(found, "fresh") == []
    assert any(line.startswith(("RemoteDisconnected", "ConnectionResetError", "BrokenPipeError")) for line in failed(found, "kept"))


def test_another_status_is_a_failure(watched: Callable[[Respond], Load]) -> None:
    found = watched(lambda request: answer(request, 503))
    assert found.answered == {"fresh": 0, "kept": 0}
    assert {*failed(found, "fresh"), *failed(found, "kept")} == {"_WrongAnswerError: status 503 hello"}


def test_no_answer_is_a_failure(watched: Callable[[Respond], Load]) -> None:
    found = watched(end_before_the_answer)
    assert found.answered == {"fresh": 0, "kept": 0}
    assert len(failed(found, "kept")) >= 2


def test_nobody_there_is_a_failure() -> None:
    with serving(QuietHandler) as address:
        pass
    with load(address) as found:
        pass
    assert failed(found, "fresh")[0].startswith("ConnectionRefusedError")
