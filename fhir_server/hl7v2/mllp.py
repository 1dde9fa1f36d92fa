"""Minimal Lower Layer Protocol: VT message FS CR (HL7 v2 Implementation Guide, Transport: MLLP R1)."""

import asyncio
import re

VT = b"\x0b"
FS = b"\x1c"
CR = b"\r"

_LINE = re.compile(rb"\r\n|\n")


class FrameTooLong(Exception):
    """A frame grew over the limit before it ended; carries its beginning."""

    def __init__(self, head: bytes) -> None:
        super().__init__("the frame is over the limit")
        self.head = head


class Frames:
    """Cuts a stream into frames, however it is fragmented.

    Bytes outside of frames are skipped and counted in `skipped`, and so is a frame that another one
    interrupts: what did not end was not sent.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._inside = False
        self.skipped = 0

    @property
    def open(self) -> bool:
        """Tell whether a frame has begun and not ended."""
        return self._inside

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and give the messages that they complete; raises FrameTooLong."""
        found: list[bytes] = []
        while data:
            data = self._within(data, found) if self._inside else self._between(data)
        return found

    def _between(self, data: bytes) -> bytes:
        """Skip to the next VT; the CR that ends a frame is no garbage."""
        before, start, after = data.partition(VT)
        self.skipped += len(before.strip(b"\r\n"))
        self._inside = bool(start)
        return after

    def _within(self, data: bytes, found: list[bytes]) -> bytes:
        """Take up to FS, or begin anew at a VT that comes first."""
        text, end, after = data.partition(FS)
        interrupted = text.rfind(VT)
        if interrupted >= 0:
            self.skipped += len(self._buffer) + interrupted
            self._buffer.clear()
            text = text[interrupted + 1 :]
        self._buffer += text
        if len(self._buffer) > self._limit:
            raise FrameTooLong(bytes(self._buffer[:4096]))
        if not end:
            return b""
        found.append(bytes(self._buffer))
        self._buffer.clear()
        self._inside = False
        return after


def frame(message: bytes) -> bytes:
    """Give a message in its frame."""
    return VT + message + FS + CR


class NoAcknowledgement(Exception):
    """No ACK of the message came: refused or lost connection, or none in time."""


async def send(
    host: str,
    port: int,
    message: bytes,
    timeout: float = 30.0,  # noqa: ASYNC109 - of the whole exchange
) -> bytes:
    """Send one message and give the ACK whose MSA-2 is its MSH-10; others, e.g. late ones, are passed over.

    Lines may end in LF; they are sent ended by CR. `timeout` in seconds is for the whole exchange, after
    which the connection is closed. Raises NoAcknowledgement.
    """
    text = _LINE.sub(CR, message.removeprefix(b"\xef\xbb\xbf").strip(b"\x0b\x1c\r\n")) + CR
    try:
        async with asyncio.timeout(timeout):
            return await _exchange(host, port, text)
    except TimeoutError:
        raise NoAcknowledgement(f"No ACK came within {timeout:g} seconds") from None
    except OSError as fault:
        raise NoAcknowledgement(f"The connection failed: {fault.strerror or fault}") from None


async def _exchange(host: str, port: int, message: bytes) -> bytes:
    control_id = _field(message, b"MSH", 9)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(frame(message))
        await writer.drain()
        frames = Frames(1 << 20)
        while data := await reader.read(65536):
            for answer in frames.feed(data):
                if _field(answer, b"MSA", 2) == control_id:
                    return answer
    except FrameTooLong:
        raise NoAcknowledgement("What came is too long for an ACK") from None
    finally:
        writer.close()
    raise NoAcknowledgement("The connection was closed before an ACK came")


def _field(message: bytes, segment: bytes, number: int) -> bytes:
    """Give the raw field of the first segment of a name, by its place between separators."""
    for line in message.splitlines():
        if line.startswith(segment) and len(line) > 3:
            fields = line.split(line[3:4])
            return fields[number].strip() if number < len(fields) else b""
    return b""
