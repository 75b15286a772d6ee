"""Runs the asynchronous work of a command so that Ctrl-C and SIGTERM end it in order."""

import signal
from collections.abc import Awaitable, Callable

from meshinstall.errors import InterruptedRunError


def run(work: Callable[[], Awaitable[None]], interrupted: str, hint: str) -> None:
    """Run to the end; raises InterruptedRunError with these words when the user, or a job's time limit, ends it."""
    import anyio

    # A job's time limit ends like Ctrl-C: helm is ended, the lock given back, probes removed.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        anyio.run(work)
    except KeyboardInterrupt:
        # Here and not in main: click would turn it into a silent exit.
        raise InterruptedRunError(interrupted, hint) from None


def _interrupt(*_: object) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in a shell's background job; that hides Ctrl-C from us and must not hide this.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
