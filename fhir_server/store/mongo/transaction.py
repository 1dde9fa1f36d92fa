"""One attempt at one durable transaction that several commits share: preconditions, versions, index entries.

Every transaction begins by writing the one document of `head`. Two transactions that overlap in time, of
whatever process, therefore conflict and the later one begins anew after the earlier: writers take turns,
positions have no gaps and are seen in order, and a NoMatch holds against every way to make a match.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from pymongo import InsertOne, ReplaceOne, ReturnDocument

from fhir_server.search.match import UNDATED, Clinical, clinical_key
from fhir_server.store.mongo import entries, searches, versions
from fhir_server.store.mongo.keys import Filter, named, of_key
from fhir_server.store.mongo.reader import Reader
from fhir_server.store.mongo.view import Document, View
from fhir_server.store.port import (
    Change,
    Key,
    MatchConflict,
    Precondition,
    Version,
    VersionConflict,
    VersionIs,
)

MOST_FOUND: Final = 3
"""How many matches a failed NoMatch looks for: enough to tell one from several, apart from one excepted."""

_HEAD: Final[Filter] = {"_id": "head", "tenant": "", "id": "head"}


class Commit(msgspec.Struct, frozen=True):
    """What one caller wants committed."""

    changes: Sequence[Change]
    preconditions: Sequence[Precondition]


Outcome = list[Version] | VersionConflict | MatchConflict


class Lost(Exception):
    """A document was not as it was read within one transaction; a defect, never a race."""


class _Head(msgspec.Struct):
    """The newest version of a resource as the transaction has it, and the version that is written."""

    place: int
    version: Version
    written: int | None


class Transaction:
    """Does the work of a group in a view that is inside a transaction; made anew for every attempt."""

    def __init__(self, view: View, clinical: Clinical, clock: Callable[[], int]) -> None:
        self._view = view
        self._clinical = clinical
        self._clock = clock
        self._reader = Reader(view)
        self._heads: dict[str, _Head] = {}
        self._pending: dict[str, Document] = {}
        self._superseded: list[Document] = []
        self._logged: list[Document] = []
        self._position = self._updated = 0

    async def run(self, group: Sequence[Commit]) -> list[Outcome]:
        """Write what every commit of the group asks for, but for those whose preconditions do not hold."""
        last = await self._take_turn(sum(len(one.changes) for one in group))
        await self._know(group)
        outcomes = [await self._apply(one) for one in group]
        await self._flush()
        if self._position < last:
            await self._give_back()
        return outcomes

    async def _take_turn(self, most: int) -> int:
        """Take positions for as many versions as there may be; gives the last of them."""
        head = await self._view.database["head"].find_one_and_update(
            _HEAD,
            {"$inc": {"position": most, "turn": 1}, "$max": {"updated": self._clock()}},
            return_document=ReturnDocument.AFTER,
            session=self._view.session,
        )
        if head is None:
            raise Lost("the document of head is gone")
        self._position = head["position"] - most
        self._updated = head["updated"]
        return int(head["position"])

    async def _give_back(self) -> None:
        """Give the positions back that were not needed."""
        await self._view.database["head"].update_one(
            _HEAD, {"$set": {"position": self._position}}, session=self._view.session
        )

    async def _know(self, group: Sequence[Commit]) -> None:
        """Read the newest versions of all keys that the group names."""
        keys = [change.key for one in group for change in one.changes]
        for one in group:
            keys += [p.key for p in one.preconditions if isinstance(p, VersionIs)]
        by_name = {named(key): key for key in keys}
        for name, found in (await self._reader.heads(by_name)).items():
            version = versions.of_document(found, by_name[name])
            self._heads[name] = _Head(found["place"], version, version.version_id)

    async def _apply(self, commit: Commit) -> Outcome:
        for index, precondition in enumerate(commit.preconditions):
            refusal = await self._refusal(index, precondition)
            if refusal is not None:
                return refusal
        return [self._change(change) for change in commit.changes]

    async def _refusal(
        self, index: int, precondition: Precondition
    ) -> VersionConflict | MatchConflict | None:
        if isinstance(precondition, VersionIs):
            head = self._heads.get(named(precondition.key))
            alive = head is not None and head.version.body is not None
            current = head.version.version_id if head is not None and alive else None
            if current != precondition.version_id:
                return VersionConflict(precondition.key, current)
            return None
        await self._flush()
        plan = dataclasses.replace(precondition.plan, limit=MOST_FOUND, after=None)
        found = [
            match.version.key for match in await searches.search(self._view, plan, self._clinical)
        ]
        others = tuple(key for key in found if key != precondition.apart_from)
        return MatchConflict(index, others) if others else None

    def _change(self, change: Change) -> Version:
        """Gather one change, and give the version that it makes."""
        name = named(change.key)
        head = self._heads.get(name)
        if change.body is None and (head is None or head.version.body is None):
            return _nothing(change.key) if head is None else head.version
        self._position += 1
        number = 1 if head is None else head.version.version_id + 1
        body = None if change.body is None else change.body.at(number, self._updated)
        version = Version(change.key, number, self._updated, change.method, body, self._position)
        place = self._position if head is None else head.place
        if head is not None:
            self._superseded.append(versions.superseded(head.version))
        self._heads[name] = _Head(place, version, None if head is None else head.written)
        self._pending[name] = versions.current(version, place, self._searched(change))
        self._logged.append(versions.logged(version))
        return version

    def _searched(self, change: Change) -> Document:
        """Give what a search sees of a resource; nothing of a deleted one."""
        if change.body is None:
            return {}
        type_, values = change.key.type, change.values
        at = clinical_key(self._clinical(type_), values)
        return {
            "type": type_,
            "clinical": UNDATED if at is None else at,
            "index": entries.of_values(values, type_),
        }

    async def _flush(self) -> None:
        """Write what is gathered."""
        database, session = self._view.database, self._view.session
        if self._superseded:
            await database["history"].insert_many(self._superseded, session=session)
        if self._pending:
            await self._write_current()
        if self._logged:
            await database["changes"].insert_many(self._logged, session=session)
        self._superseded, self._pending, self._logged = [], {}, []

    async def _write_current(self) -> None:
        """Insert what is new; replace what was there, if it has the version that was read."""
        writes: list[InsertOne[Document] | ReplaceOne[Document]] = []
        for name, document in self._pending.items():
            head = self._heads[name]
            if head.written is None:
                writes.append(InsertOne(document))
            else:
                was: dict[str, Any] = {**of_key(head.version.key), "version": head.written}
                writes.append(ReplaceOne(was, document, hint="_id_"))
            head.written = head.version.version_id
        replaced = sum(isinstance(write, ReplaceOne) for write in writes)
        done = await self._view.database["resources"].bulk_write(
            writes, ordered=False, session=self._view.session
        )
        if done.matched_count != replaced:
            raise Lost("a resource was not at the version that was read")


def _nothing(key: Key) -> Version:
    """Give the port's word for the deletion of what never was."""
    return Version(key, 0, 0, "DELETE", None, 0)
