"""An answer on its way out: headers as bytes, a body in one piece, or piece by piece (RFC 9110)."""

import asyncio
import functools
from collections.abc import AsyncGenerator

import structlog
from starlette.types import Receive, Send

from fhir_server.message import FhirResponse, Pieces
from fhir_server.store.port import ContentGone, StoreUnavailable

log = structlog.get_logger()

CONTENT_TYPE = "Content-Type"
_PIECE = 1 << 18
_WITHOUT_LENGTH = frozenset({204, 304})
Header = tuple[bytes, bytes]


async def send_answer(
    send: Send,
    receive: Receive,
    response: FhirResponse,
    headers: list[Header],
    *,
    without_body: bool,
) -> None:
    """Send an answer with its own headers after those given; without its body for HEAD."""
    headers += [(_name(name), value.encode("latin-1")) for name, value in response.headers.items()]
    body, pieces = response.body, response.pieces
    if (body or pieces) and CONTENT_TYPE not in response.headers:
        headers.append((b"content-type", _content_type(response.media_type)))
    if response.status not in _WITHOUT_LENGTH:
        size = len(body) if pieces is None else pieces.size
        headers.append((b"content-length", b"%d" % size))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if pieces is not None and not without_body:
        await _stream(send, receive, pieces)
        return
    await send({"type": "http.response.body", "body": b"" if without_body else body})


@functools.cache  # the names are ours: a handful
def _name(name: str) -> bytes:
    return name.lower().encode("latin-1")


@functools.cache
def _content_type(media_type: str) -> bytes:
    return (
        media_type.encode() if "ndjson" in media_type else f"{media_type}; charset=utf-8".encode()
    )


async def _stream(send: Send, receive: Receive, pieces: Pieces) -> None:
    """Send pieces as the client takes them, until it goes; one that cannot be read breaks the answer off.

    The server closes a connection whose answer has not all the bytes that its head said.
    """
    gone = asyncio.create_task(_gone(receive))
    source = pieces.read()
    try:
        async for piece in source:
            if gone.done():
                return
            for at in range(0, len(piece), _PIECE):
                part = piece[at : at + _PIECE]
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    except (ContentGone, StoreUnavailable, OSError) as fault:
        log.error("answer broken off", kind=type(fault).__name__)  # noqa: TRY400 - the kind says it
    finally:
        gone.cancel()
        if isinstance(source, AsyncGenerator):
            await source.aclose()


async def _gone(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
