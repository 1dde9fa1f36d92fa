"""The store in memory: the meaning of the port, with which the other adapters agree. Nothing is durable."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from msgspec.structs import replace

from fhir_server.search.expression import Plan
from fhir_server.search.match import Clinical
from fhir_server.search.values import IndexValues, no_values
from fhir_server.store import scan
from fhir_server.store.port import (
    PLACES,
    Change,
    Document,
    Extract,
    Key,
    Match,
    MatchConflict,
    Numbered,
    OutOfOrder,
    Page,
    Past,
    Precondition,
    Reindexed,
    Scope,
    StoreUnavailable,
    Version,
    VersionConflict,
    VersionIs,
)
from fhir_server.store.scan import Record

_MOST_FOUND = 3


def _now() -> int:
    return time.time_ns() // 1_000_000


def _no_clinical(_type: str) -> str | None:
    return None


class MemoryStore:
    """Resources and documents in dictionaries; satisfies Store, Documents and Care.

    `clinical` names the atom of a type's clinical date, `clock` gives milliseconds since 1970 UTC.
    """

    def __init__(
        self, *, clinical: Clinical = _no_clinical, clock: Callable[[], int] = _now
    ) -> None:
        self._clinical = clinical
        self._clock = clock
        self._records: dict[Key, Record] = {}
        self._log: list[Version] = []
        self._documents: defaultdict[tuple[str, str], dict[str, Document]] = defaultdict(dict)
        self._lock = asyncio.Lock()
        self._followers: set[asyncio.Event] = set()
        self._closed = False

    # --- Care ---

    @property
    def damaged(self) -> bool:
        """Tell that nothing is damaged."""
        return False

    async def open(self) -> None:
        """Open; there is nothing to migrate."""
        self._closed = False

    async def close(self) -> None:
        """Close; what is stored stays until the store is forgotten."""
        self._closed = True
        self._wake()

    async def verify(self) -> Sequence[str]:
        """Check that the log of changes and the versions agree; gives a sentence for each fault found."""
        logged = {(v.key, v.version_id) for v in self._log}
        kept = {(v.key, v.version_id) for r in self._records.values() for v in r.versions}
        return [] if logged == kept else ["The log of changes and the versions disagree."]

    async def purge(self, key: Key) -> int:
        """Erase every version but the current one; gives how many."""
        async with self._lock:
            record = self._records.get(key)
            if record is None:
                return 0
            gone = {version.position for version in record.versions[:-1]}
            del record.versions[:-1]
            self._log = [version for version in self._log if version.position not in gone]
            return len(gone)

    async def reindex(
        self, extract: Extract, *, type: str | None = None, after: int = 0, limit: int = 100
    ) -> Reindexed:
        """Give the next current resources new index values."""
        async with self._lock:
            current = (r for r in self._records.values() if r.current.body is not None)
            wanted = (r for r in current if r.place > after and type in {None, r.current.key.type})
            some = sorted(wanted, key=lambda record: record.place)[:limit]
            changed = 0
            for record in some:
                values = extract(record.current.key, record.current.body or b"")
                changed += values != record.values
                record.values = values
            return Reindexed(len(some), changed, some[-1].place if len(some) == limit else None)

    async def import_versions(self, versions: Sequence[Past]) -> int:
        """Take over versions with their numbers and times; gives how many were new. Raises OutOfOrder."""
        async with self._lock:
            news = list(self._news(versions))
            latest = self._log[-1].updated if self._log else 0
            for past in news:
                if past.updated < latest:
                    raise OutOfOrder
                latest = past.updated
            for past in news:
                self._place(_version(past, self._last + 1), past.values)
        self._wake()
        return len(news)

    def _news(self, versions: Sequence[Past]) -> Iterator[Past]:
        """Give those that are higher than the current version of their resource."""
        known = {key: record.current.version_id for key, record in self._records.items()}
        for past in versions:
            if past.version_id > known.get(past.key, 0):
                known[past.key] = past.version_id
                yield past

    # --- Store ---

    async def read(self, key: Key) -> Version | None:
        """Give the current version (a deletion is one), or None if there never was any."""
        record = self._records.get(key)
        return None if record is None else record.current

    async def read_many(self, keys: Sequence[Key]) -> Sequence[Version]:
        """Give the current versions of those keys that exist and are not deleted, in no set order."""
        found = [self._records[key].current for key in dict.fromkeys(keys) if key in self._records]
        return [version for version in found if version.body is not None]

    async def vread(self, key: Key, version_id: int) -> Version | None:
        """Give one version, or None."""
        record = self._records.get(key)
        versions = [] if record is None else record.versions
        return next((v for v in versions if v.version_id == version_id), None)

    async def deletions(self, numbers: Sequence[Numbered]) -> frozenset[Numbered]:
        """Give those of these superseded versions that are deletions."""
        older = [self._records[key].versions[:-1] for key, _ in numbers if key in self._records]
        gone = {(v.key, v.version_id) for versions in older for v in versions if v.body is None}
        return frozenset(gone.intersection(numbers))

    async def commit(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition] = ()
    ) -> Sequence[Version]:
        """Write all changes or none after the preconditions held; raises VersionConflict or MatchConflict."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        async with self._lock:
            for index, precondition in enumerate(preconditions):
                self._require(index, precondition)
            updated = max(self._clock(), self._log[-1].updated if self._log else 0)
            written = [self._write(change, updated) for change in changes]
        self._wake()
        return written

    async def history(self, scope: Scope, page: Page) -> Sequence[Version]:
        """Give versions newest first (by position)."""
        found = (v for v in reversed(self._log) if _within(v.key, scope) and _on(v, page))
        return [version for _, version in zip(range(page.limit), found, strict=False)]

    async def search(self, plan: Plan) -> Sequence[Match]:
        """Give the page of matches that the plan asks for, in its order."""
        return self._page(plan)

    async def count(self, plan: Plan) -> int:
        """Give the number of all matches, whatever the plan's limit and cursor."""
        return len(self._page(replace(plan, limit=None, after=None)))

    async def changes(
        self, after: int, types: frozenset[str] | None = None
    ) -> AsyncIterator[Version]:
        """Follow every version with a position above `after`, in order, until the store closes."""
        woken = asyncio.Event()
        self._followers.add(woken)
        try:
            while not self._closed:
                woken.clear()
                start = bisect_right(self._log, after, key=lambda version: version.position)
                for version in self._log[start:]:
                    after = version.position
                    if types is None or version.key.type in types or not after % PLACES:
                        yield version
                if after >= self._last:
                    await woken.wait()
        finally:
            self._followers.discard(woken)

    async def position(self) -> int:
        """Give the position of the newest version, 0 in an empty store."""
        return self._last

    async def explain(self, plan: Plan) -> str:
        """Tell that everything is looked at."""
        types = ", ".join(branch.type for branch in plan.branches)
        return f"looks at every current resource of {types}"

    # --- Documents ---

    async def get(self, tenant: str, namespace: str, key: str) -> Document | None:
        """Give a document that has not expired, or None."""
        document = self._documents[tenant, namespace].get(key)
        return document if document is not None and self._live(document) else None

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
        """Write and give the new revision; None, nothing written, if `revision` is not current."""
        current = await self.get(tenant, namespace, key)
        known = 0 if current is None else current.revision
        if revision is not None and revision != known:
            return None
        self._documents[tenant, namespace][key] = Document(key, value, known + 1, expires)
        return known + 1

    async def delete(self, tenant: str, namespace: str, key: str) -> bool:
        """Remove; tells whether there was one that had not expired."""
        document = self._documents[tenant, namespace].pop(key, None)
        return document is not None and self._live(document)

    async def list(
        self, tenant: str, namespace: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Document]:
        """Give documents by key order, those past `after`, without the expired."""
        documents = self._documents[tenant, namespace]
        keys = [key for key in sorted(documents) if key > after and self._live(documents[key])]
        return [documents[key] for key in keys[:limit]]

    async def sweep(self) -> int:
        """Remove what has expired; gives how many."""
        removed = 0
        for documents in self._documents.values():
            for key in [k for k, d in documents.items() if not self._live(d)]:
                del documents[key]
                removed += 1
        return removed

    # --- how ---

    def _live(self, document: Document) -> bool:
        return document.expires is None or document.expires > self._clock()

    def _wake(self) -> None:
        for follower in self._followers:
            follower.set()

    def _require(self, index: int, precondition: Precondition) -> None:
        if isinstance(precondition, VersionIs):
            record = self._records.get(precondition.key)
            alive = record is not None and record.current.body is not None
            current = record.current.version_id if record is not None and alive else None
            if current != precondition.version_id:
                raise VersionConflict(precondition.key, current)
            return
        plan = replace(precondition.plan, limit=_MOST_FOUND, after=None)
        found = [match.version.key for match in self._page(plan)]
        others = tuple(key for key in found if key != precondition.apart_from)
        if others:
            raise MatchConflict(index, others)

    def _write(self, change: Change, updated: int) -> Version:
        key, record = change.key, self._records.get(change.key)
        if change.body is None and (record is None or record.current.body is None):
            return Version(key, 0, 0, "DELETE", None, 0) if record is None else record.current
        number = 1 if record is None else record.current.version_id + 1
        body = None if change.body is None else change.body.at(number, updated)
        version = Version(key, number, updated, change.method, body, self._last + 1)
        self._place(version, change.values)
        return version

    def _page(self, plan: Plan) -> Sequence[Match]:
        return scan.page(plan, self._records, self._clinical)

    @property
    def _last(self) -> int:
        return self._log[-1].position if self._log else 0

    def _place(self, version: Version, values: IndexValues) -> None:
        """Make a version the current one of its resource."""
        self._log.append(version)
        record = self._records.get(version.key)
        values = no_values() if version.body is None else values
        if record is None:
            self._records[version.key] = Record(len(self._records) + 1, [version], values)
        else:
            record.versions.append(version)
            record.values = values


def _version(past: Past, position: int) -> Version:
    return Version(past.key, past.version_id, past.updated, past.method, past.body, position)


def _within(key: Key, scope: Scope) -> bool:
    return (
        key.tenant == scope.tenant and scope.type in {None, key.type} and scope.id in {None, key.id}
    )


def _on(version: Version, page: Page) -> bool:
    return (
        (page.before is None or version.position < page.before)
        and (page.since is None or version.updated >= page.since)
        and (page.until is None or version.updated < page.until)
    )
