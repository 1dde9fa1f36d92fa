"""The journal that a process appends its accesses to, before their answers leave.

Each append is one write() to a file of mode 0600, so it outlives the process at once. It is synced to the
disk at the latest SYNC_S later, and before `synced` returns; appends that come meanwhile share the next sync.
"""

import asyncio
import contextlib
import fcntl
import os
import secrets
import time
from pathlib import Path

import msgspec
import structlog

from fhir_server.audit.chain import START, SUFFIX, line, linked
from fhir_server.audit.record import End, Header, Record
from fhir_server.durable import sync_folder

log = structlog.get_logger()

SYNC_S = 0.08
_LARGEST = 64 << 20
_DAY_MS = 86_400_000


class JournalFailed(Exception):
    """The journal cannot be written; what it was to hold was not kept."""


class Journal:
    """Appends records to files under `folder`, a new one each day or 64 MiB; `key` is that of the chain.

    The first record makes the first file. Not to be shared by processes; every process has files of its own.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._key = key
        self._encoder = msgspec.json.Encoder()
        self._file = -1
        self._name = ""
        self._digest = START
        self._size = 0
        self._until = 0
        self._dirty = False
        self._timer: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._next: asyncio.Future[None] | None = None
        self.fault = ""

    def append(self, record: Record) -> None:
        """Write a record behind all others; raises JournalFailed where it cannot be."""
        try:
            if record.time >= self._until or self._size > _LARGEST:
                self._begin(record.time)
            self._write(self._encoder.encode(record))
        except OSError as fault:
            self._failed(fault)
            raise JournalFailed from None
        self.fault = ""
        self._sync_soon()

    async def synced(self) -> None:
        """Return once all that was appended is on the disk, at once if it is; raises JournalFailed."""
        if not self._dirty and self._syncing is None:
            return
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        waiting = self._next
        if self._syncing is None:
            self._start()
        await asyncio.shield(waiting)

    def close(self) -> None:
        """Sync and close the file in order, if one was begun."""
        if self._timer is not None:
            self._timer.cancel()
        if self._file >= 0:
            with contextlib.suppress(OSError):
                self._end()

    def _begin(self, now: int) -> None:
        """Close the file and begin the next, which names the one before and its last hash."""
        if self._file >= 0:
            self._end()
        previous, digest = self._name, self._digest.hex() if self._name else ""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        day = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now / 1000))
        name = f"{day}-{secrets.token_hex(6)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        path = self._folder / (name + SUFFIX)
        self._file = os.open(path, flags, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._digest, self._size = START, 0
        try:
            self._write(self._encoder.encode(Header(name, previous, digest)))
        except OSError:
            os.close(self._file)
            self._file = -1
            path.unlink()
            raise
        self._name, self._until = name, (now // _DAY_MS + 1) * _DAY_MS
        sync_folder(self._folder)

    def _write(self, content: bytes) -> None:
        digest = linked(self._key, self._digest, content)
        text = line(digest, content)
        if os.write(self._file, text) != len(text):
            self._until = 0  # the torn line stays the last of its file
            raise OSError("the line was written in part")
        self._digest = digest
        self._size += len(text)

    def _end(self) -> None:
        """Mark the end of the file, sync and close it."""
        file, self._file, self._until = self._file, -1, 0
        try:
            content = self._encoder.encode(End(time.time_ns() // 1_000_000))
            self._digest = linked(self._key, self._digest, content)
            os.write(file, line(self._digest, content))
            os.fdatasync(file)
        finally:
            os.close(file)

    def _sync_soon(self) -> None:
        """See to it that what was just appended is synced in time; without an event loop at once."""
        if self._dirty:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            os.fdatasync(self._file)
            return
        self._dirty = True
        self._timer = loop.call_later(SYNC_S, self._start)

    def _start(self) -> None:
        if self._syncing is None and self._file >= 0:
            self._syncing = asyncio.get_running_loop().create_task(self._sync())

    async def _sync(self) -> None:
        """Sync until nobody waits; off the event loop."""
        while self._dirty or self._next is not None:
            waiting, self._next, self._dirty = self._next, None, False
            if self._timer is not None:
                self._timer.cancel()
            fault = await self._synced()
            if waiting is not None and not waiting.done():
                if fault is None:
                    waiting.set_result(None)
                else:
                    waiting.set_exception(JournalFailed())
        self._syncing = None

    async def _synced(self) -> OSError | None:
        """Sync the file as it is now; one that was ended meanwhile is synced already."""
        if self._file < 0:
            return None
        copy = os.dup(self._file)
        try:
            await asyncio.to_thread(os.fdatasync, copy)
        except OSError as fault:
            self._failed(fault)
            return fault
        finally:
            os.close(copy)
        return None

    def _failed(self, fault: OSError) -> None:
        self.fault = fault.strerror or "cannot be written"
        log.error("audit journal failed", reason=self.fault)
