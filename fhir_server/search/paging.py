"""Cursors: where a next page begins, sealed, so that they tell nothing and cannot be forged (AES-GCM).

What a page begins after is data of patients, and a cursor is part of a URL: it is encrypted, not only signed.
"""

import base64
import hashlib
import secrets
from functools import cached_property

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.search.expression import Cursor
from resources.outcome import Gone, Invalid

DAY_MS = 24 * 3600 * 1000
_NONCE = 12
_KEY = 32


class Paging:
    """Seals and opens cursors with a secret of the installation; `lifetime` in milliseconds."""

    def __init__(self, secret: bytes, lifetime: int = DAY_MS) -> None:
        self._secret = secret
        self.lifetime = lifetime

    def seal(self, payload: bytes, bound: bytes, now: int) -> str:
        """Give the token of a payload, good only where `bound` is the same, issued `now` (ms since 1970)."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._cipher.encrypt(nonce, msgspec.msgpack.encode((now, payload)), bound)
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, token: str, bound: bytes, now: int) -> bytes:
        """Give the payload of a token; raises Invalid for one not issued for `bound`, Gone for an old one."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars="-_", validate=True)
            opened = self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], bound)
        except (ValueError, InvalidTag):
            raise Invalid("The page's cursor is not one of ours", issue="value") from None
        issued, payload = msgspec.msgpack.decode(opened, type=tuple[int, bytes])
        if now - issued > self.lifetime:
            raise Gone("The page's cursor has expired; begin the search again", issue="expired")
        return payload

    def token(self, cursor: Cursor, bound: bytes, now: int) -> str:
        """Give the token of a cursor alone."""
        return self.seal(msgspec.msgpack.encode((cursor.keys, cursor.place)), bound, now)

    def cursor(self, token: str, bound: bytes, now: int) -> Cursor:
        """Read the token of a cursor alone; raises Invalid or Gone."""
        keys, place = msgspec.msgpack.decode(self.open(token, bound, now))
        return Cursor(tuple(keys), place)

    @cached_property
    def _cipher(self) -> AESGCM:
        return AESGCM(hashlib.blake2b(self._secret, digest_size=_KEY, person=b"pages").digest())
