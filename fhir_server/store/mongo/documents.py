"""Documents in MongoDB: small values outside FHIR, each written by one atomic operation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson import Binary
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from fhir_server.store.mongo.keys import Filter
from fhir_server.store.mongo.view import Database
from fhir_server.store.port import Document

_LONGEST_MS: Final = 100 * 366 * 86_400_000
_GRACE: Final = timedelta(hours=1)
"""How long after its end the server itself removes a document that no sweep has removed."""


class Place:
    """Where a document is: its filter with the shard key, and what expired and live mean now."""

    def __init__(self, tenant: str, namespace: str, key: str, now: int) -> None:
        self.now = now
        self.where: Filter = {
            "_id": f"{tenant}\n{namespace}\n{key}",
            "tenant": tenant,
            "id": key,
            "namespace": namespace,
        }
        self.live: Filter = _live(now)
        self.expired: Filter = {"expires": {"$lte": now}}

    def written(self, value: bytes, expires: int | None) -> dict[str, Any]:
        """Give what a write sets, apart from the revision."""
        return {"value": Binary(value), "expires": expires, "gone": _gone(expires, self.now)}


async def get(database: Database, place: Place) -> Document | None:
    """Give a document that has not expired."""
    found = await database["documents"].find_one(place.where | place.live)
    return None if found is None else _document(found)


async def put(database: Database, place: Place, value: bytes, expires: int | None) -> int:
    """Write whatever the revision, and give the new one: after an expired document it counts from 1."""
    live = {"$gt": [{"$ifNull": ["$expires", place.now + 1]}, place.now]}
    revision = {"$cond": [live, {"$add": [{"$ifNull": ["$revision", 0]}, 1]}, 1]}
    update = [{"$set": {"revision": revision}}, {"$set": place.written(value, expires)}]
    while True:
        try:
            found = await database["documents"].find_one_and_update(
                place.where, update, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:  # another made it at the same moment: now it is there
            continue
        if found is not None:
            return int(found["revision"])


async def replace(
    database: Database, place: Place, value: bytes, expires: int | None, revision: int
) -> int | None:
    """Write if the revision is this one (0: absent or expired), and give the new one; else None."""
    written = {**place.written(value, expires), "revision": revision + 1}
    if revision == 0:
        if await _inserted(database, {**place.where, **written}):
            return 1
        where = place.where | place.expired
    else:
        where = place.where | place.live | {"revision": revision}
    done = await database["documents"].update_one(where, {"$set": written})
    return revision + 1 if done.matched_count else None


async def _inserted(database: Database, document: dict[str, Any]) -> bool:
    try:
        await database["documents"].insert_one(document)
    except DuplicateKeyError:
        return False
    return True


async def delete(database: Database, place: Place) -> bool:
    """Remove a document; tells whether there was one that had not expired."""
    found = await database["documents"].find_one_and_delete(place.where)
    return found is not None and (found["expires"] is None or found["expires"] > place.now)


async def page(
    database: Database, place: tuple[str, str, str], limit: int, now: int
) -> Sequence[Document]:
    """Give the documents past a place (tenant, namespace, key)."""
    if limit <= 0:
        return []
    tenant, namespace, after = place
    where = {"tenant": tenant, "namespace": namespace, "id": {"$gt": after}}
    found = database["documents"].find(where | _live(now), sort=[("id", 1)], limit=limit)
    return [_document(one) for one in await found.to_list()]


async def sweep(database: Database, now: int) -> int:
    """Remove what has expired, tenant by tenant; gives how many documents."""
    removed = 0
    for tenant in await database["documents"].distinct("tenant"):
        done = await database["documents"].delete_many({"tenant": tenant, "expires": {"$lte": now}})
        removed += done.deleted_count
    return removed


def _live(now: int) -> Filter:
    return {"$or": [{"expires": None}, {"expires": {"$gt": now}}]}


def _document(found: dict[str, Any]) -> Document:
    expires = found["expires"]
    revision = int(found["revision"])
    return Document(
        found["id"], bytes(found["value"]), revision, None if expires is None else int(expires)
    )


def _gone(expires: int | None, now: int) -> datetime | None:
    """Give when the server may remove a document, by the server's clock: an hour after it expires."""
    if expires is None:
        return None
    left = timedelta(milliseconds=min(max(0, expires - now), _LONGEST_MS))
    return datetime.now(UTC) + left + _GRACE
