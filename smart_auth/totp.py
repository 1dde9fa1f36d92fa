"""Time-based one-time passwords: six digits, 30 seconds, HMAC-SHA-1, as every authenticator app has them.

RFC 6238 over RFC 4226.
"""

import base64
import hashlib
import hmac
import secrets
from urllib.parse import quote, urlencode

STEP_MS = 30_000
_DIGITS = 6
_SKEW = 1
_SECRET_BYTES = 20


def new_secret() -> bytes:
    """Give 160 random bits (RFC 4226 §4, R6)."""
    return secrets.token_bytes(_SECRET_BYTES)


def code(secret: bytes, step: int) -> str:
    """Give the code of a time step (RFC 4226 §5.3)."""
    mac = hmac.new(secret, step.to_bytes(8, "big"), hashlib.sha1).digest()
    start = mac[-1] & 15
    number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"


def step_of(secret: bytes, text: str, time_ms: int, after: int) -> int | None:
    """Give the step whose code it is, one step of clock skew forgiven; None where it is none.

    Steps up to `after` were used before: a code is good once (RFC 6238 §5.2).
    """
    given = text.replace(" ", "").encode("utf-8", "replace")
    here = time_ms // STEP_MS
    for step in range(here - _SKEW, here + _SKEW + 1):
        if step > after and hmac.compare_digest(code(secret, step).encode(), given):
            return step
    return None


def shown(secret: bytes) -> str:
    """Give the secret in base32, as one types it into an app."""
    return base64.b32encode(secret).decode().rstrip("=")


def address(secret: bytes, user: str, issuer: str) -> str:
    """Give the otpauth address that authenticator apps read."""
    label = quote(f"{issuer}:{user}", safe="")
    return f"otpauth://totp/{label}?{urlencode({'secret': shown(secret), 'issuer': issuer})}"
