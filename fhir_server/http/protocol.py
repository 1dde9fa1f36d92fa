"""HTTP/1.1 as uvicorn speaks it, where a small answer leaves in one piece, head and body together.

ASGI has a server wait for the body before it sends the head; one packet costs both ends half of what two
cost. https://asgi.readthedocs.io/en/latest/specs/www.html#response-start-send-event
"""

from itertools import chain
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

_START = "http.response.start"
_LARGEST = 1 << 16
_WITHOUT_BODY = frozenset({204, 304})
_MEANS_MORE = frozenset({b"connection", b"transfer-encoding", b"upgrade"})
_CONTROLS = bytes(set(range(32)) - set(b"\t\r\n")) + b"\x7f"


class OnePiece(HttpToolsProtocol):
    """A connection whose answers are sent by `Sending`."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.send = Sending(cycle)  # type: ignore[method-assign,assignment]  # Starlette's messages
        super()._start_asgi_task(cycle, app)


class Sending:
    """What an application sends one answer with: whatever is not simple, uvicorn itself sends."""

    __slots__ = ("_cycle", "_start")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Keep the head until the body comes, and send them; a head that another follows is none."""
        cycle, start = self._cycle, self._start
        if message["type"] == _START and not cycle.response_started:
            self._start = message
            return
        if start is None:
            await RequestResponseCycle.send(cycle, message)  # type: ignore[arg-type]
            return
        self._start = None
        answer = _in_one_piece(cycle, start, message)
        if answer is None:
            await RequestResponseCycle.send(cycle, start)  # type: ignore[arg-type]
            await RequestResponseCycle.send(cycle, message)  # type: ignore[arg-type]
            return
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(answer)
        cycle.message_event.set()
        cycle.on_response()


def _in_one_piece(cycle: RequestResponseCycle, start: Message, message: Message) -> bytes | None:
    """Give the bytes of a whole answer; None where it is not simple, or not right."""
    body: bytes = message.get("body", b"")
    if message["type"] != "http.response.body" or message.get("more_body") or len(body) > _LARGEST:
        return None
    if not cycle.keep_alive or cycle.disconnected or cycle.flow.write_paused or cycle.access_log:
        return None
    status, size = start["status"], b""
    parts: list[bytes] = []
    for name, value in chain(cycle.default_headers, start["headers"]):
        if name == b"content-length":
            size = value
        elif name in _MEANS_MORE or not name.islower():
            return None
        parts += (name, b": ", value, b"\r\n")
    if cycle.scope["method"] == "HEAD":
        body = b""
    elif size != b"%d" % len(body) and (size or body or status not in _WITHOUT_BODY):
        return None
    head = b"".join((STATUS_LINE[status], *parts, b"\r\n"))
    return head + body if _well_formed(head, len(parts) // 4 + 2) else None


def _well_formed(head: bytes, lines: int) -> bool:
    """Tell whether a head has so many lines, and no character that a line cannot have (RFC 9110 5.5)."""
    ends = (head.count(b"\r\n"), head.count(b"\r"), head.count(b"\n"))
    return ends == (lines, lines, lines) and len(head.translate(None, _CONTROLS)) == len(head)
