"""Files of jobs in MongoDB, where every server of the store finds them: in pieces, as large contents are.

The document of a file is written after its pieces, so a file is whole or not there. What an upload left that
was broken off goes with the job.
"""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from bson import Binary

from fhir_server.store.files import Opened, Place
from fhir_server.store.mongo import faults
from fhir_server.store.mongo.contents import PIECE
from fhir_server.store.mongo.keys import Filter
from fhir_server.store.mongo.view import Database, Document, View

_SECOND: Final = 1_000


class MongoFiles:
    """Satisfies `Files` for one kind of job; `clock` gives milliseconds since 1970 UTC."""

    def __init__(
        self, database: Callable[[], Database], clock: Callable[[], int], kind: str
    ) -> None:
        self._given = database
        self._clock = clock
        self._kind = kind

    async def write(self, place: Place, data: bytes) -> None:
        """Keep some bytes as a file."""
        await self._kept(place, io.BytesIO(data))

    async def keep(self, place: Place, file: Path) -> None:
        """Take a file into the database, and remove it from the disk."""
        with await asyncio.to_thread(file.open, "rb") as opened:
            await self._kept(place, opened)
        await asyncio.to_thread(file.unlink)

    async def read(self, place: Place) -> bytes | None:
        """Give a file's bytes, or None."""
        opened = await self.opened(place)
        return None if opened is None else b"".join([piece async for piece in opened.read()])

    async def opened(self, place: Place) -> Opened | None:
        """Give a file to be read piece by piece, or None."""
        with faults.told():
            found = await View(self._given()).one("files", self._of(place), "_id_")
        return None if found is None else Opened(int(found["size"]), partial(self._pieces, found))

    async def forget(self, tenant: str, job: str) -> None:
        """Remove all files of a job, and what uploads of it left."""
        with faults.told():
            where: Filter = {"tenant": tenant, "id": job}
            await self._given()["files"].delete_many(where)
            await self._given()["pieces"].delete_many(where)

    async def jobs(self, seconds: int) -> Sequence[tuple[str, str]]:
        """Give tenant and job of those files that are older than so many seconds."""
        with faults.told():
            late = {"kind": self._kind, "made": {"$lt": self._clock() - seconds * _SECOND}}
            found = await View(self._given()).find("files", late)
        return sorted({(one["tenant"], one["id"]) for one in found})

    def _of(self, place: Place) -> Filter:
        name = f"{self._kind}/{place.tenant}/{place.job}/{place.name}"
        return {"_id": name, "tenant": place.tenant, "id": place.job}

    async def _kept(self, place: Place, file: BinaryIO) -> None:
        """Write the pieces, then the document that makes them a file, then remove what it was before."""
        with faults.told():
            upload: Document = {"of": uuid.uuid4().hex, "tenant": place.tenant, "id": place.job}
            size = 0
            while data := await asyncio.to_thread(file.read, PIECE):
                n = size // PIECE
                piece = {**upload, "_id": f"{upload['of']}/{n}", "n": n, "data": Binary(data)}
                await self._given()["pieces"].insert_one(piece)
                size += len(data)
            made = {"of": upload["of"], "kind": self._kind, "size": size, "made": self._clock()}
            before = await self._given()["files"].find_one_and_update(
                self._of(place), {"$set": made}, upsert=True
            )
            if before is not None:
                await self._given()["pieces"].delete_many({**upload, "of": before["of"]})

    async def _pieces(self, found: Document) -> AsyncIterator[bytes]:
        """Give the pieces of a file one by one; raises FileNotFoundError where it is removed meanwhile."""
        where = {"tenant": found["tenant"], "id": found["id"]}
        for n in range(-(-int(found["size"]) // PIECE)):
            with faults.told():
                one = {"_id": f"{found['of']}/{n}", **where}
                piece = await View(self._given()).one("pieces", one, "_id_")
            if piece is None:
                raise FileNotFoundError
            yield bytes(piece["data"])
