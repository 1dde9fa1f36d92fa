"""What stands in a stored Binary in place of a large content: its SHA-256 (FHIR R4 binary.html)."""

from __future__ import annotations

import base64
import binascii
from typing import Final

TYPE: Final = "Binary"
DATA: Final = b'"data":"'
MARK: Final = b'"data":"blob:'
SHA256: Final = 64
"""The length of a SHA-256 in hexadecimal."""


def of(type: str, body: bytes | None) -> str | None:
    """Give the SHA-256 of the content that a stored body names, None where it names none."""
    if body is None or type != TYPE:
        return None
    start = body.find(MARK)
    if start < 0:
        return None
    start += len(MARK)
    return body[start : start + SHA256].decode()


def content(text: bytes) -> slice | None:
    """Give where the base64 of a Binary's JSON lies, None where it has no content."""
    start = text.rfind(DATA) + len(DATA)
    return None if start < len(DATA) else slice(start, text.find(b'"', start))


def put(text: bytes, at: slice, sha256: str) -> bytes:
    """Give JSON with a mark in place of the base64 that lies there."""
    return text[: at.start - len(DATA)] + MARK + sha256.encode() + text[at.stop :]


def add(text: bytes, sha256: str) -> bytes:
    """Give JSON that ends with the end of a Binary without a content, with a mark as its last member."""
    return b'%b,%b%b"}' % (text[:-1], MARK, sha256.encode())


def around(body: bytes) -> tuple[bytes, bytes]:
    """Give the JSON before and after the place where the base64 belongs that a mark stands for."""
    start = body.index(MARK)
    return body[:start] + DATA, body[start + len(MARK) + SHA256 :]


def filled(body: bytes, data: bytes) -> bytes:
    """Give JSON with the content in place of its mark."""
    head, tail = around(body)
    return head + base64.b64encode(data) + tail


def decoded(encoded: bytes) -> bytes | None:
    """Give the bytes of base64, None where they would not come back as the same text."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    return data if base64.b64encode(data) == encoded else None
