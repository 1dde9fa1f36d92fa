"""What every answer of the FHIR door carries: its id, who may keep it, who may read it (RFC 9110, RFC 9111).

No cache keeps an answer: a browser that did would give it again without asking, to whoever uses it next.
"""

import re
from collections.abc import Mapping

from fhir_server import identifiers
from fhir_server.http.sending import Header

EXPOSED = (
    "ETag",
    "Last-Modified",
    "Location",
    "Content-Location",
    "Accept-Ranges",
    "Content-Range",
    "Retry-After",
    "X-Request-Id",
    "X-Progress",
    "WWW-Authenticate",
    "Allow",
    "Accept-Patch",
    "Accept-Encoding",
)
"""What apps of other origins may read beside what Fetch lets them, of which Expires and Cache-Control are."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""The methods of the server, for preflights."""
_EXPOSED = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
_VARIES = (b"vary", b"accept, accept-encoding, authorization, origin")
_NOT_KEPT = (b"cache-control", b"no-store")
_ASKED_AGAIN = (b"cache-control", b"no-cache")
_PUBLIC = "metadata"


def frame(
    path: str, request_id: str, headers: Mapping[str, str], origins: re.Pattern[str]
) -> list[Header]:
    """Give the fields that an answer carries whatever it is; `path` is that below the base.

    The statement of what the server does is for everyone and may be kept, if it is asked for again; nothing
    else is: https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.5
    """
    kept = _ASKED_AGAIN if path == _PUBLIC else _NOT_KEPT
    found = [(b"x-request-id", request_id.encode()), kept, _VARIES]
    origin = headers.get("origin")
    if origin is not None and origins.fullmatch(origin):
        found += [(b"access-control-allow-origin", origin.encode("latin-1")), _EXPOSED]
    return found


def request_id(given: str | None) -> str:
    """Give the caller's request id if it is harmless, else one of ours."""
    return given if given and identifiers.harmless(given) else identifiers.hexadecimal()
