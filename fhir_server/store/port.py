"""The storage ports: versions of resources with their index values, documents, care.

They know nothing of HTTP or of FHIR interactions; the tenant is part of every key. Acknowledged means
durable: when `commit` or `put` returns, a crash the instant after loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal, Protocol

from msgspec import Struct

from fhir_server.search.expression import Plan, SortKey
from fhir_server.search.values import IndexValues

Method = Literal["POST", "PUT", "PATCH", "DELETE"]
PLACES = 5_000
"""How far apart the versions are that every follower of the feed is given, to keep a place by."""


class Key(Struct, frozen=True, order=True):
    """The identity of a resource: tenant, type, logical id."""

    tenant: str
    type: str
    id: str

    @property
    def reference(self) -> str:
        """Give the relative literal reference, e.g. Patient/1."""
        return f"{self.type}/{self.id}"


Numbered = tuple[Key, int]
"""A version by its key and number."""


class Body(Struct, frozen=True):
    """The JSON of a resource, cut where the store writes versionId and lastUpdated.

    The whole is head + `"versionId":"N","lastUpdated":"…Z"` + tail; head ends inside the opened `meta`.
    """

    head: bytes
    tail: bytes

    def at(self, version_id: int, updated: int) -> bytes:
        """Give the whole JSON for a version; `updated` in milliseconds since 1970 UTC."""
        return b'%b"versionId":"%d","lastUpdated":"%b"%b' % (
            self.head,
            version_id,
            instant(updated).encode(),
            self.tail,
        )


class Change(Struct, frozen=True):
    """One write: a body with its index values, or a deletion (body None, values empty)."""

    key: Key
    method: Method
    body: Body | None
    values: IndexValues


class Version(Struct, frozen=True):
    """One stored version; `body` None is a deletion; `position` is its place in the change feed."""

    key: Key
    version_id: int
    updated: int
    method: Method
    body: bytes | None
    position: int

    @property
    def reference(self) -> str:
        """Give the version-specific relative reference, e.g. Patient/1/_history/2."""
        return f"{self.key.type}/{self.key.id}/_history/{self.version_id}"


class VersionIs(Struct, frozen=True):
    """The current version id of the key is this one; None: it does not exist, or is deleted."""

    key: Key
    version_id: int | None


class NoMatch(Struct, frozen=True):
    """The plan finds nothing in the plan's tenant, apart from the key that may be excepted."""

    plan: Plan
    apart_from: Key | None = None


Precondition = VersionIs | NoMatch


class VersionConflict(Exception):
    """A VersionIs did not hold; carries the key and the current version id (None: absent or deleted)."""

    def __init__(self, key: Key, current: int | None) -> None:
        super().__init__("the version is another one")
        self.key = key
        self.current = current


class MatchConflict(Exception):
    """A NoMatch did not hold; carries the precondition's index and the keys that were found."""

    def __init__(self, index: int, found: tuple[Key, ...]) -> None:
        super().__init__("a match exists")
        self.index = index
        self.found = found


class NotEmpty(Exception):
    """A copy cannot be put back into a store that holds something; nothing was written."""


class ContentGone(Exception):
    """A large content is not there: erased since it was put, or lost; nothing was written."""


class StoreUnavailable(Exception):
    """The store cannot be reached or is closing; nothing was written. `told` is what a caller may hear."""

    told: ClassVar[str] = "The store is closing or cannot be reached"
    issue: ClassVar[str] = "transient"


class StoreDamaged(StoreUnavailable):
    """What is stored is damaged: no later try will do, an operator has to put a backup back."""

    told = "What is stored here is damaged, so this cannot be answered until a backup is put back"
    issue = "exception"


class OutcomeUnknown(StoreUnavailable):
    """The store was lost in a commit: it is not known whether it was done."""

    told = "The store was lost in a commit: read, to know whether it was done, before a new try"


class NotKept(StoreUnavailable):
    """A content cannot be written, for want of room or of the right to; nothing was written."""

    told = "The content cannot be written to the disk now; nothing was stored"


class Match(Struct, frozen=True):
    """One found resource with its sort keys and place, from which a cursor can be made."""

    version: Version
    keys: tuple[SortKey, ...]
    place: int


class Scope(Struct, frozen=True):
    """What a history is of: an instance (type and id), a type (id None) or all (both None)."""

    tenant: str
    type: str | None = None
    id: str | None = None


class Page(Struct, frozen=True):
    """A slice of a history, newest first: `limit` versions before `before` (a position), within the times.

    `since` is inclusive, `until` exclusive, in milliseconds since 1970 UTC.
    """

    limit: int
    before: int | None = None
    since: int | None = None
    until: int | None = None


class Store(Protocol):
    """Versions of resources and their index values."""

    async def read(self, key: Key) -> Version | None:
        """Give the current version (a deletion is one), or None if there never was any."""

    async def read_many(self, keys: Sequence[Key]) -> Sequence[Version]:
        """Give the current versions of those keys that exist and are not deleted, in no set order."""

    async def vread(self, key: Key, version_id: int) -> Version | None:
        """Give one version, or None."""

    async def deletions(self, numbers: Sequence[Numbered]) -> frozenset[Numbered]:
        """Give those of these superseded versions that are deletions; the current one is none of them."""

    async def commit(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition] = ()
    ) -> Sequence[Version]:
        """Write all changes or none, durably, after the preconditions held in the same transaction.

        Raises VersionConflict or MatchConflict. Deleting what is absent or deleted writes nothing and
        gives the version as it is (position 0 and version_id 0 if there never was one). Versions come in
        the changes' order.
        """

    async def history(self, scope: Scope, page: Page) -> Sequence[Version]:
        """Give versions newest first (by position)."""

    async def search(self, plan: Plan) -> Sequence[Match]:
        """Give the page of matches that the plan asks for, in its order."""

    async def count(self, plan: Plan) -> int:
        """Give the number of all matches, whatever the plan's limit and cursor."""

    def changes(self, after: int, types: frozenset[str] | None = None) -> AsyncIterator[Version]:
        """Follow versions above `after` in order, for ever: all, or those of types and every PLACES-th."""

    async def position(self) -> int:
        """Give the position of the newest version, 0 in an empty store."""

    async def explain(self, plan: Plan) -> str:
        """Tell how the store would run the plan, for a person."""


class Document(Struct, frozen=True):
    """A small value outside FHIR: token, client, job, cursor; `revision` counts its writes from 1."""

    key: str
    value: bytes
    revision: int
    expires: int | None = None


class Documents(Protocol):
    """Small durable values by tenant and namespace, with compare-and-set; for tokens, clients, jobs."""

    async def get(self, tenant: str, namespace: str, key: str) -> Document | None:
        """Give a document that has not expired, or None."""

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
        """Write durably and give the new revision; `revision` set: only if it is the current one (0: absent).

        Gives None, having written nothing, if the revision is another. `expires` in ms since 1970 UTC.
        """

    async def delete(self, tenant: str, namespace: str, key: str) -> bool:
        """Remove; tells whether there was one. Also the way to take a one-time value exactly once."""

    async def list(
        self, tenant: str, namespace: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[Document]:
        """Give documents by key order, those past `after`, without the expired."""

    async def sweep(self) -> int:
        """Remove what has expired; gives how many."""


Extract = Callable[[Key, bytes], IndexValues]
"""Gives the index values of a resource from its JSON."""


class Reindexed(Struct, frozen=True):
    """A step of a reindex: resources looked at and changed, and where to go on (None: all are done)."""

    seen: int
    changed: int
    after: int | None


class Past(Struct, frozen=True):
    """A version as it was in another store, with its number and time, and its index values here."""

    key: Key
    version_id: int
    updated: int
    method: Method
    body: bytes | None
    values: IndexValues


class OutOfOrder(Exception):
    """Versions to be taken over are older than what the store holds already; nothing was written."""


class Care(Protocol):
    """The care of an installation's store."""

    @property
    def damaged(self) -> bool:
        """Tell whether anything that was asked of the store since it was opened met damage."""

    async def open(self) -> None:
        """Open, migrating an older schema; raises SchemaTooNew for a newer one."""

    async def close(self) -> None:
        """Finish what was queued and close."""

    async def verify(self) -> Sequence[str]:
        """Check integrity; gives a sentence for each fault found."""

    async def purge(self, key: Key) -> int:
        """Erase, for good, every version but the current one (a deletion is one); gives how many.

        The current version keeps its number, and later ones go on from there.
        """

    async def reindex(
        self, extract: Extract, *, type: str | None = None, after: int = 0, limit: int = 100
    ) -> Reindexed:
        """Give the next `limit` current resources, of all tenants, the index values that `extract` gives.

        No version is made. `after` is 0 at first, then what the step before gave. A resource that is
        written meanwhile has the values of its writer.
        """

    async def import_versions(self, versions: Sequence[Past]) -> int:
        """Take over versions, oldest first, with their numbers and times; all or none; gives how many.

        Versions that are here already, or lower than the current one, are passed over, so that it can be
        run again. Raises OutOfOrder for a version older than the newest one here.
        """


class Copied(Protocol):
    """A store that can copy itself whole while it is written to."""

    async def backup(self, folder: Path, pinned: Callable[[], None]) -> int:
        """Copy resources and documents as they are at one position into a folder; gives the position.

        `pinned` is called, in whatever thread, as soon as the position is fixed.
        """


class Brought(Struct, frozen=True):
    """A content that waits in a file until it is kept: its size in bytes, its SHA-256 in hexadecimal."""

    file: BinaryIO
    size: int
    sha256: str


class Content(Struct, frozen=True):
    """A large content that a resource's JSON names: its size in bytes, and how its bytes are read.

    `head` and `tail` are the JSON before and after its base64.
    """

    size: int
    pieces: Callable[[int, int], AsyncIterator[bytes]]
    head: bytes
    tail: bytes


class Contents(Protocol):
    """Large contents beside a store, for who moves them in pieces instead of within their resources."""

    @property
    def marked(self) -> Store:
        """Give the store as it is without them: in a Binary a mark stands for the content."""

    def bringing(self, brought: Brought) -> Store:
        """Give the marked store where each Binary that is written has this content."""

    async def content(self, tenant: str, body: bytes) -> Content | None:
        """Give the content that a Binary's JSON has a mark for, None where it has none.

        Raises StoreUnavailable where it is lost.
        """


class SchemaTooNew(Exception):
    """The stored schema is newer than this program knows; it is not touched."""


def instant(milliseconds: int) -> str:
    """Give a FHIR instant in UTC with milliseconds."""
    seconds, part = divmod(milliseconds, 1000)
    return f"{_seconds(seconds)}.{part:03d}Z"


@lru_cache(16)  # the versions of one commit share their instant
def _seconds(seconds: int) -> str:
    from_epoch = time.gmtime(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", from_epoch)
