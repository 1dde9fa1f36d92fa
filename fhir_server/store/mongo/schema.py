"""The collections of the MongoDB store, their indexes and version (docs/adr/0012-mongo-layout.md).

    resources  current versions: what a search sees, and the body; once deleted, without type and index
    history    versions that are no longer current, named by their position
    changes    the log of all versions, named by their position: the change feed, and histories by type
    documents  small values outside FHIR
    contents   large contents of Binaries: how many versions name each, and which upload has its pieces
    pieces     the bytes of contents and files
    uploads    uploads that are not finished, or were broken off
    files      files of jobs: what was asked and what it came to, which upload has their pieces
    head       one document: the last position, which every transaction takes its turn at
    writers    the processes that write, with their last signs of life
    meta       one document: the version of the schema

The shard key is {tenant, id} in all of them. Nothing is unique but `_id`, which holds tenant and id, and the
versions of a resource, whose index begins with the shard key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from fhir_server.store.mongo.keys import HEAD
from fhir_server.store.mongo.view import Database
from fhir_server.store.port import SchemaTooNew, StoreUnavailable

VERSION: Final = 3

_VALUES: Final = "tenant type index.a index.v clinical place index.w"
_INDEXES: Final[dict[str, dict[str, str]]] = {
    "resources": {
        "clinical": "tenant type clinical place",
        "updated": "tenant type updated place",
        "values": _VALUES,
        "words": "tenant type written.words clinical place",
        "places": "place",
    },
    "history": {"versions": "tenant id type version"},
    "changes": {"types": "tenant type updated _id", "all": "tenant updated _id"},
    "documents": {"keys": "tenant namespace id", "expired": "tenant expires", "gone": "gone"},
    "contents": {"loose": "names made"},
    "pieces": {"pieces": "tenant id of n"},
    "uploads": {"made": "made"},
    "files": {"jobs": "tenant id", "made": "kind made"},
}
_UNIQUE: Final = {("history", "versions")}

_UNCOMPARED: Final = {"v", "ns", "background"}
_REFUSED: Final = {
    85: "there is one of its fields with another name or other options, to be dropped",
    86: "there is another one of its name, to be dropped",
    11_000: "it would be unique, and there are documents that are the same to it",
}
"""IndexOptionsConflict, IndexKeySpecsConflict and DuplicateKey. What was stored is in no message."""

Migration = Callable[[Database], Awaitable[None]]
"""Changes what a schema before this one has stored; may be done twice, and beside itself."""

MIGRATIONS: Final[Mapping[int, Migration]] = MappingProxyType({})
"""By the version that they lead away from. From 1 to 3 came collections, and nothing stored was changed."""
META: Final = {"_id": "schema", "tenant": "", "id": "schema"}
_FIRST_HEAD: Final = {**HEAD, "position": 0, "updated": 0}


def indexes(collection: str) -> list[IndexModel]:
    """Give the indexes of a collection."""
    return [
        IndexModel(
            [(field, 1) for field in fields.split()], name=name, **_options(collection, name)
        )
        for name, fields in _INDEXES[collection].items()
    ]


async def prepare(database: Database, migrations: Mapping[int, Migration] = MIGRATIONS) -> None:
    """Make what is missing, and migrate what is older; raises SchemaTooNew, StoreUnavailable.

    A migration that was broken off is done again, by whoever opens the store next, so each may be done twice.
    """
    found = await database["meta"].find_one(META)
    if found is not None and found.get("restoring"):
        raise StoreUnavailable(
            "a restore into it was broken off: drop the database and restore again"
        )
    at = VERSION if found is None else int(found["version"])
    if at > VERSION:
        raise SchemaTooNew(f"schema {at} is newer than {VERSION}, the newest known here")
    made = [_make_indexes(database, name) for name in _INDEXES]
    for fault in await asyncio.gather(*made, return_exceptions=True):
        if fault is not None:
            raise fault
    await _once(database, "head", _FIRST_HEAD)
    await _once(database, "meta", {**META, "version": VERSION})
    for version in range(at, VERSION):
        if version in migrations:
            await migrations[version](database)
        await database["meta"].update_one({**META, "version": version}, {"$inc": {"version": 1}})


async def faults(database: Database) -> Sequence[str]:
    """Give a sentence for each index that is missing or is another one."""
    return [
        f"The index {index} of {name} is missing or is another one."
        for name in _INDEXES
        for index in await _differing(database, name)
    ]


async def _make_indexes(database: Database, collection: str) -> None:
    """Make the indexes of a collection that are missing; raises StoreUnavailable where one cannot be made."""
    try:
        await database[collection].create_indexes(indexes(collection))
    except OperationFailure as fault:
        why = _REFUSED.get(fault.code or 0)
        if why is None:
            raise
        named = " or ".join(await _differing(database, collection)) or "one"
        told = f"the index {named} of the collection {collection} cannot be made: {why}"
        raise StoreUnavailable(told) from fault


async def _differing(database: Database, collection: str) -> list[str]:
    """Give the names of the indexes that are missing, or have other fields or other options."""
    present = await database[collection].index_information()
    return [
        index
        for index, fields in _INDEXES[collection].items()
        if _told(present.get(index, {}))
        != {"key": [(field, 1) for field in fields.split()], **_options(collection, index)}
    ]


def _told(present: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in present.items() if name not in _UNCOMPARED}


def _options(collection: str, name: str) -> dict[str, Any]:
    if (collection, name) in _UNIQUE:
        return {"unique": True}
    return {"expireAfterSeconds": 0} if name == "gone" else {}


async def _once(database: Database, collection: str, document: dict[str, Any]) -> None:
    """Insert a document unless another process has done so."""
    if await database[collection].find_one({"_id": document["_id"]}) is None:
        try:
            await database[collection].insert_one(dict(document))
        except DuplicateKeyError:
            return
