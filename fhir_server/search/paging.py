"""Signed cursors: where a next page begins, opaque to clients and of no use to forgers."""

import base64
import hashlib
import hmac

import msgspec

from fhir_server.search.expression import Cursor
from resources.outcome import Gone, Invalid

_SIGNATURE = 16


class Paging:
    """Signs and reads cursors with a secret of the installation; `lifetime` in milliseconds."""

    def __init__(self, secret: bytes, lifetime: int = 24 * 3600 * 1000) -> None:
        self._secret = secret
        self._lifetime = lifetime

    def token(self, cursor: Cursor, bound: bytes, now: int) -> str:
        """Give the token of a cursor, bound to the search (`bound`) and issued `now` (ms since 1970)."""
        payload = msgspec.msgpack.encode((now, cursor.keys, cursor.place))
        return base64.urlsafe_b64encode(self._sign(payload, bound) + payload).decode().rstrip("=")

    def cursor(self, token: str, bound: bytes, now: int) -> Cursor:
        """Read a token; raises Invalid for a forged one or one of another search, Gone for an expired one."""
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            raise Invalid("The page's cursor is not one of ours", issue="value") from None
        signature, payload = raw[:_SIGNATURE], raw[_SIGNATURE:]
        if not hmac.compare_digest(signature, self._sign(payload, bound)):
            raise Invalid("The page's cursor is not one of ours", issue="value")
        issued, keys, place = msgspec.msgpack.decode(payload)
        if now - issued > self._lifetime:
            raise Gone("The page's cursor has expired; begin the search again", issue="expired")
        return Cursor(tuple(keys), place)

    def _sign(self, payload: bytes, bound: bytes) -> bytes:
        return hmac.new(self._secret, bound + payload, hashlib.sha256).digest()[:_SIGNATURE]
