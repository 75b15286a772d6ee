"""Runs the work of a command within its time, and so that Ctrl-C, SIGTERM and SIGHUP end it in order."""

import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from meshinstall.errors import ExitStatus, InterruptedRunError, MeshinstallError, OutOfTimeError

_Answer = TypeVar("_Answer")

# A job's time limit and a terminal that goes away end a command like Ctrl-C: helm is ended, the lock given back, probes removed.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds from a signal, or from the end of the command's time, until the process ends whatever it still does.
_ENDING = 4.5

# Slots of a stack, 8 bytes each: more than any command comes to, and only what is used of it becomes memory.
_ROOM = 64 * 1024

INTERRUPTED = "interrupted"
AGAIN = "run the same command again to start over"


def in_one_piece(call: Callable[[], _Answer]) -> _Answer:
    """The answer of a call that has its stack in one piece, as have all calls in it.

    Python takes the stack of a thread from the system in pieces of 16 KiB, and gives one back when the call that needed it ends. A loop
    whose calls cross the border of two pieces does that each time, 7 microseconds: 40 ms for the patterns that an SDK compiles while it
    is imported, where the calls above happen to come to such a depth.
    """
    return call()


# A call that needs so much gets a piece of twice the size, and the rest of it is for the calls in it.
in_one_piece.__code__ = in_one_piece.__code__.replace(co_stacksize=_ROOM)


def run(work: Callable[[], Awaitable[None]], interrupted: str = INTERRUPTED, hint: str = AGAIN, *, seconds: float | None = None) -> None:
    """Run to the end; raises InterruptedRunError with these words when a signal ends it, OutOfTimeError after ``seconds``."""
    import anyio

    timers: list[threading.Timer] = []
    try:
        anyio.run(_attended, work, InterruptedRunError(interrupted, hint), seconds, timers)
    finally:
        for timer in timers:
            timer.cancel()


async def in_thread(call: Callable[[], _Answer], seconds: float | None = None) -> _Answer:
    """The answer of what blocks, such as opening a session: the loop hears signals meanwhile. Raises OutOfTimeError after ``seconds``."""
    import anyio.to_thread

    with anyio.move_on_after(seconds):
        return await anyio.to_thread.run_sync(in_one_piece, call, abandon_on_cancel=True)
    raise _out_of_time(seconds or 0)


def in_time(call: Callable[[], _Answer], seconds: float) -> _Answer:
    """The same without an event loop, whose import takes longer than a credential; nothing needs to be cleaned up then."""
    answers: list[_Answer] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(in_one_piece(call))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise _out_of_time(seconds)
    return answers[0]


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises KeyboardInterrupt at a signal: in a block that waits for a person, the event loop hears of none."""
    before = {number: signal.signal(number, _interrupt) for number in _heard()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _heard() -> list[signal.Signals]:
    """Signals that are not ignored, as nohup and a shell's background jobs have some; SIGTERM always is heard."""
    return [one for one in _SIGNALS if one is signal.SIGTERM or signal.getsignal(one) is not signal.SIG_IGN]


async def _attended(
    work: Callable[[], Awaitable[None]], interrupted: InterruptedRunError, seconds: float | None, timers: list[threading.Timer]
) -> None:
    """``timers`` gets those that end the process."""
    import asyncio

    import anyio

    loop, came = asyncio.get_running_loop(), False
    numbers = _heard()

    def end() -> None:
        nonlocal came
        if not came:
            came = True
            scope.cancel()
            timers.append(_end_later(_ENDING, ExitStatus.INTERRUPTED))

    for number in numbers:
        loop.add_signal_handler(number, end)
    if seconds is not None:
        timers.append(_end_later(seconds + _ENDING, ExitStatus.FAILED))
    try:
        with anyio.CancelScope() as scope, anyio.move_on_after(seconds) as limit:
            await work()
    except MeshinstallError as error:
        if not came or isinstance(error, InterruptedRunError):
            raise
        # What a run tells of its own end, such as a step that was stopped.
        raise interrupted from error
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
    if scope.cancelled_caught:
        raise interrupted
    if limit.cancelled_caught:
        raise _out_of_time(seconds or 0)


def _end_later(seconds: float, status: int) -> threading.Timer:
    """End the process when its event loop does not come to it; a thread of its own, which does not keep the process."""

    def end() -> None:
        os.write(sys.stderr.fileno(), b"meshinstall: ended without having cleaned up everything\n")
        os._exit(status)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    return timer


def _out_of_time(seconds: float) -> OutOfTimeError:
    return OutOfTimeError(
        f"not done within {seconds:g} s, and stopped", "raise --timeout, or check that what it asks (cluster, cloud, registry) answers"
    )
