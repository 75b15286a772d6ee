"""That an environment accepts plaintext until a day, and which failures of a verdict that covers."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Plaintext by the mesh-wide ``policy`` (``PeerAuthentication istio-system/default``) is accepted up to the day ``until``.

    ``origin`` is the line that says so.
    """

    until: date
    reason: str
    origin: str
    policy: str

    def holds(self, today: date) -> bool:
        """Whether the day has not passed."""
        return today <= self.until

    def __str__(self) -> str:
        return f"accepted until {self.until} ({self.origin}): {self.reason}"
