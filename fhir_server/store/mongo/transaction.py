"""One attempt at one durable transaction that several callers share: preconditions, versions, index entries.

Every transaction begins by writing the one document of `head`. Two transactions that overlap in time, of
whatever process, therefore conflict and the later one begins anew after the earlier: writers take turns,
positions have no gaps and are seen in order, and a NoMatch holds against every way to make a match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from bson import encode
from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from fhir_server.search.match import UNDATED, Clinical, clinical_key
from fhir_server.search.values import IndexValues
from fhir_server.store import marks
from fhir_server.store.mongo import contents, entries, versions, written
from fhir_server.store.mongo.keys import HEAD, named, of_key
from fhir_server.store.mongo.reader import Reader
from fhir_server.store.mongo.searches import Searches
from fhir_server.store.mongo.view import Document, View
from fhir_server.store.port import (
    Change,
    ContentGone,
    Key,
    MatchConflict,
    OutOfOrder,
    Past,
    Precondition,
    Version,
    VersionConflict,
    VersionIs,
)

_DUPLICATE: Final = 11_000
_LARGE: Final = 4_000_000
_MOST: Final = 16 * 2**20 - 100_000
"""So many bytes a document may have, less some for names and numbers."""
MOST_FOUND: Final = 3
"""How many matches a failed NoMatch looks for: enough to tell one from several, apart from one excepted."""


class Work(Protocol):
    """A piece of work: how many versions it may make, of which keys, and how."""

    @property
    def weight(self) -> int:
        """The greatest number of versions that it makes."""

    @property
    def keys(self) -> Sequence[Key]:
        """The keys whose newest versions it must know; others that it writes are taken for new."""

    async def __call__(self, transaction: Transaction) -> Any:
        """Do it within a transaction; raises one of REFUSALS before it writes anything."""


class Held(Exception):
    """Nothing may be purged now: a copy is being made."""


class Taken(Exception):
    """Something of what was taken for new is there already; carries the keys among which it is."""

    def __init__(self, keys: frozenset[Key]) -> None:
        super().__init__("a resource is not new")
        self.keys = keys


class Done(NamedTuple):
    """What a transaction came to: each work's result or refusal, the versions made, if any was erased."""

    outcomes: list[Any]
    made: list[Version]
    erased: bool


class Lost(Exception):
    """A document was not as it was read within one transaction; a defect, never a race."""


REFUSALS: Final = (ContentGone, Held, VersionConflict, MatchConflict, OutOfOrder)


class _Head(msgspec.Struct):
    """The newest version of a resource as the transaction has it.

    `written` is the version that is stored, None while there is none; `purged` how many are missing.
    """

    place: int
    version: Version
    written: int | None
    purged: int


class Transaction:
    """Does the work of a group in a view that is inside a transaction; made anew for every attempt.

    `head` is the document of that name after positions were taken for all that the group may write.
    """

    def __init__(self, view: View, clinical: Clinical, searches: Searches, head: Document) -> None:
        self.view = view
        self._clinical = clinical
        self._searches = searches
        self._head = head
        self._heads: dict[str, _Head] = {}
        self._pending: dict[str, Document] = {}
        self._superseded: list[Document] = []
        self._made: list[Version] = []
        self._logged = 0
        self._erased = False
        self._contents: Counter[tuple[str, str]] = Counter()
        self._updated = int(head["updated"])
        self._position = 0
        self._latest: int | None = None

    async def run(self, group: Sequence[Work], doubted: Iterable[Key] = ()) -> Done:
        """Do all the work that is not refused; `doubted` may be there though a work takes it for new.

        Raises Taken where something else is.
        """
        self._position = self._head["position"] - sum(one.weight for one in group)
        await self._know([*doubted, *(key for one in group for key in one.keys)])
        outcomes = [await self._outcome(one) for one in group]
        await self.flush()
        taken = self._head["position"], self._head["updated"]
        if (self._position, self._updated) != taken:
            await self._correct()
        return Done(outcomes, self._made, self._erased)

    async def require(self, index: int, precondition: Precondition) -> None:
        """Check one precondition; raises VersionConflict or MatchConflict."""
        if isinstance(precondition, VersionIs):
            head = self._heads.get(named(precondition.key))
            alive = head is not None and head.version.body is not None
            current = head.version.version_id if head is not None and alive else None
            if current != precondition.version_id:
                raise VersionConflict(precondition.key, current)
            return
        await self.flush()
        plan = msgspec.structs.replace(precondition.plan, limit=MOST_FOUND, after=None)
        found = [m.version.key for m in await self._searches.search(self.view, plan)]
        others = tuple(key for key in found if key != precondition.apart_from)
        if others:
            raise MatchConflict(index, others)

    async def holds(self, versions: Iterable[tuple[Key, bytes | None]]) -> None:
        """Check that the contents which bodies name are there; raises ContentGone."""
        found = ((key.tenant, marks.of(key.type, body)) for key, body in versions)
        named = {(tenant, sha256) for tenant, sha256 in found if sha256 is not None}
        if named and await contents.missing(self.view, named):
            raise ContentGone

    def change(self, change: Change) -> Version:
        """Gather one change, and give the version that it makes."""
        head = self._heads.get(named(change.key))
        if change.body is None and (head is None or head.version.body is None):
            return _nothing(change.key) if head is None else head.version
        number = 1 if head is None else head.version.version_id + 1
        body = None if change.body is None else change.body.at(number, self._updated)
        version = Version(
            change.key, number, self._updated, change.method, body, self._position + 1
        )
        self._gather(version, change.values)
        return version

    def current(self, key: Key) -> int:
        """Give the newest version id of a known key, 0 where there never was one."""
        head = self._heads.get(named(key))
        return 0 if head is None else head.version.version_id

    async def latest(self) -> int:
        """Give the time of the newest version, 0 in an empty store."""
        if self._latest is None:
            found = await self.view.find("changes", {}, sort=[("_id", -1)], limit=1)
            self._latest = int(found[0]["updated"]) if found else 0
        return self._latest

    def take(self, past: Past, at: tuple[int, int] | None = None) -> None:
        """Gather a version as another store had it, higher than the newest one here.

        `at` is the position that it had, above all here, and the place of its resource.
        """
        missing = past.version_id - self.current(past.key) - 1
        position, place = at or (self._position + 1, self._position + 1)
        version = Version(past.key, past.version_id, past.updated, past.method, past.body, position)
        self._gather(version, past.values, missing, place)
        self._updated = max(self._updated, past.updated)

    def purged(self, key: Key, count: int) -> None:
        """Take note that former versions of a known key are gone."""
        self._heads[named(key)].purged += count
        self._erased = True

    def searched(self, key: Key, values: IndexValues, size: int) -> Document:
        """Give what a search sees of a resource whose body has so many bytes.

        Beside a large one there may not be room for all that is written in it.
        """
        at = clinical_key(self._clinical(key.type), values)
        seen = {
            "type": key.type,
            "clinical": UNDATED if at is None else at,
            "index": entries.of_values(values, key.type),
        }
        if size < _LARGE:
            return {**seen, **written.of_values(values)}
        return {**seen, **written.fitted(values, _MOST - size - len(encode(seen)))}

    async def flush(self) -> None:
        """Write what is gathered."""
        database, session = self.view.database, self.view.session
        if self._superseded:
            await database["history"].insert_many(self._superseded, session=session)
        if self._pending:
            await self._write_current()
        if self._logged < len(self._made):
            logged = [versions.logged(version) for version in self._made[self._logged :]]
            await database["changes"].insert_many(logged, session=session)
        if self._contents:
            await contents.count(self.view, self._contents)
        self._superseded, self._pending, self._logged = [], {}, len(self._made)
        self._contents.clear()

    async def _outcome(self, work: Work) -> Any:
        try:
            return await work(self)
        except REFUSALS as refusal:
            return refusal

    async def _correct(self) -> None:
        """Give back the positions that were not needed, and tell of times that were taken over."""
        now = {"position": self._position, "updated": self._updated}
        await self.view.database["head"].update_one(HEAD, {"$set": now}, session=self.view.session)

    async def _know(self, keys: Sequence[Key]) -> None:
        """Read the newest versions of keys."""
        by_name = {named(key): key for key in keys}
        if not by_name:
            return
        for name, found in (await Reader(self.view).heads(by_name)).items():
            version = versions.of_document(found, by_name[name])
            purged = found.get("purged", 0)
            self._heads[name] = _Head(int(found["place"]), version, version.version_id, int(purged))

    def _gather(
        self, version: Version, values: IndexValues, missing: int = 0, place: int | None = None
    ) -> None:
        """Gather a version, the change that it is, and the version that it supersedes."""
        name = named(version.key)
        head = self._heads.get(name)
        self._position, self._latest = version.position, version.updated
        if head is None:
            head = _Head(version.position if place is None else place, version, None, missing)
        else:
            self._superseded.append(versions.superseded(head.version))
            head = _Head(head.place, version, head.written, head.purged + missing)
        self._heads[name] = head
        body = version.body
        seen = {} if body is None else self.searched(version.key, values, len(body))
        extra = {"purged": head.purged} if head.purged else {}
        self._pending[name] = versions.current(version, head.place, {**seen, **extra})
        self._made.append(version)
        sha256 = marks.of(version.key.type, version.body)
        if sha256 is not None:
            self._contents[version.key.tenant, sha256] += 1

    async def _write_current(self) -> None:
        """Insert what is new; replace what was there, if it has the version that was read."""
        new: list[Document] = []
        changed: list[ReplaceOne[Document]] = []
        for name, document in self._pending.items():
            head = self._heads[name]
            if head.written is None:
                new.append(document)
            else:
                was: dict[str, Any] = {**of_key(head.version.key), "version": head.written}
                changed.append(ReplaceOne(was, document, hint="_id_"))
            head.written = head.version.version_id
        resources, session = self.view.database["resources"], self.view.session
        if new:
            await self._insert(new)
        if changed:
            done = await resources.bulk_write(changed, ordered=False, session=session)
            if done.matched_count != len(changed):
                raise Lost("a resource was not at the version that was read")

    async def _insert(self, new: Sequence[Document]) -> None:
        """Insert the first versions of resources; raises Taken."""
        try:
            await self.view.database["resources"].insert_many(new, session=self.view.session)
        except BulkWriteError as fault:
            if any(error["code"] == _DUPLICATE for error in fault.details["writeErrors"]):
                keys = (self._heads[document["_id"]].version.key for document in new)
                raise Taken(frozenset(keys)) from fault
            raise


def _nothing(key: Key) -> Version:
    """Give the port's word for the deletion of what never was."""
    return Version(key, 0, 0, "DELETE", None, 0)
