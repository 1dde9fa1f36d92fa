"""The embedded archive: files on the local disk and an index in SQLite beside them.

An instance is received into a file of its own, brought to the disk, read, then committed in a batch: the
hashes about to be placed are noted, the files moved to their places, and the index rows written, each step
durable before the next. After a crash the noted hashes tell which files came without their rows.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, TypeVar, TypeVarTuple

import apsw
from msgspec import Struct

from dicomweb_bridge import instance as instances
from dicomweb_bridge.archive import index
from dicomweb_bridge.archive.files import Arriving, Files
from dicomweb_bridge.archive.port import (
    Failure,
    Fault,
    Instance,
    Query,
    Record,
    Refused,
    Stored,
    StudyContent,
    Where,
)
from dicomweb_bridge.attributes import values
from dicomweb_bridge.dicom_file import Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
    from pathlib import Path

    from dicomweb_bridge.instance import Facts

_BATCH = 64
_BATCH_BYTES = 64 * 1024**2
_READERS = 4
_PIECE = 1024**2
_METADATA_PAGE = 100

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Arrived(Struct, frozen=True):
    """A received instance, read and on the disk, that the index does not have yet."""

    facts: Facts
    sha256: str
    size: int
    file: Arriving


class LocalArchive:
    """Satisfies the `Archive` port below one folder; `open` it before use.

    Several processes may have it open. `writable` false, for a worker that only reads, makes nothing and
    repairs nothing.
    """

    def __init__(self, root: Path, *, limits: Limits | None = None, writable: bool = True) -> None:
        self._root = root
        self._files = Files(root)
        self._limits = limits or Limits()
        self._writable = writable
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._lock: int | None = None
        self._writer = ThreadPoolExecutor(1, "archive-writer")
        self._readers = ThreadPoolExecutor(_READERS, "archive-reader")

    async def open(self) -> None:
        """Open, and heal what a crash left; raises IndexTooNew."""
        # pydicom's warnings quote the values of patients' files.
        warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
        if self._writable:
            await self._write(self._prepare)

    async def close(self) -> None:
        """Finish and close."""
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._connections:
            connection.close()
        if self._lock is not None:
            os.close(self._lock)

    async def store(
        self,
        tenant: str,
        parts: AsyncIterable[AsyncIterable[bytes]],
        study: str | None = None,
    ) -> AsyncIterator[Stored | Refused]:
        """Store each part and give its outcome once that is durable."""
        batch: list[Arrived | Refused] = []
        size = 0
        try:
            async for part in parts:
                arrived = await self._receive(part, study)
                batch.append(arrived)
                size += arrived.size if isinstance(arrived, Arrived) else 0
                if len(batch) >= _BATCH or size >= _BATCH_BYTES:
                    outcomes = await self._write(self._commit, tenant, batch)
                    batch, size = [], 0
                    for outcome in outcomes:
                        yield outcome
            for outcome in await self._write(self._commit, tenant, batch):
                yield outcome
        finally:
            for arrived in batch:
                if isinstance(arrived, Arrived):
                    arrived.file.discard()

    async def _receive(self, part: AsyncIterable[bytes], study: str | None) -> Arrived | Refused:
        """Receive one part into a file and read it; the whole part is consumed in any case."""
        arriving = await self._arriving()
        taken = False
        try:
            pending = bytearray()
            async for chunk in part:
                if arriving.size + len(pending) <= self._limits.instance:
                    pending += chunk
                if len(pending) >= _PIECE:
                    await self._read(arriving.write, bytes(pending))
                    pending.clear()
            arrived = await self._read(self._finish, arriving, bytes(pending), study)
            taken = isinstance(arrived, Arrived)
            return arrived
        finally:
            if not taken:
                arriving.discard()

    async def _arriving(self) -> Arriving:
        """Begin a file; one that is opened for a sender who has gone meanwhile is removed again."""
        opening = asyncio.ensure_future(self._read(self._files.arrive))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_discard_opened)
            raise

    def _finish(self, arriving: Arriving, rest: bytes, study: str | None) -> Arrived | Refused:
        arriving.write(rest)
        if arriving.size > self._limits.instance:
            return Refused(Failure.TOO_LARGE)
        sha256 = arriving.finish()
        if sha256 is None:
            return Refused(Failure.OUT_OF_RESOURCES)
        try:
            facts = instances.read(arriving.path, self._limits)
        except instances.Unacceptable as fault:
            return Refused(fault.failure, fault.sop_class, fault.instance)
        if study is not None and facts.study != study:
            return Refused(Failure.OTHER_STUDY, facts.sop_class, facts.instance)
        return Arrived(facts, sha256, arriving.size, arriving)

    def _commit(self, tenant: str, batch: Sequence[Arrived | Refused]) -> list[Stored | Refused]:
        """Place and index a batch, or refuse it all if the disk does; runs in the writer's thread."""
        try:
            return self._committed(tenant, batch)
        except (OSError, apsw.FullError, apsw.IOError):
            return [one if isinstance(one, Refused) else _no_room(one) for one in batch]

    def _committed(self, tenant: str, batch: Sequence[Arrived | Refused]) -> list[Stored | Refused]:
        arrived = [one for one in batch if isinstance(one, Arrived)]
        connection = self._connection()
        if arrived:
            self._note(connection, tenant, arrived)
        connection.execute("BEGIN IMMEDIATE")
        with ExitStack() as undo:
            undo.callback(connection.execute, "ROLLBACK")
            outcomes = [
                one if isinstance(one, Refused) else self._settle(connection, tenant, one)
                for one in batch
            ]
            connection.executemany(
                "DELETE FROM placing WHERE tenant = ? AND sha256 = ?",
                [(tenant, one.sha256) for one in arrived],
            )
            undo.pop_all()
        connection.execute("COMMIT")
        for one in arrived:
            one.file.discard()
        return outcomes

    def _note(self, connection: apsw.Connection, tenant: str, arrived: Sequence[Arrived]) -> None:
        """Write down, durably, which files are about to be placed."""
        with connection:
            connection.executemany(
                "INSERT OR IGNORE INTO placing VALUES (?, ?)",
                [(tenant, one.sha256) for one in arrived],
            )

    def _settle(self, connection: apsw.Connection, tenant: str, one: Arrived) -> Stored | Refused:
        """Decide on an instance in the commit's transaction, and place and index it if it is new."""
        facts = one.facts
        held = index.held(connection, tenant, facts.instance)
        if held not in {None, one.sha256}:
            return Refused(Failure.DUPLICATE, facts.sop_class, facts.instance)
        if held is None and self._other_patient(connection, tenant, facts):
            return Refused(Failure.OTHER_PATIENT, facts.sop_class, facts.instance)
        if held is None or not self._files.path(tenant, one.sha256).exists():
            self._files.place(one.file.path, tenant, one.sha256)
        if held is None:
            index.add(connection, tenant, facts, one.sha256, one.size)
        return Stored(
            facts.study,
            facts.series,
            facts.instance,
            facts.sop_class,
            one.sha256,
            created=held is None,
        )

    def _other_patient(self, connection: apsw.Connection, tenant: str, facts: Facts) -> bool:
        """Tell whether the study is already another patient's: one study, one patient (PS3.3 A.1.2)."""
        known = index.patient_of(connection, tenant, facts.study)
        new = [values(facts.levels["study"], tag) for tag in ("00100020", "00100021")]
        return any(
            old and found and old != str(found[0]) for old, found in zip(known, new, strict=True)
        )

    async def find(self, tenant: str, query: Query) -> Sequence[Record]:
        """Give the page of studies, series or instances that match."""
        return await self._read(lambda: index.find(self._connection(), tenant, query))

    async def study(self, tenant: str, uid: str) -> StudyContent | None:
        """Give all the index knows of a study, or None."""
        return await self._read(lambda: index.study(self._connection(), tenant, uid))

    async def instances(self, tenant: str, where: Where) -> Sequence[Instance]:
        """Give the instances of a study, of a series or one."""
        return await self._read(lambda: index.instances(self._connection(), tenant, where))

    async def metadata(self, tenant: str, where: Where) -> AsyncIterator[bytes]:
        """Give each instance's DICOM JSON, with the base URL's place held."""
        uids = [one.instance for one in await self.instances(tenant, where)]
        for start in range(0, len(uids), _METADATA_PAGE):
            page = uids[start : start + _METADATA_PAGE]
            for found in await self._read(self._metadata, tenant, page):
                yield found

    def _metadata(self, tenant: str, uids: Sequence[str]) -> list[bytes]:
        return list(index.metadata(self._connection(), tenant, uids))

    async def open_file(self, tenant: str, instance: Instance) -> BinaryIO:
        """Open an instance's DICOM file."""
        path = self._files.path(tenant, instance.sha256)
        return await self._read(lambda: path.open("rb"))

    async def undescribed(self) -> Sequence[tuple[str, str]]:
        """Give the studies that changed since they were described."""
        return await self._read(self._undescribed)

    def _undescribed(self) -> list[tuple[str, str]]:
        rows = self._connection().execute(
            "SELECT tenant, StudyInstanceUID FROM study WHERE described < changed"
        )
        return [(str(tenant), str(uid)) for tenant, uid in rows]

    async def described(self, tenant: str, uid: str, changed: int) -> None:
        """Note that a study is described as it was at this count of changes."""
        await self._write(
            lambda: self._connection().execute(
                "UPDATE study SET described = max(described, ?) WHERE tenant = ? AND StudyInstanceUID = ?",
                (changed, tenant, uid),
            )
        )

    async def delete(self, tenant: str, where: Where) -> int:
        """Remove instances for good: from the index first, then their files."""
        return await self._write(self._delete, tenant, where)

    def _delete(self, tenant: str, where: Where) -> int:
        connection = self._connection()
        with connection:
            hashes = index.remove(connection, tenant, where)
        for sha256 in hashes:
            self._files.remove(tenant, sha256)
        return len(hashes)

    async def verify(self) -> Sequence[Fault]:
        """Read everything and give what is missing, damaged or not indexed."""
        return await self._read(self._verify)

    def _verify(self) -> list[Fault]:
        indexed = set(self._connection().execute("SELECT tenant, sha256 FROM instance"))
        faults = []
        for tenant, sha256 in sorted(indexed):
            digest = self._files.digest(tenant, sha256)
            if digest != sha256:
                faults.append(Fault(tenant, sha256, "missing" if digest is None else "damaged"))
        faults += [Fault(*name, "unindexed") for name in self._files.all() if name not in indexed]
        return faults

    def _prepare(self) -> None:
        """Make the folders and tables; the only opener heals, others wait for it."""
        self._files.prepare()
        self._lock = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            index.migrate(self._connection())
            return
        index.migrate(self._connection())
        self._heal()
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _heal(self) -> None:
        """Index the files that a crash left placed without rows, and drop what was half received."""
        connection = self._connection()
        for tenant, sha256 in connection.execute("SELECT tenant, sha256 FROM placing").fetchall():
            with connection:
                self._index_placed(connection, str(tenant), str(sha256))
                connection.execute(
                    "DELETE FROM placing WHERE tenant = ? AND sha256 = ?", (tenant, sha256)
                )
        self._files.clear_incoming()

    def _index_placed(self, connection: apsw.Connection, tenant: str, sha256: str) -> None:
        path = self._files.path(tenant, sha256)
        if not path.exists():
            return
        try:
            facts = instances.read(path, self._limits)
        except instances.Unacceptable:
            return
        if index.held(connection, tenant, facts.instance) is None:
            index.add(connection, tenant, facts, sha256, path.stat().st_size)

    def _connection(self) -> apsw.Connection:
        """Give this thread's connection."""
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = index.connect(self._root / "index.sqlite", writable=self._writable)
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    async def _read(self, call: Callable[[*Args], T], *args: *Args) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, call, *args)

    async def _write(self, call: Callable[[*Args], T], *args: *Args) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, call, *args)


def _discard_opened(opening: asyncio.Future[Arriving]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().discard()


def _no_room(one: Arrived) -> Refused:
    return Refused(Failure.OUT_OF_RESOURCES, one.facts.sop_class, one.facts.instance)
