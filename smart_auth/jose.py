"""Signed JSON Web Tokens, read with a fixed algorithm and key (RFC 7515, RFC 7519, RFC 8725)."""

from collections.abc import Mapping
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key

LONGEST = 16_384
"""Bytes of the longest token that is looked at."""


class BadToken(Exception):
    """It is no token, or its signature, algorithm or form is wrong."""


def header(token: str) -> Mapping[str, Any]:
    """Give the protected header without any check of the signature; raises BadToken."""
    return _unverified(token).headers()


def claims(token: str) -> Mapping[str, Any]:
    """Give the claims without any check of the signature, to find whose key applies; raises BadToken."""
    payload = _unverified(token).payload
    return _object(payload)


def verified(token: str, key: Key, algorithm: str) -> Mapping[str, Any]:
    """Give the claims once the signature holds under this key and this algorithm only; raises BadToken.

    The algorithm is the caller's, never the token's: `none` and HMAC confusion cannot arise (RFC 8725 §3.1).
    """
    if len(token) > LONGEST:
        raise BadToken("too long")
    try:
        return jwt.decode(token, key, algorithms=[algorithm]).claims
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadToken("not signed by this key") from None


def signed(header: Mapping[str, Any], claims: Mapping[str, Any], key: Key) -> str:
    """Give the compact serialisation; `header` names algorithm, key id and type."""
    return jwt.encode(dict(header), dict(claims), key, algorithms=[header["alg"]])


def _unverified(token: str) -> jws.CompactSignature:
    if len(token) > LONGEST:
        raise BadToken("too long")
    try:
        return jws.extract_compact(token.encode())
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BadToken("not a signed token") from None


def _object(payload: bytes | None) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(payload or b"", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadToken("the claims are not a JSON object") from None
