"""The end of one exchange with a peer, which holds whatever the peer does: a monotonic time, and a way to cut what waits for it.

A timeout of a socket begins again with every byte. So a thread that waits for a peer is not trusted to look at a clock: who waits
for the thread cuts its connection when the time is over, and every read and write of it ends.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import anyio.to_thread

from meshinstall.adapters.net.bodies import TooSlowError

_Answer = TypeVar("_Answer")
_Pool = TypeVar("_Pool")


class Deadline:
    """``seconds`` from now on for everything that an exchange does; ``clock`` is monotonic, in seconds. Safe for several threads."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._end = clock() + seconds
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._connection: Any = None

    def left(self) -> float:
        """Seconds that remain, more than none; raises TooSlowError when there are none, or nobody waits any more."""
        left = self._end - self._clock()
        if self._over.is_set() or left <= 0:
            raise self.passed()
        return left

    @property
    def is_cut(self) -> bool:
        """Whether nobody waits any more."""
        return self._over.is_set()

    def passed(self) -> TooSlowError:
        """The error for an exchange that took too long."""
        return TooSlowError(f"not done within {self.seconds:g} s")

    def pause(self, seconds: float) -> None:
        """Wait in a thread, but not beyond the end; raises TooSlowError."""
        self._over.wait(min(seconds, self.left()))
        self.left()

    def hold(self, connection: Any) -> None:
        """Cut ``connection`` when the time is over: what has its socket as ``sock``, now or later. Raises TooSlowError."""
        with self._lock:
            self._connection = connection
        self.left()

    def let_go(self) -> None:
        """Leave the connection to others."""
        with self._lock:
            self._connection = None

    def cut(self) -> None:
        """Let every wait of the thread end now."""
        self._over.set()
        with self._lock:
            _shut_down(getattr(self._connection, "sock", None) or getattr(self._connection, "wire", None))


_CURRENT: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def held(pool: _Pool) -> _Pool:
    """A pool manager of urllib3 whose connections are cut at the deadline of the exchange that uses them."""
    manager: Any = pool
    manager.pool_classes_by_scheme = {scheme: _held(kind) for scheme, kind in manager.pool_classes_by_scheme.items()}
    return pool


@cache
def _held(pool: Any) -> Any:
    """A class of pools, with connections that are known to the deadline of their thread before they connect and before they ask."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc] # a class of urllib3 or for SOCKS
        def connect(self) -> None:
            hold(self)
            super().connect()

        def request(self, *args: Any, **settings: Any) -> None:
            hold(self)
            super().request(*args, **settings)

        def getresponse(self) -> Any:
            # Where the end of the connection is the end of the body, the answer alone keeps the socket.
            self.wire = self.sock
            return super().getresponse()

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


def hold(connection: Any) -> None:
    """Cut ``connection`` at the deadline of the exchange that this thread is in, if it is in one; raises TooSlowError."""
    if deadline := _CURRENT.get():
        deadline.hold(connection)


async def run_before(deadline: Deadline, call: Callable[[], _Answer], grace: float = 0.0) -> _Answer:
    """The answer of a blocking ``call``, in a thread; raises TooSlowError when it does not come in time.

    Whoever gives up earlier takes the connection with him. ``grace`` are seconds for the thread to tell better than that what it
    waited for.
    """

    def work() -> _Answer:
        # The context of a thread is a copy: nobody else sees this.
        _CURRENT.set(deadline)
        try:
            return call()
        finally:
            deadline.let_go()

    try:
        with anyio.fail_after(deadline.left() + grace):
            return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
    except TimeoutError as error:
        raise deadline.passed() from error
    finally:
        deadline.cut()


def _shut_down(wire: Any) -> None:
    if not isinstance(wire, socket.socket):
        # TLS inside TLS, to a proxy: what is below it.
        wire = getattr(wire, "socket", None)
    if isinstance(wire, socket.socket):
        with suppress(OSError):  # not connected yet, which has a timeout of its own, or closed
            # The plain socket's own: that of TLS forgets its keys while the other thread decrypts.
            socket.socket.shutdown(wire, socket.SHUT_RDWR)
