"""Large contents in MongoDB: in pieces, kept once a tenant, erased with the last version that names them.

The pieces are written before the transaction that names the content. That transaction counts the name in the
document of the content, so it fails where the content was erased meanwhile; a purge takes names back, and
removes content and pieces in its own transaction when none is left. Nobody waits for anybody.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import BinaryIO, Final

from bson import Binary
from pymongo.errors import DuplicateKeyError

from fhir_server.store.mongo import faults
from fhir_server.store.mongo.keys import Filter
from fhir_server.store.mongo.view import Database, Document, View
from fhir_server.store.port import Brought, ContentGone

PIECE: Final = 1 << 20
LOOSE_MS: Final = 24 * 3_600_000
"""How long a content may wait, in milliseconds, for the first version that names it."""

_TOGETHER: Final = 2


def of_content(tenant: str, sha256: str) -> Filter:
    """Give the filter of a content's document."""
    return {"_id": f"{tenant}/{sha256}", "tenant": tenant, "id": sha256}


class MongoContents:
    """Satisfies the `Blobs` port in the store's database; `clock` gives milliseconds since 1970 UTC."""

    counted: Final = True

    def __init__(self, database: Callable[[], Database], clock: Callable[[], int]) -> None:
        self._given = database
        self._clock = clock

    def keeping(self) -> AbstractAsyncContextManager[None]:
        """Hold off nobody: the commit itself sees whether a content is there."""
        return nullcontext()

    def erasing(self) -> AbstractAsyncContextManager[None]:
        """Hold off nobody."""
        return nullcontext()

    async def put(self, tenant: str, data: bytes) -> str:
        """Keep a content, durable on return, and give its SHA-256."""
        sha256 = await asyncio.to_thread(_sha256, data)
        await self.keep(tenant, Brought(io.BytesIO(data), len(data), sha256))
        return sha256

    async def keep(self, tenant: str, brought: Brought) -> None:
        """Keep a content that waits in a file, durable on return."""
        with faults.told():
            while not await self._touched(tenant, brought.sha256):
                await self._made(tenant, brought)

    async def get(self, tenant: str, sha256: str) -> bytes | None:
        """Give a content, or None where it is missing."""
        try:
            return b"".join([piece async for piece in self.pieces(tenant, sha256)])
        except ContentGone:
            return None

    async def size(self, tenant: str, sha256: str) -> int | None:
        """Give a content's size in bytes, or None where it is missing."""
        with faults.told():
            found = await View(self._given()).one("contents", of_content(tenant, sha256), "_id_")
            return None if found is None else int(found["size"])

    async def pieces(
        self, tenant: str, sha256: str, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Give the bytes from `start` up to `stop` of a content, piece by piece; raises ContentGone.

        Each piece is read alone, as whoever takes them may be slower than any cursor lives. Pieces never
        change; where they are erased meanwhile, the next one is missing.
        """
        with faults.told():
            view = View(self._given())
            found = await view.one("contents", of_content(tenant, sha256), "_id_")
            if found is None:
                raise ContentGone
            end = int(found["size"]) if stop is None else stop
            where = {"tenant": tenant, "id": sha256}
            for n in range(start // PIECE, -(-end // PIECE)):
                piece = await view.one("pieces", {"_id": f"{found['of']}/{n}", **where}, "_id_")
                if piece is None:
                    raise ContentGone
                at = n * PIECE
                yield piece["data"][max(start - at, 0) : end - at]

    async def delete(self, tenant: str, sha256: str) -> None:
        """Remove a content that no version names."""
        with faults.told():
            done = await self._given()["contents"].find_one_and_delete(
                {**of_content(tenant, sha256), "names": 0}
            )
            if done is not None:
                await self._forget(tenant, sha256, done["of"])

    async def sweep(self) -> None:
        """Remove contents that no version came to name, and pieces whose upload was broken off."""
        with faults.told():
            late = {"made": {"$lt": self._clock() - LOOSE_MS}}
            database = self._given()
            for one in await database["contents"].find({"names": 0, **late}).to_list():
                where = {**of_content(one["tenant"], one["id"]), "names": 0, **late}
                if await database["contents"].find_one_and_delete(where) is not None:
                    await self._forget(one["tenant"], one["id"], one["of"])
            for one in await database["uploads"].find(late).to_list():
                where = {**of_content(one["tenant"], one["id"]), "of": one["_id"]}
                if await database["contents"].find_one(where) is None:
                    await self._forget(one["tenant"], one["id"], one["_id"])
                await self._finished(one)

    async def _touched(self, tenant: str, sha256: str) -> bool:
        """Tell whether a content is there; it then stays for as long as a new one would."""
        done = await self._given()["contents"].update_one(
            of_content(tenant, sha256), {"$set": {"made": self._clock()}}
        )
        return done.matched_count > 0

    async def _made(self, tenant: str, brought: Brought) -> None:
        """Write the pieces, then the document that makes them a content, unless another was faster."""
        mine, database, made = uuid.uuid4().hex, self._given(), self._clock()
        sha256 = brought.sha256
        upload: Document = {"_id": mine, "tenant": tenant, "id": sha256, "made": made}
        await database["uploads"].insert_one(dict(upload))
        for first in range(0, -(-brought.size // PIECE), _TOGETHER):
            cut = await asyncio.to_thread(_cut, brought.file, first)
            await database["pieces"].insert_many(
                [_piece(upload, first + n, one) for n, one in enumerate(cut)]
            )
        content = {**of_content(tenant, sha256), "of": mine, "size": brought.size, "names": 0}
        try:
            await database["contents"].insert_one({**content, "made": made})
        except DuplicateKeyError:
            await self._forget(tenant, sha256, mine)
        await self._finished(upload)

    async def _forget(self, tenant: str, sha256: str, upload: str) -> None:
        where = {"tenant": tenant, "id": sha256, "of": upload}
        await self._given()["pieces"].delete_many(where)

    async def _finished(self, upload: Document) -> None:
        where = {name: upload[name] for name in ("_id", "tenant", "id")}
        await self._given()["uploads"].delete_one(where)


def _cut(file: BinaryIO, first: int) -> list[bytes]:
    """Give the pieces of a file from a first one on, as many as are written together."""
    file.seek(first * PIECE)
    part = file.read(_TOGETHER * PIECE)
    return [part[at : at + PIECE] for at in range(0, len(part), PIECE)]


def _piece(upload: Document, n: int, data: bytes) -> Document:
    of = upload["_id"]
    where = {"_id": f"{of}/{n}", "tenant": upload["tenant"], "id": upload["id"]}
    return {**where, "of": of, "n": n, "data": Binary(data)}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def erase(view: View, tenant: str, sha256: str) -> None:
    """Within a transaction: remove a content, with its pieces, if no version names it any more."""
    gone = await view.database["contents"].find_one_and_delete(
        {**of_content(tenant, sha256), "names": {"$lte": 0}}, session=view.session
    )
    if gone is not None:
        where = {"tenant": tenant, "id": sha256, "of": gone["of"]}
        await view.database["pieces"].delete_many(where, session=view.session)


async def missing(view: View, named: set[tuple[str, str]]) -> bool:
    """Tell whether one of these contents (tenant and SHA-256) is not there."""
    ids = [of_content(tenant, sha256)["_id"] for tenant, sha256 in named]
    where = {
        "_id": {"$in": ids},
        "tenant": {"$in": sorted({tenant for tenant, _ in named})},
        "id": {"$in": sorted({sha256 for _, sha256 in named})},
    }
    return len(await view.find("contents", where, hint="_id_")) < len(named)


async def count(view: View, named: dict[tuple[str, str], int]) -> None:
    """Within a transaction: add to (or take from) how many versions name contents."""
    for (tenant, sha256), change in named.items():
        await view.database["contents"].update_one(
            of_content(tenant, sha256), {"$inc": {"names": change}}, session=view.session
        )
