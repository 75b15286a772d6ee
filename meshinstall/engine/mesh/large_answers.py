"""Answers of proxies, which any tenant can write: bounded before they are parsed, and read beside the event loop where they are large."""

from collections.abc import Callable
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from meshinstall.errors import ClusterError
from meshinstall.model import json_text

_Answer = TypeVar("_Answer")

# Python parses JSON in one go, in which no other thread runs: so many values take a tenth of a second, and 25 MiB of memory.
_MAX_VALUES = 250_000
# Bytes from which on an answer is read in a thread; one thread, so that there is one such answer in memory as Python's own objects.
_LARGE = 1024**2
_THREADS = 1


def parsed(data: bytes, most: int, values: int = _MAX_VALUES) -> Any:
    """JSON of at most ``most`` bytes and ``values``; raises ClusterError for more, ValueError for what is not JSON."""
    if len(data) > most:
        raise ClusterError(f"its Envoy's configuration is larger than {most // 1024**2} MiB")
    if sum(map(data.count, (b",", b"[", b"{"))) > values:
        raise ClusterError(f"its Envoy's configuration has more than {values} values")
    return json_text.load(data)


class Beside:
    """Reads answers of one look at a mesh; ``large`` is from how many bytes on one is read in a thread."""

    def __init__(self, large: int = _LARGE) -> None:
        self._large = large
        self._limiter = CapacityLimiter(_THREADS)

    async def read(self, data: bytes, read: Callable[[], _Answer]) -> _Answer:
        """What ``read`` makes of ``data``."""
        if len(data) < self._large:
            return read()
        return await anyio.to_thread.run_sync(read, limiter=self._limiter, abandon_on_cancel=True)
