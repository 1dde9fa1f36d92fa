"""Queries as they are written in URLs and forms: percent-encoded UTF-8 (RFC 3986 2.1, URL Standard 5.1)."""

import re
from urllib.parse import parse_qsl

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


def pairs(query: str) -> tuple[tuple[str, str], ...]:
    """Give the names and values of a query; raises ValueError for what is not percent-encoded UTF-8.

    A `%` that begins no escape is that too: whoever wrote it did not encode, and meant another value.
    """
    refuse_broken(query)
    return tuple(parse_qsl(query, keep_blank_values=True, errors="strict"))


def refuse_broken(text: str) -> None:
    """Raise ValueError where a `%` is not followed by two hexadecimal digits."""
    if "%" in text and _BROKEN.search(text):
        raise ValueError("A % that begins no escape")
