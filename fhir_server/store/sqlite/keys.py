"""What stands for words in index keys: keyed 64-bit hashes (BLAKE2b, RFC 7693) and ordered doubles.

The key is random and belongs to one database, so that nobody can choose words that collide. A UID keeps
its last component beside the hash of the rest: the UIDs of one study lie together (DICOM PS3.5 chapter 9).
"""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from typing import Final

HASH_BYTES: Final = 8
_REMEMBERED: Final = 16_384
_LONGEST_LOCAL: Final = 15
_DOTTED: Final = 3
_SIGN: Final = 1 << 63
_DOUBLE: Final = struct.Struct("<d")
_WHOLE: Final = struct.Struct("<q")


class Hashes:
    """The hashes of one database; `secret` is its key of at most 64 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._states = {
            domain: hashlib.blake2b(key=secret, digest_size=HASH_BYTES, person=domain)
            for domain in (b"word", b"stem", b"target", b"url", b"text")
        }
        self.word = lru_cache(_REMEMBERED)(self._word)
        self._stem = lru_cache(_REMEMBERED)(self._uid_stem)
        self.target = lru_cache(_REMEMBERED)(self._target)
        self.url = lru_cache(_REMEMBERED)(self._url)

    def text(self, *parts: str) -> str:
        """Give the hash of a long text, in hexadecimal."""
        return self._hash(b"text", "\n".join(parts)).hex()

    def _word(self, text: str) -> bytes:
        """Give the hash of a system or of an exact string; nothing for nothing."""
        return self._hash(b"word", text) if text else b""

    def code(self, text: str) -> bytes:
        """Give the hash of a code; for a UID that of its stem, followed by its last component."""
        stem, dot, last = text.rpartition(".")
        if dot and 0 < len(last) <= _LONGEST_LOCAL and last.isascii() and last.isdigit():
            hashed = self._stem(stem)
            if hashed is not None:
                return hashed + last.encode()
        return self.word(text)

    def _uid_stem(self, stem: str) -> bytes | None:
        """Give the hash that the UIDs of one stem share, None for what is no UID."""
        return self._hash(b"stem", stem) if _is_uid(stem) else None

    def _target(self, tenant: str, type: str, id: str) -> bytes:
        """Give the hash of a resource here."""
        return self._hash(b"target", f"{tenant}\n{type}/{id}")

    def _url(self, url: str) -> bytes:
        """Give the hash of an absolute or canonical url."""
        return self._hash(b"url", url)

    def _hash(self, domain: bytes, text: str) -> bytes:
        state = self._states[domain].copy()
        state.update(text.encode())
        return state.digest()


def _is_uid(stem: str) -> bool:
    digits = stem.removeprefix("urn:oid:")
    return digits.count(".") >= _DOTTED and digits.replace(".", "").isdecimal()


def ordinal(value: float) -> int:
    """Give the integer of 64 bits that orders as the double does (IEEE 754, both zeros alike)."""
    (bits,) = _WHOLE.unpack(_DOUBLE.pack(value))
    return int(bits) if bits >= 0 else -(int(bits) + _SIGN)


def double(order: int) -> float:
    """Give the double of an ordinal."""
    bits = order if order >= 0 else -order - _SIGN
    (value,) = _DOUBLE.unpack(_WHOLE.pack(bits))
    return float(value)
