"""Reads the bodies of answers in pieces, within a limit of bytes and a deadline."""

import math
import time
from collections.abc import Callable, Iterator

_PIECE = 64 * 1024


class TooLongError(ValueError):
    """A body has more bytes than its limit."""


class TooSlowError(TimeoutError):
    """An exchange, or the body of its answer, did not end in time."""


def read_pieces(read: Callable[[int], bytes], limit: int, end: float = math.inf) -> Iterator[bytes]:
    """The pieces of a body as they arrive; raises TooLongError after ``limit`` bytes, TooSlowError after ``end`` (time.monotonic).

    ``read`` is the body's ``read1``, which returns with what has come: ``read`` and ``stream`` wait until a piece is full,
    however slowly it drips, and no clock is looked at meanwhile.
    """
    size = 0
    while piece := read(_PIECE):
        size += len(piece)
        if size > limit:
            raise TooLongError(f"more than {limit // 1024**2} MiB")
        if time.monotonic() > end:
            raise TooSlowError("the answer took too long")
        yield piece
