"""A copy of a MongoDB store at one position, made while it is written to, and how it is put back.

No snapshot of the server lives long enough for a large store. But a version, once written, stays: so what
was committed up to a position can be copied for as long as it takes, if nothing is purged meanwhile, which
whoever copies holds off. Documents change in place; they are few, and are read at the instant that fixes the
position.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import msgspec

from fhir_server.search.values import no_values
from fhir_server.store import marks
from fhir_server.store.mongo.contents import MongoContents
from fhir_server.store.mongo.documents import Place
from fhir_server.store.mongo.keys import HEAD, Filter, named
from fhir_server.store.mongo.reader import Reader
from fhir_server.store.mongo.schema import META
from fhir_server.store.mongo.view import Database, View
from fhir_server.store.port import (
    ContentGone,
    Extract,
    Key,
    Method,
    Past,
    StoreUnavailable,
    Version,
)

FOLDER: Final = "store"
BLOBS: Final = "blobs"
_VERSIONS: Final = "versions"
_DOCUMENTS: Final = "documents"
_PAGE: Final = 200
_LENGTH: Final = 4
_T = TypeVar("_T")


class Copied(msgspec.Struct, frozen=True, array_like=True):
    """One version as it is stored, with its place in the feed and its resource's place among all."""

    tenant: str
    type: str
    id: str
    version: int
    updated: int
    method: Method
    body: bytes | None
    position: int
    place: int

    @property
    def key(self) -> Key:
        """The identity of its resource."""
        return Key(self.tenant, self.type, self.id)


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One document as it is stored."""

    tenant: str
    namespace: str
    key: str
    value: bytes
    revision: int
    expires: int | None


async def copy(
    database: Database, contents: MongoContents, folder: Path, pinned: Callable[[], None]
) -> int:
    """Write what is there up to now into a folder; `pinned` is called once the position is fixed."""
    target = folder / FOLDER
    await asyncio.to_thread(target.mkdir, mode=0o700)
    async with View(database).instant() as view:
        position = await Reader(view).position()
        pinned()
        await _write(target / _DOCUMENTS, _documents(view))
    contained: set[tuple[str, str]] = set()
    await _write(target / _VERSIONS, _versions(database, position, contained))
    for tenant, sha256 in sorted(contained):
        await _content(contents, folder / BLOBS, tenant, sha256)
    return position


async def _documents(view: View) -> AsyncIterator[Sequence[Kept]]:
    after: Filter = {}
    order = [("_id", 1)]
    while page := await view.find("documents", after, sort=order, limit=_PAGE, hint="_id_"):
        yield [
            Kept(
                one["tenant"],
                one["namespace"],
                one["id"],
                bytes(one["value"]),
                int(one["revision"]),
                None if one["expires"] is None else int(one["expires"]),
            )
            for one in page
        ]
        after = {"_id": {"$gt": page[-1]["_id"]}}


async def _versions(
    database: Database, last: int, contained: set[tuple[str, str]]
) -> AsyncIterator[Sequence[Copied]]:
    """Give the versions up to a position, oldest first; adds the contents that they name."""
    after = 0
    while after < last:
        async with View(database).instant() as view:
            found = [v for v in await Reader(view).feed(after, _PAGE) if v.position <= last]
            places = await _places(view, found)
        if not found:
            return
        after = found[-1].position
        for version in found:
            sha256 = marks.of(version.key.type, version.body)
            if sha256 is not None:
                contained.add((version.key.tenant, sha256))
        yield [_copied(version, places[named(version.key)]) for version in found]


async def _places(view: View, versions: Sequence[Version]) -> dict[str, int]:
    where = {"_id": {"$in": list({named(version.key) for version in versions})}}
    cursor = view.database["resources"].find(where, {"place": 1}, session=view.session)
    return {one["_id"]: int(one["place"]) async for one in cursor}


def _copied(version: Version, place: int) -> Copied:
    key = version.key
    when = (version.version_id, version.updated, version.method)
    return Copied(key.tenant, key.type, key.id, *when, version.body, version.position, place)


async def _content(contents: MongoContents, folder: Path, tenant: str, sha256: str) -> None:
    path = folder / tenant / sha256[:2] / sha256
    await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
    with path.open("xb") as file:
        try:
            async for piece in contents.pieces(tenant, sha256):
                await asyncio.to_thread(file.write, piece)
        except ContentGone:
            raise StoreUnavailable("the content of a Binary is missing") from None


async def _write(path: Path, pages: AsyncIterator[Sequence[msgspec.Struct]]) -> None:
    """Write records, each after its length."""
    encoder = msgspec.msgpack.Encoder()
    with path.open("xb") as file:
        async for page in pages:
            encoded = [encoder.encode(one) for one in page]
            framed = b"".join(len(e).to_bytes(_LENGTH, "big") + e for e in encoded)
            await asyncio.to_thread(file.write, framed)


def versions(folder: Path) -> Iterator[list[Copied]]:
    """Give the versions of a copy, oldest first, in groups."""
    return _read(folder / FOLDER / _VERSIONS, Copied)


def past(one: Copied, extract: Extract) -> tuple[Past, tuple[int, int]]:
    """Give a copied version as one to be taken over, with its position and place."""
    values = no_values() if one.body is None else extract(one.key, one.body)
    taken = Past(one.key, one.version, one.updated, one.method, one.body, values)
    return taken, (one.position, one.place)


def blobs(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give the contents of a copy, each with its tenant."""
    for path in sorted((folder / BLOBS).glob("*/??/*")):
        yield path.parts[-3], path


def _read(path: Path, kind: type[_T]) -> Iterator[list[_T]]:
    decoder = msgspec.msgpack.Decoder(kind)
    with path.open("rb") as file:
        while group := [decoder.decode(one) for one in _frames(file)]:
            yield group


def _frames(file: IO[bytes]) -> Iterator[bytes]:
    """Give up to a page of records."""
    for _ in range(_PAGE):
        length = file.read(_LENGTH)
        if not length:
            return
        yield file.read(int.from_bytes(length, "big"))


async def empty(database: Database) -> bool:
    """Tell whether nothing was ever written."""
    if await database["documents"].find_one({}, {"_id": 1}) is not None:
        return False
    head: Any = await database["head"].find_one(HEAD)
    return int(head["position"]) == 0


async def put_documents(database: Database, folder: Path, now: int) -> None:
    """Put the documents of a copy back as they were."""
    for group in _read(folder / FOLDER / _DOCUMENTS, Kept):
        made = []
        for one in group:
            place = Place(one.tenant, one.namespace, one.key, now)
            written = place.written(one.value, one.expires)
            made.append({**place.where, **written, "revision": one.revision})
        await database["documents"].insert_many(made)


async def begin(database: Database) -> None:
    """Keep everyone from opening the store until `end`: half of it is not there."""
    await database["meta"].update_one(META, {"$set": {"restoring": True}})


async def end(database: Database) -> None:
    """Open the store to everyone."""
    await database["meta"].update_one(META, {"$unset": {"restoring": ""}})
