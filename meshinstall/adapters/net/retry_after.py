"""The header by which a server tells when to come again."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(text: str, now: datetime) -> float | None:
    """Seconds of a Retry-After header, which has a number of them or a date (RFC 9110 section 10.2.3); None for anything else."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)
