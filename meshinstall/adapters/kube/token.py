"""One credential for the API server."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

# Renewed when this little is left.
MARGIN = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, or a client certificate and key (PEM), or both; and when they expire (None: unknown)."""

    value: str = field(repr=False)
    expires: datetime | None = None
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)

    def is_good(self, now: datetime, margin: timedelta = MARGIN) -> bool:
        """Whether it can still be used."""
        return self.expires is None or now < self.expires - margin
