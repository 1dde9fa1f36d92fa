"""Bodies over HTTP: read up to a limit, gzip in and out (RFC 9110 8.4, FHIR R4 http.html#compression)."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Mapping

from starlette.types import Message, Receive

from fhir_server.http.media_ranges import quality
from fhir_server.http.unpacking import Unpacking
from resources.outcome import Invalid, TooLarge, UnsupportedMediaType

WORTH = 4096
"""A smaller answer is not compressed: it would cost more than it saves."""
_ON_LOOP = 65_536
_LEVEL = 1
_PLAIN = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})
_TEXTS = ("json", "xml", "/javascript", "/rtf")


async def read(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Give a request's body, unpacked; raises TooLarge where it or what is packed in it is over the limit."""
    packed = is_packed(headers)
    parts = [part async for part in pieces(receive, headers, limit)]
    raw = parts[0] if len(parts) == 1 else b"".join(parts)
    if not packed:
        return raw
    if len(raw) <= _ON_LOOP:
        return _unpacked(raw, limit)
    return await asyncio.to_thread(_unpacked, raw, limit)


def is_packed(headers: Mapping[str, str]) -> bool:
    """Tell whether a body comes as gzip; raises UnsupportedMediaType where it comes in another way."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in _PLAIN | _GZIP:
        raise UnsupportedMediaType("A body comes as it is or as gzip", accept_encoding="gzip")
    return encoding in _GZIP


async def pieces(receive: Receive, headers: Mapping[str, str], limit: int) -> AsyncIterator[bytes]:
    """Give a request's body as it comes; raises TooLarge where it is over the limit."""
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise TooLarge(f"A body may have {limit} bytes")
    size, more = 0, True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("The request ended before its body did", issue="incomplete")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLarge(f"A body may have {limit} bytes")
        more = message.get("more_body", False)
        yield part


def _unpacked(raw: bytes, limit: int) -> bytes:
    """Unpack gzip, never to more than the limit, however well it was packed."""
    unpacking = Unpacking(limit)
    unpacked = b"".join(unpacking.pieces(memoryview(raw)))
    unpacking.end()
    return unpacked


def packable(media_type: str) -> bool:
    """Tell whether gzip makes contents of a media type smaller: text does, most else is packed already."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind.endswith(_TEXTS)


def wants_gzip(headers: Mapping[str, str]) -> bool:
    """Tell whether the client takes gzip (RFC 9110 12.5.3): a quality above 0, its own before that of `*`."""
    qualities = {"*": 0.0}
    for part in headers.get("accept-encoding", "").lower().split(","):
        name, _, parameter = part.replace(" ", "").partition(";")
        qualities[name] = quality(parameter.removeprefix("q=") or "1")
    named = [qualities[name] for name in _GZIP if name in qualities]
    return max(named, default=qualities["*"]) > 0


async def packed(body: bytes) -> bytes:
    """Give a body as gzip; a large one is packed off the event loop."""
    if len(body) <= _ON_LOOP:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
