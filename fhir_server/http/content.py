"""Bodies over HTTP: read up to a limit, gzip in and out (RFC 9110 8.4, FHIR R4 http.html#compression)."""

import asyncio
import gzip
import zlib
from collections.abc import Mapping

from starlette.types import Message, Receive

from resources.outcome import Invalid, TooLarge, UnsupportedMediaType

WORTH = 4096
"""A smaller answer is not compressed: it would cost more than it saves."""
_ON_LOOP = 65_536
_LEVEL = 1
_PLAIN = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})


async def read(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Give a request's body, unpacked; raises TooLarge where it or what is packed in it is over the limit."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in _PLAIN | _GZIP:
        raise UnsupportedMediaType("A body comes as it is or as gzip")
    raw = await _received(receive, headers, limit)
    if encoding in _PLAIN:
        return raw
    if len(raw) <= _ON_LOOP:
        return _unpacked(raw, limit)
    return await asyncio.to_thread(_unpacked, raw, limit)


async def _received(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > limit:
        raise TooLarge(f"A body may have {limit} bytes")
    parts, size, more = [], 0, True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("The request ended before its body did", issue="incomplete")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLarge(f"A body may have {limit} bytes")
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _unpacked(raw: bytes, limit: int) -> bytes:
    """Unpack gzip, never to more than the limit, however well it was packed."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(raw, limit + 1)
    except zlib.error:
        raise Invalid("The body is not gzip, as Content-Encoding says") from None
    if len(body) > limit:
        raise TooLarge(f"A body may have {limit} bytes once it is unpacked")
    if not unpacker.eof:
        raise Invalid("The gzip body is cut short", issue="incomplete")
    return body


def wants_gzip(headers: Mapping[str, str]) -> bool:
    """Tell whether the client takes gzip (Accept-Encoding with a quality above 0)."""
    for part in headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() in {"gzip", "*"}:
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


async def packed(body: bytes) -> bytes:
    """Give a body as gzip; a large one is packed off the event loop."""
    if len(body) <= _ON_LOOP:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
