"""The MongoDB store: a replica set or a sharded cluster, shared by any number of server processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import structlog
from pymongo import AsyncMongoClient

from fhir_server.search.expression import Plan
from fhir_server.search.match import Clinical
from fhir_server.store.mongo import (
    care,
    connection,
    copying,
    documents,
    explain,
    faults,
    schema,
    verify,
)
from fhir_server.store.mongo.commit import Commit
from fhir_server.store.mongo.contents import MongoContents
from fhir_server.store.mongo.files import MongoFiles
from fhir_server.store.mongo.reader import Reader
from fhir_server.store.mongo.recent import Recent
from fhir_server.store.mongo.searches import Searches
from fhir_server.store.mongo.transaction import Done, Held, Work
from fhir_server.store.mongo.view import Database, View
from fhir_server.store.mongo.view import Document as Fields
from fhir_server.store.mongo.writer import Writer
from fhir_server.store.port import (
    PLACES,
    Change,
    Document,
    Extract,
    Key,
    Match,
    NotEmpty,
    Numbered,
    Page,
    Past,
    Precondition,
    Reindexed,
    Scope,
    StoreUnavailable,
    Version,
)
from resources.outcome import TooLarge

_FEED: Final = 200
_POLL_S: Final = 1.0
_PURGE_WAITS_S: Final = 30.0
_LARGEST: Final = 15_000_000
"""The largest body in bytes: a document holds 16 MiB with its index values."""

_log = structlog.get_logger(__name__)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _no_clinical(_type: str) -> str | None:
    return None


class MongoStore:
    """Resources and documents in one MongoDB database; satisfies Store, Documents and Care.

    `clinical` names the atom of a type's clinical date, `clock` gives milliseconds since 1970 UTC. To be used
    on the event loop that opened it.
    """

    def __init__(
        self, url: str, *, clinical: Clinical = _no_clinical, clock: Callable[[], int] = _now
    ) -> None:
        self._url = url
        self._clinical = clinical
        self._searches = Searches(clinical)
        self._clock = clock
        self._opened: tuple[AsyncMongoClient[Fields], Database, Writer] | None = None
        self._followers: set[asyncio.Event] = set()
        self._recent = Recent(_POLL_S)
        self.contents = MongoContents(lambda: self._database, clock)
        """Where the large contents of this store lie."""

    def files(self, kind: str) -> MongoFiles:
        """Give where the files of a kind of job lie."""
        return MongoFiles(lambda: self._database, self._clock, kind)

    # --- Care ---

    @property
    def damaged(self) -> bool:
        """Tell that nothing is damaged here: a damaged `mongod` ends, and another member takes its place."""
        return False

    async def open(self) -> None:
        """Connect, make what is missing; raises SettingsError, SchemaTooNew, StoreUnavailable."""
        client = connection.connect(self._url)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(client.close)
            await connection.check(client)
            database = connection.database(client)
            writer = Writer(database, self._clinical, self._searches, self._clock, self._done)
            with faults.told():
                await schema.prepare(database)
                await writer.start()
            undo.pop_all()
        self._opened = client, database, writer

    async def close(self) -> None:
        """Write what is queued and disconnect."""
        if self._opened is None:
            return
        client, _, writer = self._opened
        await writer.stop()
        self._opened = None
        self._wake()
        await client.close()

    async def verify(self) -> Sequence[str]:
        """Check the indexes and what must hold between the collections; gives a sentence for each fault."""
        with faults.told():
            database = self._database
            return [*await schema.faults(database), *await verify.faults(database)]

    async def purge(self, key: Key) -> int:
        """Erase every version but the current one; gives how many. Waits while a copy is made."""
        end = time.monotonic() + _PURGE_WAITS_S
        while True:
            try:
                return int(await self._write(care.Purge(key)))
            except Held:
                if time.monotonic() > end:
                    raise StoreUnavailable("a backup is being made: erase after it") from None
                await asyncio.sleep(_POLL_S)

    async def reindex(
        self, extract: Extract, *, type: str | None = None, after: int = 0, limit: int = 100
    ) -> Reindexed:
        """Give the next current resources new index values."""
        done: Reindexed = await self._write(care.Reindex(extract, type, after, limit))
        return done

    async def import_versions(self, versions: Sequence[Past]) -> int:
        """Take over versions with their numbers and times; gives how many were new. Raises OutOfOrder."""
        return int(await self._write(care.Import(versions))) if versions else 0

    async def backup(self, folder: Path, pinned: Callable[[], None]) -> int:
        """Copy resources, documents and large contents as they are at one position; gives the position.

        Nothing is purged meanwhile, by any server. Raises StoreUnavailable.
        """
        database, writer = self._database, self._writer
        await self._write(care.Hold(writer.me))
        try:
            with faults.told():
                position = await copying.copy(database, self.contents, folder, pinned)
                held = await database["writers"].find_one({**writer.me, "holding": True})
        finally:
            with faults.told():
                await database["writers"].update_one(writer.me, {"$unset": {"holding": ""}})
        if held is None:
            raise StoreUnavailable("the copy was held up, and something may have been purged")
        return position

    async def restore(self, folder: Path, extract: Callable[[], Awaitable[Extract]]) -> int:
        """Put a copy back, positions included, and give the position; raises NotEmpty.

        `extract` is asked for when the documents are back. Until all is, nobody else opens the store.
        """
        database = self._database
        with faults.told():
            if not await copying.empty(database):
                raise NotEmpty
            await copying.begin(database)
            await copying.put_documents(database, folder, self._clock())
        for tenant, path in copying.blobs(folder):
            await self.contents.put(tenant, await asyncio.to_thread(path.read_bytes))
        given = await extract()
        for group in copying.versions(folder):
            await self._write(care.Restore([copying.past(one, given) for one in group]))
        with faults.told():
            await copying.end(database)
        return await self.position()

    # --- Store ---

    async def read(self, key: Key) -> Version | None:
        """Give the current version (a deletion is one), or None if there never was any."""
        with faults.told():
            return await self._reader.read(key)

    async def read_many(self, keys: Sequence[Key]) -> Sequence[Version]:
        """Give the current versions of those keys that exist and are not deleted, in no set order."""
        with faults.told():
            return await self._reader.read_many(keys)

    async def vread(self, key: Key, version_id: int) -> Version | None:
        """Give one version, or None."""
        with faults.told():
            return await self._reader.vread(key, version_id)

    async def deletions(self, numbers: Sequence[Numbered]) -> frozenset[Numbered]:
        """Give those of these superseded versions that are deletions."""
        with faults.told():
            return await self._reader.deletions(numbers)

    async def commit(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition] = ()
    ) -> Sequence[Version]:
        """Write all changes or none, durably, after the preconditions held in the same transaction."""
        if any(_size(change) > _LARGEST for change in changes):
            raise TooLarge(f"This store keeps resources of up to {_LARGEST:,} bytes")
        if not changes and not preconditions:
            return []
        written: Sequence[Version] = await self._write(Commit(changes, preconditions))
        return written

    async def history(self, scope: Scope, page: Page) -> Sequence[Version]:
        """Give versions newest first (by position)."""
        with faults.told():
            return await self._reader.history(scope, page)

    async def search(self, plan: Plan) -> Sequence[Match]:
        """Give the page of matches that the plan asks for, in its order."""
        with faults.told():
            return await self._searches.search(self._view, plan)

    async def count(self, plan: Plan) -> int:
        """Give the number of all matches, whatever the plan's limit and cursor."""
        with faults.told():
            return await self._searches.count(self._view, plan)

    async def changes(
        self, after: int, types: frozenset[str] | None = None
    ) -> AsyncIterator[Version]:
        """Follow every version with a position above `after`, in order, waiting for new ones.

        Ends only when the store closes. Commits of other processes are seen within a second; while no primary
        can be reached, it waits for one.
        """
        woken = asyncio.Event()
        self._followers.add(woken)
        try:
            while self._opened is not None:
                woken.clear()
                versions = await self._following(after)
                for version in versions:
                    after = version.position
                    if types is None or version.key.type in types or not after % PLACES:
                        yield version
                if not versions:
                    await _wait(woken)
        finally:
            self._followers.discard(woken)

    async def _following(self, after: int) -> Sequence[Version]:
        known = self._recent.after(after, _FEED)
        if known is not None:
            return known
        try:
            with faults.told():
                async with self._view.instant() as view:
                    return await Reader(view).feed(after, _FEED)
        except StoreUnavailable as fault:
            _log.warning("feed_waits", fault=str(fault))
            return []

    async def position(self) -> int:
        """Give the position of the newest version, 0 in an empty store."""
        with faults.told():
            return await self._reader.position()

    async def explain(self, plan: Plan) -> str:
        """Tell the queries of a plan, by which indexes they run and how much they look at."""
        with faults.told():
            found = await self._searches.queries(self._view, plan)
            return await explain.told(self._database, found, plan.limit)

    # --- Documents ---

    async def get(self, tenant: str, namespace: str, key: str) -> Document | None:
        """Give a document that has not expired, or None."""
        with faults.told():
            return await documents.get(self._database, self._place(tenant, namespace, key))

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
        place = self._place(tenant, namespace, key)
        with faults.told():
            if revision is None:
                return await documents.put(self._database, place, value, expires)
            return await documents.replace(self._database, place, value, expires, revision)

    async def delete(self, tenant: str, namespace: str, key: str) -> bool:
        """Remove; tells whether there was one that had not expired."""
        with faults.told():
            return await documents.delete(self._database, self._place(tenant, namespace, key))

    async def list(
        self, tenant: str, namespace: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Document]:
        """Give documents by key order, those past `after`, without the expired."""
        place = (tenant, namespace, after)
        with faults.told():
            return await documents.page(self._database, place, limit, self._clock())

    async def sweep(self) -> int:
        """Remove what has expired, and contents that came to nothing; gives how many documents."""
        await self.contents.sweep()
        with faults.told():
            return await documents.sweep(self._database, self._clock())

    # --- how ---

    @property
    def _database(self) -> Database:
        if self._opened is None:
            raise StoreUnavailable("the store is not open")
        return self._opened[1]

    @property
    def _view(self) -> View:
        return View(self._database)

    @property
    def _reader(self) -> Reader:
        return Reader(self._view)

    async def _write(self, work: Work) -> Any:
        return await self._writer.submit(work)

    @property
    def _writer(self) -> Writer:
        if self._opened is None:
            raise StoreUnavailable("the store is not open")
        return self._opened[2]

    def _place(self, tenant: str, namespace: str, key: str) -> documents.Place:
        return documents.Place(tenant, namespace, key, self._clock())

    def _done(self, done: Done) -> None:
        """Tell those who follow the feed what was written."""
        if done.erased:
            self._recent.forget()
        self._recent.add(done.made)
        self._wake()

    def _wake(self) -> None:
        for follower in self._followers:
            follower.set()


def _size(change: Change) -> int:
    return 0 if change.body is None else len(change.body.head) + len(change.body.tail)


async def _wait(woken: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_POLL_S):
            await woken.wait()
    except TimeoutError:
        return
