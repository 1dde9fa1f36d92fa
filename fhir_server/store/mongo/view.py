"""Where reads run: the newest majority-committed state, one instant of it, or the inside of a transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase

from fhir_server.store.mongo.keys import Filter

Document = dict[str, Any]
Database = AsyncDatabase[Document]

MOST_MS: Final = 30_000
"""How long one query may take, in milliseconds, before it is too costly."""
SEARCHED: Final = "index written"
"""The fields by which a resource is found and which nobody reads."""


class View:
    """Reads on one database, all of them in `session` where there is one."""

    def __init__(self, database: Database, session: AsyncClientSession | None = None) -> None:
        self.database = database
        self.session = session

    @asynccontextmanager
    async def instant(self) -> AsyncIterator[Self]:
        """Give a view whose reads all see one instant; this one if it already is such a view."""
        if self.session is not None:
            yield self
            return
        async with self.database.client.start_session(snapshot=True) as session:
            yield type(self)(self.database, session)

    async def one(self, collection: str, where: Filter, hint: str, without: str = "") -> Any:
        """Give the document that a filter finds by a named index, or None; `without` some of its fields."""
        return await self.database[collection].find_one(
            where,
            _without(without),
            hint=hint,
            session=self.session,
            max_time_ms=MOST_MS,
        )

    async def find(
        self,
        collection: str,
        where: Filter,
        *,
        sort: list[tuple[str, int]] | None = None,
        limit: int | None = None,
        without: str = "",
        hint: str | None = None,
    ) -> list[Document]:
        """Give the documents that a filter finds; `limit` None gives all."""
        cursor = self.database[collection].find(
            where,
            _without(without),
            sort=sort,
            limit=limit or 0,
            hint=hint,
            session=self.session,
            max_time_ms=MOST_MS,
        )
        return await cursor.to_list()

    async def aggregate(
        self, collection: str, stages: list[Document], *, hint: str | None = None
    ) -> list[Document]:
        """Give what a pipeline gives; with `hint` it begins by that index."""
        named: dict[str, Any] = {} if hint is None else {"hint": hint}
        cursor = await self.database[collection].aggregate(
            stages, session=self.session, maxTimeMS=MOST_MS, allowDiskUse=True, **named
        )
        return await cursor.to_list()

    async def types(self, tenant: str) -> set[str]:
        """Give the types of which a tenant has resources; the index is skipped through, type by type."""
        stages: list[Document] = [
            {"$match": {"tenant": tenant}},
            {"$sort": {"tenant": 1, "type": 1}},
            {"$group": {"_id": "$type"}},
        ]
        cursor = await self.database["resources"].aggregate(
            stages, session=self.session, maxTimeMS=MOST_MS, hint="clinical"
        )
        return {one["_id"] for one in await cursor.to_list()} - {None}


def _without(fields: str) -> Document | None:
    return dict.fromkeys(fields.split(), 0) or None
