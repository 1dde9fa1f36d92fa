"""The SQLite store: one file, one writing thread, reads on the event loop while they are small."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import apsw
import msgspec

from fhir_server.search.expression import Plan
from fhir_server.search.match import Clinical
from fhir_server.store.port import (
    Change,
    Document,
    Extract,
    Key,
    Match,
    Numbered,
    Page,
    Past,
    Precondition,
    Reindexed,
    Scope,
    StoreDamaged,
    StoreUnavailable,
    Version,
    VersionIs,
)
from fhir_server.store.sqlite import care, documents, faults, schema, verify
from fhir_server.store.sqlite.keys import Hashes
from fhir_server.store.sqlite.reader import OverBudget, Reader
from fhir_server.store.sqlite.transaction import Transaction
from fhir_server.store.sqlite.turn import Turn
from fhir_server.store.sqlite.writer import Work, Writer

_T = TypeVar("_T")

_BUDGET: Final = 8
_POLL_S: Final = 1.0
_LOOP_CACHE_KIB: Final = 32_768
_THREAD_CACHE_KIB: Final = 8_192
_WRITER_CACHE_KIB: Final = 32_768
_MANY: Final = 200


def _now() -> int:
    return time.time_ns() // 1_000_000


def _no_clinical(_type: str) -> str | None:
    return None


class _Commit(msgspec.Struct, frozen=True):
    changes: Sequence[Change]
    preconditions: Sequence[Precondition]

    @property
    def weight(self) -> int:
        return max(1, len(self.changes))

    @property
    def keys(self) -> Sequence[Key]:
        keys = [change.key for change in self.changes]
        keys += [one.key for one in self.preconditions if isinstance(one, VersionIs)]
        return keys

    def __call__(self, transaction: Transaction) -> list[Version]:
        return transaction.apply(self.changes, self.preconditions)


class SqliteStore:
    """Resources and documents in one SQLite file; satisfies Store, Documents and Care.

    `clinical` names the atom of a type's clinical date, `clock` gives milliseconds since 1970 UTC, `threads`
    is how many long reads run at once, and `on_loop` lets small reads run on the event loop: off, for a
    database larger than memory.
    """

    def __init__(
        self,
        path: Path,
        *,
        clinical: Clinical = _no_clinical,
        clock: Callable[[], int] = _now,
        threads: int = 2,
        on_loop: bool = True,
    ) -> None:
        self._path = path
        self._clinical = clinical
        self._clock = clock
        self._threads = threads
        self._on_loop = on_loop
        self._open = self._damaged = False
        self._hashes = Hashes(b"")
        self._followers: set[asyncio.Event] = set()

    # --- Care ---

    @property
    def damaged(self) -> bool:
        """Tell whether a read or a write met a damaged page of the file since it was opened."""
        return self._damaged

    async def open(self) -> None:
        """Open, creating the file or migrating an older schema; raises SchemaTooNew, StoreUnavailable."""
        try:
            await asyncio.to_thread(self._prepare)
        except apsw.Error as fault:
            raise faults.of(fault, "the store cannot be opened") from fault
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="store-reader")
        self._open = True
        self._writer.start()
        if await self._small(lambda reader: care.uncondensed(reader.connection)):
            await self._condense()

    async def close(self) -> None:
        """Write what is queued and close."""
        if not self._open:
            return
        self._open = False
        for follower in self._followers:
            follower.set()
        await asyncio.to_thread(self._finish)

    async def verify(self) -> Sequence[str]:
        """Check the file and what must hold between its tables; gives a sentence for each fault found."""
        return await self._in_thread(lambda reader: list(verify.faults(reader.connection)))

    async def purge(self, key: Key) -> int:
        """Erase every version but the current one; gives how many."""
        gone = await self._write(care.Purge(key))
        if gone:
            await self._condense()
        return gone

    async def reindex(
        self, extract: Extract, *, type: str | None = None, after: int = 0, limit: int = 100
    ) -> Reindexed:
        """Give the next current resources new index values."""
        return await self._write(care.Reindex(extract, type, after, limit))

    async def import_versions(self, versions: Sequence[Past]) -> int:
        """Take over versions with their numbers and times; gives how many were new. Raises OutOfOrder."""
        return await self._write(care.Import(versions))

    async def backup(self, folder: Path, pinned: Callable[[], None]) -> int:
        """Copy the file as it is at one position into a folder; gives the position."""
        return await asyncio.to_thread(care.backup, self._path, folder, pinned)

    # --- Store ---

    async def read(self, key: Key) -> Version | None:
        """Give the current version (a deletion is one), or None if there never was any."""
        return await self._small(lambda reader: reader.read(key))

    async def read_many(self, keys: Sequence[Key]) -> Sequence[Version]:
        """Give the current versions of those keys that exist and are not deleted, in no set order."""
        if len(keys) > _MANY:
            return await self._in_thread(lambda reader: reader.read_many(keys))
        return await self._small(lambda reader: reader.read_many(keys))

    async def vread(self, key: Key, version_id: int) -> Version | None:
        """Give one version, or None."""
        return await self._small(lambda reader: reader.vread(key, version_id))

    async def deletions(self, numbers: Sequence[Numbered]) -> frozenset[Numbered]:
        """Give those of these superseded versions that are deletions."""
        if len(numbers) > _MANY:
            return await self._in_thread(lambda reader: reader.deletions(numbers))
        return await self._small(lambda reader: reader.deletions(numbers))

    async def commit(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition] = ()
    ) -> Sequence[Version]:
        """Write all changes or none, durably, after the preconditions held in the same transaction."""
        return await self._write(_Commit(changes, preconditions))

    async def history(self, scope: Scope, page: Page) -> Sequence[Version]:
        """Give versions newest first (by position)."""
        return await self._in_thread(lambda reader: reader.history(scope, page))

    async def search(self, plan: Plan) -> Sequence[Match]:
        """Give the page of matches that the plan asks for, in its order."""
        return await self._tried(
            lambda reader: reader.search(plan, bounded=_BUDGET), lambda reader: reader.search(plan)
        )

    async def count(self, plan: Plan) -> int:
        """Give the number of all matches, whatever the plan's limit and cursor."""
        return await self._tried(
            lambda reader: reader.count(plan, bounded=_BUDGET), lambda reader: reader.count(plan)
        )

    async def changes(
        self, after: int, types: frozenset[str] | None = None
    ) -> AsyncIterator[Version]:
        """Follow every version with a position above `after`, in order, waiting for new ones.

        Ends only when the store closes. Commits of other processes are seen within a second.
        """
        woken = asyncio.Event()
        self._followers.add(woken)
        try:
            while self._open:
                woken.clear()
                versions, after = await self._following(after, types)
                for version in versions:
                    yield version
                if not versions:
                    await _wait(woken)
        finally:
            self._followers.discard(woken)

    async def _following(
        self, after: int, types: frozenset[str] | None
    ) -> tuple[Sequence[Version], int]:
        try:
            return await self._small(lambda reader: reader.feed(after, types))
        except StoreUnavailable:
            if self._open:
                raise
            return (), after  # it was closed meanwhile

    async def position(self) -> int:
        """Give the position of the newest version, 0 in an empty store."""
        return await self._small(lambda reader: reader.position())

    async def explain(self, plan: Plan) -> str:
        """Tell the statements of a plan, where they would run and by which indexes."""
        return await self._in_thread(lambda reader: reader.explain(plan))

    # --- Documents ---

    async def get(self, tenant: str, namespace: str, key: str) -> Document | None:
        """Give a document that has not expired, or None."""
        now = self._clock()
        return await self._small(
            lambda reader: documents.get(reader.connection, tenant, namespace, key, now)
        )

    async def put(
        self,
        tenant: str,
        namespace: str,
        key: str,
        value: bytes,
        *,
        expires: int | None = None,
        revision: int | None = None,
    ) -> int | None:
        """Write durably and give the new revision; None, nothing written, if `revision` is not current."""
        work = documents.Put(tenant, namespace, key, value, expires, revision, self._clock())
        return await self._write(work)

    async def delete(self, tenant: str, namespace: str, key: str) -> bool:
        """Remove; tells whether there was one that had not expired."""
        return await self._write(documents.Delete(tenant, namespace, key, self._clock()))

    async def list(
        self, tenant: str, namespace: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Document]:
        """Give documents by key order, those past `after`, without the expired."""
        now, place = self._clock(), (tenant, namespace, after)
        return await self._small(
            lambda reader: documents.page(reader.connection, place, limit, now)
        )

    async def sweep(self) -> int:
        """Remove what has expired; gives how many."""
        return await self._write(documents.Sweep(self._clock()))

    # --- how ---

    async def _condense(self) -> None:
        """Take out of the text indexes, for good, what was removed from them."""
        more = await self._write(care.Condense(first=True))
        while more:
            more = await self._write(care.Condense(first=False))

    async def _write(self, work: Work[_T]) -> _T:
        if not self._open:
            raise StoreUnavailable("the store is not open")
        try:
            return await self._writer.submit(work)
        except StoreDamaged as fault:
            self._met(fault)
            raise

    async def _small(self, work: Callable[[Reader], _T]) -> _T:
        """Run a read that is small by its nature."""
        if not self._on_loop:
            return await self._in_thread(work)
        return self._run(work)

    async def _tried(self, small: Callable[[Reader], _T], whole: Callable[[Reader], _T]) -> _T:
        """Run a read on the event loop unless it turns out long; then in a thread."""
        if self._on_loop:
            try:
                return self._run(small)
            except OverBudget:
                pass
        return await self._in_thread(whole)

    async def _in_thread(self, work: Callable[[Reader], _T]) -> _T:
        if not self._open:
            raise StoreUnavailable("the store is not open")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._run, work)

    def _run(self, work: Callable[[Reader], _T]) -> _T:
        if not self._open:
            raise StoreUnavailable("the store is not open")
        try:
            return work(self._reader())
        except (
            apsw.SQLError
        ):  # a statement that is wrong is a defect here, not a state of the store
            raise
        except apsw.Error as fault:
            raise self._met(faults.of(fault, "the store cannot be read")) from fault

    def _met(self, fault: StoreUnavailable) -> StoreUnavailable:
        """Take note of damage, and give the fault."""
        self._damaged = self._damaged or isinstance(fault, StoreDamaged)
        return fault

    def _reader(self) -> Reader:
        """Give this thread's reader, with a connection of its own."""
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            pooled = threading.current_thread().name.startswith("store-reader")
            cache = _THREAD_CACHE_KIB if pooled else _LOOP_CACHE_KIB
            connection = schema.connect(self._path, cache_kib=cache)
            self._connections.append(connection)
            reader = self._local.reader = Reader(connection, self._hashes, self._clinical)
        return reader

    def _prepare(self) -> None:
        writes = schema.connect(self._path, cache_kib=_WRITER_CACHE_KIB, writes=True)
        schema.migrate(writes)
        self._hashes = Hashes(schema.secret(writes))
        checkpoints = schema.connect(self._path, cache_kib=_THREAD_CACHE_KIB, writes=True)
        self._turn = Turn(self._path)
        transaction = Transaction(writes, self._hashes, self._clinical, self._clock, self._turn)
        self._writer = Writer(transaction, checkpoints, self._wake)
        self._writing = (writes, checkpoints)

    def _finish(self) -> None:
        self._writer.stop()
        self._pool.shutdown()
        for connection in (*self._connections, *self._writing):
            connection.close()
        self._turn.close()

    def _wake(self) -> None:
        for follower in self._followers:
            follower.set()


async def _wait(woken: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_POLL_S):
            await woken.wait()
    except TimeoutError:
        return
