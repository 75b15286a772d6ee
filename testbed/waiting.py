"""Waiting for something to become true: the only place that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

from testbed.errors import TestbedError

_Found = TypeVar("_Found")

# Seconds between two looks.
_LOOK = 0.05


def until(look: Callable[[], _Found | None], patience: float, why: Callable[[], str]) -> _Found:
    """Return what ``look`` finds, asked until it is true.

    ``patience`` is in seconds; after it, raises TestbedError with ``why()``.
    """
    deadline = time.monotonic() + patience
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TestbedError(why())
        time.sleep(_LOOK)
    return found
