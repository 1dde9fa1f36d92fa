"""The raw content of a Binary on its way in: in memory while it is small, then in a file without a name.

https://hl7.org/fhir/R4/binary.html#rest. Its SHA-256 is made as it comes; nothing holds all of it.
"""

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import structlog
from starlette.types import Receive

from fhir_server.http import content
from fhir_server.http.unpacking import Unpacking
from fhir_server.store.out_of_line import LARGE
from fhir_server.store.port import Brought, NotKept

log = structlog.get_logger()

_PIECE = 1 << 20


async def read(
    receive: Receive, headers: Mapping[str, str], limit: int, folder: Path
) -> bytes | Brought:
    """Give a request's body, unpacked: its bytes, or the file below `folder` that it waits in.

    Whoever gets a file closes it. Raises TooLarge where the body is over the limit, as it came or unpacked,
    and NotKept where the file cannot be written.
    """
    pieces = content.pieces(receive, headers, limit)
    if content.is_packed(headers):
        pieces = _unpacked(pieces, limit)
    with contextlib.ExitStack() as stack:
        spool = _Spool(folder)
        stack.callback(spool.close)
        async for piece in pieces:
            await spool.add(piece)
        done = await spool.done()
        stack.pop_all()  # whoever gets the file closes it
    return done


class _Spool:
    """Collects pieces; what was collected goes into the file off the event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[bytes] = []
        self._waiting = 0
        self._size = 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None

    async def add(self, piece: bytes) -> None:
        """Take the next piece."""
        self._held.append(piece)
        self._waiting += len(piece)
        if self._waiting > (LARGE if self._file is None else _PIECE):
            await self._written()

    async def done(self) -> bytes | Brought:
        """Give all that was added."""
        if self._file is None:
            return b"".join(self._held)
        await self._written()
        return Brought(self._file, self._size, self._digest.hexdigest())

    def close(self) -> None:
        """Forget what was added."""
        if self._file is not None:
            with contextlib.suppress(
                OSError
            ):  # of what was not written yet, which nobody wants now
                self._file.close()

    async def _written(self) -> None:
        try:
            await asyncio.to_thread(self._write)
        except OSError as fault:
            log.error("content not taken", kind=type(fault).__name__)  # noqa: TRY400 - the kind says it
            raise NotKept("a content cannot be written on its way in") from fault

    def _write(self) -> None:
        if self._file is None:
            made = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by who gets it
            self._file = cast("BinaryIO", made)
        for piece in self._held:
            self._digest.update(piece)
            self._file.write(piece)
        self._file.flush()
        self._size += self._waiting
        self._held, self._waiting = [], 0


async def _unpacked(pieces: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Unpack gzip piece by piece."""
    unpacking = Unpacking(limit)
    async for packed in pieces:
        for piece in unpacking.pieces(packed):
            yield piece
    unpacking.end()
