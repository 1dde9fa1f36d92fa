"""The MLLP server: every connection answered in order, nothing acknowledged before it is done."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog
from msgspec import Struct

from fhir_server.hl7v2 import acknowledge, mllp
from fhir_server.hl7v2.mllp import Frames, FrameTooLong
from fhir_server.hl7v2.refusal import TooLong

_log = structlog.get_logger()


class Peer(NamedTuple):
    """Where a message came from: address and port of the other end."""

    host: str
    port: int


class Limits(Struct, frozen=True):
    """Bytes of a message, connections at once, seconds between messages and within one."""

    message: int = 16 << 20
    connections: int = 256
    idle: float = 3600.0
    frame: float = 60.0


Receive = Callable[[bytes, Peer], Awaitable[bytes]]


class Listener:
    """Listens for messages and answers each with what `receive` gives, nothing for no bytes.

    `receive` runs to its end when the connection is lost meanwhile: what it commits is whole, and the
    sender, who has no ACK, sends again. `started` is set once it listens.
    """

    def __init__(
        self,
        host: str,
        port: int,
        receive: Receive,
        *,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._receive = receive
        self._limits = limits or Limits()
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], bool] = {}
        self._stopping = False
        self.started = asyncio.Event()

    @property
    def port(self) -> int:
        """Give the port that is listened on, the one picked for port 0."""
        if self._server is None:
            return self._port
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """Give the number of open connections."""
        return len(self._connections)

    async def start(self) -> None:
        """Begin to listen; raises OSError if the address is taken."""
        self._stopping = False
        self._server = await asyncio.start_server(
            self._connected, self._host, self._port, ssl=self._tls
        )
        self.started.set()

    async def run(self) -> None:
        """Listen until cancelled, then stop as `stop` does; raises OSError if the address is taken."""
        await self.start()
        try:
            await asyncio.Event().wait()
        finally:
            await self.stop()

    async def stop(self, drain: float = 10.0) -> None:
        """Stop listening, let messages that are being done be answered, at most `drain` seconds."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        tasks = set(self._connections)
        for task, busy in list(self._connections.items()):
            if not busy:
                task.cancel()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        if task is None or self._stopping or len(self._connections) >= self._limits.connections:
            _log.warning("connection refused", reason="stopping or too many")
            writer.close()
            return
        self._connections[task] = False
        peer = Peer(*writer.get_extra_info("peername", ("", 0))[:2])
        try:
            await self._serve(task, reader, writer, peer)
        except (TimeoutError, ConnectionError) as fault:
            _log.info("connection ended", peer=peer.host, reason=type(fault).__name__)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            del self._connections[task]
            writer.close()

    async def _serve(
        self,
        task: asyncio.Task[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
    ) -> None:
        """Read frames and answer them one after another until the other end closes."""
        frames = Frames(self._limits.message)
        began = 0.0
        while not self._stopping:
            wait = self._limits.idle
            if frames.open:
                wait = max(began + self._limits.frame - time.monotonic(), 0.0)
            async with asyncio.timeout(wait):
                data = await reader.read(65536)
            if not data:
                break
            was_open = frames.open
            try:
                messages = frames.feed(data)
            except FrameTooLong as fault:
                await self._answer(writer, _too_long(fault.head))
                break
            if frames.open and (messages or not was_open):
                began = time.monotonic()
            self._connections[task] = True
            for message in messages:
                await self._answer(writer, await self._receive(message, peer))
                if self._stopping:
                    break
            self._connections[task] = False
        if frames.skipped or frames.open:
            _log.warning("bytes outside of frames", peer=peer.host, count=frames.skipped)

    async def _answer(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        """Send an answer in its frame, to a peer that takes it in time."""
        if answer:
            writer.write(mllp.frame(answer))
            async with asyncio.timeout(self._limits.frame):
                await writer.drain()


def _too_long(head: bytes) -> bytes:
    """Give the AR of a message of which only the beginning is known."""
    refusal = TooLong("The message is longer than this listener takes")
    now = time.time_ns() // 1_000_000
    return acknowledge.unreadable(head, f"{now:x}", now, refusal)
