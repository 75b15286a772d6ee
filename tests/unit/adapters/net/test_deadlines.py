"""The end of an exchange, on a clock that a test turns."""

import socket
from datetime import UTC, datetime
from types import SimpleNamespace

import anyio
import anyio.from_thread
import pytest
from hypothesis import given
from hypothesis import strategies as some

from meshinstall.adapters.net.bodies import TooSlowError
from meshinstall.adapters.net.deadlines import Deadline, run_before
from meshinstall.adapters.net.retry_after import retry_after

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_what_is_left_gets_less_until_it_is_over() -> None:
    clock = Clock()
    deadline = Deadline(10, clock)
    clock.now += 4
    assert deadline.left() == 6
    clock.now += 6
    with pytest.raises(TooSlowError, match="not done within 10 s"):
        deadline.left()


def test_a_deadline_that_is_cut_is_over_and_ends_the_connection() -> None:
    here, there = socket.socketpair()
    with here, there:
        deadline = Deadline(10)
        deadline.hold(SimpleNamespace(sock=here))
        deadline.cut()
        assert there.recv(1) == b""
        with pytest.raises(TooSlowError):
            deadline.pause(1)


def test_a_connection_that_was_let_go_is_not_cut() -> None:
    here, there = socket.socketpair()
    with here, there:
        deadline = Deadline(10)
        deadline.hold(SimpleNamespace(sock=here))
        deadline.let_go()
        deadline.cut()
        here.sendall(b"x")
        assert there.recv(1) == b"x"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_thread_that_waits_for_ever_is_ended() -> None:
    here, there = socket.socketpair()
    ended = anyio.Event()
    deadline = Deadline(0.2)

    def wait() -> bytes:
        deadline.hold(SimpleNamespace(sock=here))
        try:
            return here.recv(1)
        finally:
            anyio.from_thread.run_sync(ended.set)

    with here, there, anyio.fail_after(10):
        with pytest.raises(TooSlowError):
            await run_before(deadline, wait)
        await ended.wait()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("Sun, 29 Nov 2026 12:00:30 GMT", 30),
        ("Sun, 29 Nov 2026 11:00:00 GMT", 0),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
    ],
)
def test_a_server_names_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


@given(some.text())
def test_any_words_of_a_server_are_a_time_or_none(text: str) -> None:
    found = retry_after(text, NOW)
    assert found is None or found >= 0
