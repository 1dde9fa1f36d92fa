"""multipart/related, read and written as streams in bounded memory (RFC 2046 5.1, RFC 2387, PS3.18 8.6.1)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping

_HEADER_LIMIT = 16 * 1024
_BOUNDARY_LIMIT = 70
_PREAMBLE_LIMIT = 64 * 1024
_END_OF_HEADERS = b"\r\n\r\n"


class Malformed(Exception):
    """The body is not a well-formed multipart of its boundary; carries a sentence without its content."""


class MediaType(Struct, frozen=True):
    """A media type in lower case with its parameters, as Content-Type and Accept hold it (RFC 9110 8.3.1)."""

    name: str
    parameters: Mapping[str, str]


class Part:
    """One part: its headers in lower case, and its content as chunks that are read at most once."""

    def __init__(self, headers: Mapping[str, str], content: AsyncIterator[bytes]) -> None:
        self.headers = headers
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._content


def media_type(text: str) -> MediaType:
    """Parse a media type with parameters, quoted or not; gives an empty name for what is none."""
    name, *pieces = _split(text, ";")
    parameters = {}
    for piece in pieces:
        key, _, value = piece.partition("=")
        parameters[key.strip().lower()] = _unquoted(value.strip())
    return MediaType(name.strip().lower(), parameters)


def split_list(text: str) -> list[str]:
    """Split a header's comma-separated list, minding quotes."""
    return [piece.strip() for piece in _split(text, ",") if piece.strip()]


def _split(text: str, separator: str) -> list[str]:
    pieces, start, quoted, escaped = [], 0, False, False
    for place, character in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == separator and not quoted:
            pieces.append(text[start:place])
            start = place + 1
    return [*pieces, text[start:]]


def _unquoted(value: str) -> str:
    if len(value) < len('""') or value[0] != '"' or value[-1] != '"':
        return value
    return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")


class _Body:
    """The unread rest of a body, filled as needed."""

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = aiter(chunks)
        self.data = bytearray()

    async def more(self) -> None:
        """Add what comes next; raises Malformed at the end of the body."""
        try:
            self.data += await anext(self._chunks)
        except StopAsyncIteration:
            raise Malformed("the body ends before its closing boundary") from None

    def take(self, count: int) -> bytes:
        """Remove and give the first bytes."""
        taken = bytes(self.data[:count])
        del self.data[:count]
        return taken


async def parts(chunks: AsyncIterable[bytes], boundary: str) -> AsyncIterator[Part]:
    """Give the parts of a body one after the other; asking for the next skips the rest of the last.

    Raises Malformed, also from within a part's content, when the body is broken or cut short.
    """
    if not 0 < len(boundary) <= _BOUNDARY_LIMIT or not boundary.isascii():
        raise Malformed("the boundary must have 1 to 70 ASCII characters")
    delimiter = b"\r\n--" + boundary.encode()
    body = _Body(chunks)
    body.data += b"\r\n"
    await _skip_preamble(body, delimiter)
    while await _another(body):
        content = _content(body, delimiter)
        yield Part(await _headers(body), content)
        async for _ in content:
            pass


async def _skip_preamble(body: _Body, delimiter: bytes) -> None:
    skipped = 0
    while (place := body.data.find(delimiter)) < 0:
        skipped += len(body.take(max(0, len(body.data) - len(delimiter))))
        if skipped > _PREAMBLE_LIMIT:
            raise Malformed("no boundary is found where the first part should begin")
        await body.more()
    body.take(place + len(delimiter))


async def _another(body: _Body) -> bool:
    """Read what follows a boundary: a line's end before another part, or -- after the last one."""
    while len(body.data) < len("--"):
        await body.more()
    if body.data[:2] == b"--":
        return False
    while (end := body.data.find(b"\r\n")) < 0:
        if len(body.data) > _HEADER_LIMIT:
            break
        await body.more()
    if end < 0 or body.take(end + 2)[:-2].strip(b" \t"):
        raise Malformed("a boundary is followed by other text")
    return True


async def _headers(body: _Body) -> dict[str, str]:
    if body.data[:2] != b"\r\n":
        while (end := body.data.find(_END_OF_HEADERS)) < 0 and body.data[:2] != b"\r\n":
            if len(body.data) > _HEADER_LIMIT:
                raise Malformed("a part's headers are too long")
            await body.more()
    if body.data[:2] == b"\r\n":
        body.take(2)
        return {}
    if end > _HEADER_LIMIT:
        raise Malformed("a part's headers are too long")
    found = {}
    for line in body.take(end + len(_END_OF_HEADERS)).decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip().lower()] = value.strip()
    return found


async def _content(body: _Body, delimiter: bytes) -> AsyncIterator[bytes]:
    """Give a part's content up to the next boundary, keeping back what could be the start of one."""
    while (place := body.data.find(delimiter)) < 0:
        if free := max(0, len(body.data) - len(delimiter) + 1):
            yield body.take(free)
        await body.more()
    if place:
        yield body.take(place)
    body.take(len(delimiter))


def new_boundary() -> str:
    """Give a boundary that no content holds by foresight."""
    return secrets.token_hex(16)


async def written(
    boundary: str, items: AsyncIterable[tuple[Mapping[str, str], AsyncIterable[bytes]]]
) -> AsyncIterator[bytes]:
    """Give the body of a multipart response, streamed, from (headers, content) pairs."""
    async for headers, content in items:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        yield f"--{boundary}\r\n{lines}\r\n".encode("latin-1")
        async for chunk in content:
            yield chunk
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
