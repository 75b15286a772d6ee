"""What one exchange with Azure may take."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """What one exchange may take, in seconds and bytes; ``pause`` is the longest wait before another try.

    ``retries`` count for what a server says; a silence is met with one.
    """

    connect: float = 5.0
    read: float = 15.0
    exchange: float = 30.0
    pause: float = 15.0
    retries: int = 3
    size: int = 16 * 1024**2

    def retry(self) -> dict[str, Any]:
        """The SDK's own names for them."""
        return {
            "retry_total": self.retries,
            "retry_status": self.retries,
            "retry_connect": 1,
            "retry_read": 1,
            "retry_backoff_max": self.pause,
        }


LIMITS = Limits()
