"""An event loop whose clock leaps to the next thing that is due: waits of minutes cost nothing and always end the same way."""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class _Leaping(selectors.SelectSelector):
    """Never sleeps: the seconds it was asked to wait are added to its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Answer at once."""
        if timeout is None:
            raise RuntimeError("every task waits for another: nothing will ever happen")
        self.now += timeout
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For tests without threads and sockets; begins at second 0."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._leaping.now


def backend() -> tuple[str, dict[str, Callable[[], Any]]]:
    """What the fixture ``anyio_backend`` returns for it."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}
