"""Who may keep an answer of /dicom-web: pixels for as long as it asks again, nothing else (RFC 9111 5.2.2).

A viewer shows the same frames again and again. Its browser may keep them, and must ask each time: the token
is looked at, the access kept in the trail, and what it has need not be sent anew.
"""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.datastructures import MutableHeaders
    from starlette.requests import Request

    from dicomweb_bridge.archive.port import Instance

_DISTRIBUTION = "hounsfield"
_VARIES = "Accept, Accept-Encoding, Authorization, Cookie, Origin"


def bounded(headers: MutableHeaders) -> None:
    """Say of an answer that no cache keeps it, unless it says itself who may, and what it depends on."""
    headers.setdefault("Cache-Control", "no-store")
    headers["Vary"] = _VARIES


async def revalidated(
    request: Request, instance: Instance, answer: Callable[[], Awaitable[Response]]
) -> Response:
    """Answer with pixels of an instance that the caller may see; 304 where it has them (RFC 9110 13.1.2).

    The file never changes, so it and what was asked for decide on the answer before it is made.
    """
    tag = _tag(request, instance)
    known = {one.strip() for one in request.headers.get("if-none-match", "").split(",")}
    response = Response(status_code=304) if tag in known else await answer()
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _tag(request: Request, instance: Instance) -> str:
    """Give a weak ETag of the file, of what is asked for, and of this version: others may draw otherwise."""
    accept = request.headers.get("accept", "")
    asked = (instance.sha256, request.url.path, request.url.query, accept, _version())
    return f'W/"{hashlib.blake2b(repr(asked).encode(), digest_size=16).hexdigest()}"'


@functools.cache
def _version() -> str:
    return version(_DISTRIBUTION)
