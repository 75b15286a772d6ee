"""One credential for the API server."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

# Renewed when this little is left, or this part of a short life.
MARGIN = timedelta(minutes=2)
_PART = 4


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, or a client certificate and key (PEM), or both; when they expire (None: unknown), and how long before to renew."""

    value: str = field(repr=False)
    expires: datetime | None = None
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    margin: timedelta = MARGIN

    def is_good(self, now: datetime) -> bool:
        """Whether it can still be used."""
        return self.expires is None or now < self.expires - self.margin


def margin_of(expires: datetime | None, now: datetime) -> timedelta:
    """The margin of a credential that was made now: of a minute not all is given up."""
    return min(MARGIN, max(expires - now, timedelta()) / _PART) if expires else MARGIN
