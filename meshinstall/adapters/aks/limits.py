"""Limits of one exchange with Azure."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one exchange, in seconds and bytes; ``pause`` is the longest wait before a retry.

    ``retries`` is the number for error answers; without an answer there is one retry.
    """

    connect: float = 5.0
    read: float = 15.0
    exchange: float = 30.0
    pause: float = 15.0
    retries: int = 3
    size: int = 16 * 1024**2

    def retry(self) -> dict[str, Any]:
        """The limits as options of the SDK."""
        return {
            "retry_total": self.retries,
            "retry_status": self.retries,
            "retry_connect": 1,
            "retry_read": 1,
            "retry_backoff_max": self.pause,
        }


LIMITS = Limits()
