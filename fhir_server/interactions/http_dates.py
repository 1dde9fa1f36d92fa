"""Moments as HTTP headers write them (RFC 9110 5.6.7)."""

from datetime import UTC
from email.utils import parsedate_to_datetime


def moment(text: str) -> float | None:
    """Give seconds since 1970 UTC; None for what is no date, which a condition then does not ask for."""
    try:
        found = parsedate_to_datetime(text)
        utc = found if found.tzinfo else found.replace(tzinfo=UTC)  # never this machine's zone
        return utc.timestamp()
    except (ValueError, OverflowError):
        return None
