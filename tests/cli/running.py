"""What a command left when it was run as users run it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]
