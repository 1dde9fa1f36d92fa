"""The care of a MongoDB store: erase, reindex, take over; each a piece of work within a transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from fhir_server.store.mongo import contents
from fhir_server.store.mongo.keys import Filter, of_key
from fhir_server.store.mongo.transaction import Held, Lost, Transaction
from fhir_server.store.mongo.turn import DEAD
from fhir_server.store.mongo.view import Document
from fhir_server.store.port import Extract, Key, OutOfOrder, Past, Reindexed

_NO_KEYS: Final[tuple[Key, ...]] = ()


class Purge(msgspec.Struct, frozen=True):
    """Erase every version of a resource but the current one; its result is how many. Raises Held."""

    key: Key
    weight: int = 0

    @property
    def keys(self) -> Sequence[Key]:
        """The resource."""
        return (self.key,)

    async def __call__(self, transaction: Transaction) -> int:
        """Remove them."""
        await transaction.flush()
        view, key = transaction.view, self.key
        alive: Filter = {"holding": True, "$expr": {"$not": [DEAD]}}
        if await view.find("writers", alive, limit=1):
            raise Held
        mine: Filter = {"tenant": key.tenant, "id": key.id}
        former = await view.find("history", {**mine, "type": key.type}, without="body")
        if not former:
            return 0
        named = Counter((key.tenant, one["content"]) for one in former if "content" in one)
        positions: Filter = {"_id": {"$in": [one["_id"] for one in former]}}
        for name in ("history", "changes"):
            await view.database[name].delete_many({**mine, **positions}, session=view.session)
        await view.database["resources"].update_one(
            of_key(key), {"$inc": {"purged": len(former)}}, session=view.session
        )
        transaction.purged(key, len(former))
        await contents.count(view, {content: -times for content, times in named.items()})
        for content in named:
            await contents.erase(view, *content)
        return len(former)


class Hold(msgspec.Struct, frozen=True):
    """Hold off purges for as long as this process lives or until the field is removed."""

    writer: Filter
    weight: int = 0

    @property
    def keys(self) -> Sequence[Key]:
        """None."""
        return _NO_KEYS

    async def __call__(self, transaction: Transaction) -> None:
        """Tell it in a turn, so that a purge is done before or sees it."""
        view = transaction.view
        await view.database["writers"].update_one(
            self.writer, {"$set": {"holding": True}}, session=view.session
        )


class Reindex(msgspec.Struct, frozen=True):
    """Give some current resources new index entries; its result tells where to go on."""

    extract: Extract
    type: str | None
    after: int
    limit: int
    weight: int = 0

    @property
    def keys(self) -> Sequence[Key]:
        """None: it makes no version."""
        return _NO_KEYS

    async def __call__(self, transaction: Transaction) -> Reindexed:
        """Read, extract, and write what differs."""
        await transaction.flush()
        where: Filter = {"place": {"$gt": self.after}}
        where["type"] = {"$gt": ""} if self.type is None else self.type
        found = await transaction.view.find(
            "resources", where, sort=[("place", 1)], limit=self.limit, hint="places"
        )
        changed = 0
        for one in found:
            changed += await self._renew(transaction, one)
        following = int(found[-1]["place"]) if len(found) == self.limit else None
        return Reindexed(len(found), changed, following)

    async def _renew(self, transaction: Transaction, found: Document) -> bool:
        key, body = Key(found["tenant"], found["type"], found["id"]), found["body"]
        seen = transaction.searched(key, self.extract(key, body), len(body))
        gone = {} if "written" in seen or "written" not in found else {"$unset": {"written": ""}}
        if not gone and all(found.get(name) == value for name, value in seen.items()):
            return False
        view, was = transaction.view, {**of_key(key), "version": found["version"]}
        done = await view.database["resources"].update_one(
            was, {"$set": seen, **gone}, session=view.session
        )
        if not done.matched_count:
            raise Lost("a resource was not at the version that was read")
        return True


class Import(msgspec.Struct, frozen=True):
    """Take over versions of another store; its result is how many were new."""

    versions: Sequence[Past]

    @property
    def weight(self) -> int:
        """The number of versions."""
        return len(self.versions)

    @property
    def keys(self) -> Sequence[Key]:
        """Whose they are."""
        return [past.key for past in self.versions]

    async def __call__(self, transaction: Transaction) -> int:
        """Gather them in their order; raises OutOfOrder before anything is gathered."""
        news = list(self._news(transaction))
        await transaction.holds((past.key, past.body) for past in news)
        latest = await transaction.latest()
        for past in news:
            if past.updated < latest:
                raise OutOfOrder
            latest = past.updated
        for past in news:
            transaction.take(past)
        return len(news)

    def _news(self, transaction: Transaction) -> Iterator[Past]:
        """Give those that are higher than the newest version of their resource."""
        known = {past.key: transaction.current(past.key) for past in self.versions}
        for past in self.versions:
            if past.version_id > known[past.key]:
                known[past.key] = past.version_id
                yield past


class Restore(msgspec.Struct, frozen=True):
    """Put versions of a copy back at the positions and places that they had (each beside its version)."""

    versions: Sequence[tuple[Past, tuple[int, int]]]

    @property
    def weight(self) -> int:
        """The number of versions."""
        return len(self.versions)

    @property
    def keys(self) -> Sequence[Key]:
        """Whose they are."""
        return [past.key for past, _ in self.versions]

    async def __call__(self, transaction: Transaction) -> None:
        """Gather them in their order."""
        await transaction.holds((past.key, past.body) for past, _ in self.versions)
        for past, at in self.versions:
            transaction.take(past, at)
