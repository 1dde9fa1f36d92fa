"""What the server itself defines, read-only beside what is stored (FHIR R4 capabilitystatement.html).

R4's StructureDefinitions, SearchParameters and OperationDefinitions, our own profiles and the definitions of
our operations are read and searched like resources of every tenant. They are indexed, a type at a time, when
a type is first asked for. docs/adr/0022-definitions-on-a-shelf.md
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key

from msgspec.structs import replace

from conformance.canonicals import Canonicals, shipped
from conformance.profile.snapshot import SnapshotFault, Snapshots, with_snapshot
from fhir_server.search import orphans
from fhir_server.search.expression import Cursor, Plan
from fhir_server.search.order import Order
from fhir_server.search.values import IndexValues
from fhir_server.store.port import (
    Body,
    Change,
    Key,
    Match,
    Numbered,
    Precondition,
    Store,
    Version,
)
from resources.model import Resource, serialise
from resources.outcome import MethodNotAllowed

PUBLISHED = 1_572_393_600_000
"""When R4's definitions were published, 2019-10-30, in milliseconds since 1970 UTC: their lastUpdated."""
_OURS = ""
_BEFORE = -(2**40)
_AFTER_ALL = 2**62

Values = Callable[[Resource], IndexValues]
"""Gives the index values of a resource."""


class Shelf:
    """The definitions by type and id; `store` holds those of the types that were asked for."""

    def __init__(
        self, store: Store, values: Values, more: Callable[[], Iterable[Resource]] = tuple
    ) -> None:
        self._store = store
        self._values = values
        self._more = more
        self._snapshots = Snapshots(Canonicals(shipped()).structure)
        self._read: dict[tuple[str, str], Version] = {}
        self._filled: dict[str, asyncio.Task[None]] = {}
        self._ids = _ids(more())
        self.types = frozenset(type_ for type_, _ in self._ids)

    def holds(self, key: Key) -> bool:
        """Tell whether a definition of this type and id is on the shelf."""
        return (key.type, key.id) in self._ids

    async def read(self, key: Key) -> Version | None:
        """Give a definition, as if it were the tenant's."""
        if not self.holds(key):
            return None
        made = self._read.get((key.type, key.id))
        if made is None:
            resource = next(one for one in _of(key.type, self._more(), key.id))
            body = _body(_whole(resource, self._snapshots)).at(1, PUBLISHED)
            made = self._read[key.type, key.id] = Version(key, 1, PUBLISHED, "PUT", body, 0)
        return _lent(made, key.tenant)

    async def search(self, plan: Plan) -> list[Match]:
        """Give the matches of a plan in its order, as if they were the tenant's."""
        found = await self._store.search(await self._own(plan))
        return [
            Match(_lent(one.version, plan.tenant), one.keys, _BEFORE + one.place) for one in found
        ]

    async def count(self, plan: Plan) -> int:
        """Give the number of matches."""
        return await self._store.count(await self._own(plan))

    async def _own(self, plan: Plan) -> Plan:
        """Give a plan over the shelf: its own types, and the cursor in its own numbers."""
        branches = tuple(
            replace(branch, where=orphans.among(branch.where, self.types))
            for branch in plan.branches
            if branch.type in self.types
        )
        await self._fill(sorted({branch.type for branch in branches}))
        after = plan.after
        if after is not None:
            inside = after.place < 0  # a place of the store comes after all of equal keys here
            after = Cursor(after.keys, after.place - _BEFORE if inside else _AFTER_ALL)
        return replace(plan, tenant=_OURS, branches=branches, after=after)

    async def _fill(self, types: Iterable[str]) -> None:
        for type_ in types:
            if type_ not in self._filled:
                self._filled[type_] = asyncio.create_task(self._index(type_))
            await asyncio.shield(self._filled[type_])

    async def _index(self, type_: str) -> None:
        changes = await asyncio.to_thread(self._changes, type_)
        await self._store.commit(changes)

    def _changes(self, type_: str) -> list[Change]:
        snapshots = Snapshots(Canonicals(shipped()).structure)
        return [
            Change(
                Key(_OURS, type_, resource["id"]),
                "PUT",
                _body(_whole(resource, snapshots)),
                self._values(resource),
            )
            for resource in _of(type_, self._more())
        ]


def _ids(more: Iterable[Resource]) -> frozenset[tuple[str, str]]:
    entries = {(e.type, e.id) for one in shipped() for e in one.manifest.entries}
    return frozenset(entries | {(one["resourceType"], one["id"]) for one in more})


def _of(type_: str, more: Iterable[Resource], id_: str | None = None) -> Iterable[Resource]:
    """Give the definitions of a type, each id once; only that of an id where one is given."""
    seen: set[str] = set()
    for one in shipped():
        for entry in one.manifest.entries:
            if entry.type == type_ and id_ in {None, entry.id} and entry.id not in seen:
                seen.add(entry.id)
                yield one.resource(entry)
    for held in more:
        if held["resourceType"] == type_ and id_ in {None, held["id"]} and held["id"] not in seen:
            yield held


def _whole(resource: Resource, snapshots: Snapshots) -> Resource:
    """Give a StructureDefinition with its snapshot, anything else as it is."""
    if resource["resourceType"] != "StructureDefinition":
        return resource
    try:
        return with_snapshot(resource, snapshots)
    except SnapshotFault:
        return resource


def _body(resource: Resource) -> Body:
    """Give a definition's JSON around the place where the store writes versionId and lastUpdated."""
    head = b'{"resourceType":%b,"id":%b,"meta":{' % (
        serialise(resource["resourceType"]),
        serialise(resource["id"]),
    )
    rest = {k: v for k, v in resource.items() if k not in {"resourceType", "id", "meta"}}
    return Body(head, b"}," + serialise(rest)[1:])


def _lent(version: Version, tenant: str) -> Version:
    """Give a version as the tenant's; its position 0 says that it is not stored."""
    return replace(version, key=Key(tenant, version.key.type, version.key.id), position=0)


class Shelved:
    """A tenant's store together with the shelf; what is on the shelf cannot be written."""

    def __init__(self, store: Store, shelf: Shelf) -> None:
        self._store = store
        self._shelf = shelf
        self.history = store.history
        self.changes = store.changes
        self.position = store.position
        self.explain = store.explain

    async def read(self, key: Key) -> Version | None:
        """Give the current version of what is stored, else what is on the shelf."""
        found = await self._store.read(key)
        return (
            found
            if found is not None or not self._shelf.holds(key)
            else await self._shelf.read(key)
        )

    async def read_many(self, keys: Sequence[Key]) -> Sequence[Version]:
        """Give the current versions of those keys that exist."""
        found = await self._store.read_many(keys)
        shelved = [await self._shelf.read(key) for key in keys if self._shelf.holds(key)]
        return [*found, *(version for version in shelved if version is not None)]

    async def vread(self, key: Key, version_id: int) -> Version | None:
        """Give one version; what is on the shelf has one."""
        found = await self._store.vread(key, version_id)
        if found is None and version_id == 1:
            return await self._shelf.read(key)
        return found

    async def deletions(self, numbers: Sequence[Numbered]) -> frozenset[Numbered]:
        """Give those of these superseded versions that are deletions."""
        return await self._store.deletions(numbers)

    async def commit(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition] = ()
    ) -> Sequence[Version]:
        """Write all changes or none; raises MethodNotAllowed for what is on the shelf."""
        for change in changes:
            if self._shelf.holds(change.key):
                raise MethodNotAllowed(
                    "This definition comes with the server and stays as it is", allow="GET, HEAD"
                )
        return await self._store.commit(changes, preconditions)

    async def search(self, plan: Plan) -> Sequence[Match]:
        """Give the page of matches that the plan asks for, those on the shelf among them."""
        found = await self._store.search(plan)
        if self._apart(plan) or plan.limit == 0:
            return found
        return _merged(plan, found, await self._shelf.search(plan))

    async def count(self, plan: Plan) -> int:
        """Give the number of all matches."""
        stored = await self._store.count(plan)
        return stored if self._apart(plan) else stored + await self._shelf.count(plan)

    def _apart(self, plan: Plan) -> bool:
        """Tell whether a plan is about other types, or several of them: those are what is stored."""
        types = {branch.type for branch in plan.branches}
        return len(types) != 1 or types.isdisjoint(self._shelf.types)


def _merged(plan: Plan, stored: Sequence[Match], shelved: Sequence[Match]) -> Sequence[Match]:
    """Put two pages together in the plan's order."""
    if not stored or not shelved:
        return stored or shelved
    compare = cmp_to_key(Order(plan).compare)
    whole = sorted((*stored, *shelved), key=lambda m: compare(Cursor(m.keys, m.place)))
    return whole[: plan.limit]
