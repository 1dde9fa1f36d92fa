"""Versions, histories and the change feed, as they are read (docs/adr/0012-mongo-layout.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fhir_server.store.mongo.keys import HEAD, Filter, named, of_key
from fhir_server.store.mongo.versions import of_document, of_log
from fhir_server.store.mongo.view import SEARCHED, Document, View
from fhir_server.store.port import Key, Numbered, Page, Scope, Version

_BY_ID: Final = "_id_"
_MANY_KEYS: Final = 1_000


class Reader:
    """Reads in one view."""

    def __init__(self, view: View) -> None:
        self.view = view

    async def read(self, key: Key) -> Version | None:
        """Give the current version."""
        found = await self.view.one("resources", of_key(key), _BY_ID, SEARCHED)
        return None if found is None else of_document(found, key)

    async def read_many(self, keys: Sequence[Key]) -> list[Version]:
        """Give the current versions of those that exist."""
        wanted = list(dict.fromkeys(keys))
        found: list[Version] = []
        for start in range(0, len(wanted), _MANY_KEYS):
            by_name = {named(key): key for key in wanted[start : start + _MANY_KEYS]}
            heads = await self.heads(by_name)
            versions = (of_document(one, by_name[name]) for name, one in heads.items())
            found += [version for version in versions if version.body is not None]
        return found

    async def heads(self, by_name: dict[str, Key]) -> dict[str, Document]:
        """Give the documents of current versions by their `_id`."""
        where = {
            "_id": {"$in": list(by_name)},
            "tenant": {"$in": sorted({key.tenant for key in by_name.values()})},
            "id": {"$in": sorted({key.id for key in by_name.values()})},
        }
        found = await self.view.find("resources", where, without=SEARCHED, hint=_BY_ID)
        return {one["_id"]: one for one in found}

    async def vread(self, key: Key, version_id: int) -> Version | None:
        """Give one version."""
        current = await self.read(key)
        if current is None or current.version_id == version_id:
            return current
        where = {"tenant": key.tenant, "id": key.id, "type": key.type, "version": version_id}
        found = await self.view.one("history", where, "versions")
        return None if found is None else of_document(found, key)

    async def deletions(self, numbers: Sequence[Numbered]) -> frozenset[Numbered]:
        """Give those of these superseded versions that are deletions."""
        found: list[Document] = []
        for start in range(0, len(numbers), _MANY_KEYS):
            some = numbers[start : start + _MANY_KEYS]
            where = {
                "tenant": {"$in": sorted({key.tenant for key, _ in some})},
                "id": {"$in": sorted({key.id for key, _ in some})},
                "type": {"$in": sorted({key.type for key, _ in some})},
                "version": {"$in": sorted({version for _, version in some})},
                "method": "DELETE",
            }
            found += await self.view.find("history", where, hint="versions")
        return frozenset((of_log(one), int(one["version"])) for one in found).intersection(numbers)

    async def history(self, scope: Scope, page: Page) -> list[Version]:
        """Give versions newest first."""
        if page.limit <= 0:
            return []
        if scope.type is not None and scope.id is not None:
            return await self._instance_history(Key(scope.tenant, scope.type, scope.id), page)
        where: Filter = {"tenant": scope.tenant}
        if scope.type is not None:
            where["type"] = scope.type
        where |= await self._within(page)
        order = [("updated", -1), ("_id", -1)]
        return await self._versions(
            await self.view.find("changes", where, sort=order, limit=page.limit)
        )

    async def feed(self, after: int, limit: int) -> list[Version]:
        """Give the versions that follow a position."""
        where = {"_id": {"$gt": after}}
        return await self._versions(
            await self.view.find("changes", where, sort=[("_id", 1)], limit=limit, hint=_BY_ID)
        )

    async def position(self) -> int:
        """Give the position of the newest version."""
        head = await self.view.one("head", HEAD, _BY_ID)
        return 0 if head is None else int(head["position"])

    async def _within(self, page: Page) -> Filter:
        """Give a page's bounds; times never fall as positions rise, so a position bounds the time too."""
        updated: Filter = {}
        where: Filter = {}
        if page.until is not None:
            updated["$lt"] = page.until
        if page.since is not None:
            updated["$gte"] = page.since
        if page.before is not None:
            where["_id"] = {"$lt": page.before}
            found = await self.view.find("changes", {"_id": page.before}, limit=1)
            if found:
                updated["$lte"] = found[0]["updated"]
        return where | {"updated": updated} if updated else where

    async def _instance_history(self, key: Key, page: Page) -> list[Version]:
        current = await self.read(key)
        if current is None:
            return []
        where: Filter = {"tenant": key.tenant, "id": key.id, "type": key.type}
        where |= {"version": {"$lt": current.version_id}, **(await self._within(page))}
        found = await self.view.find("history", where, sort=[("version", -1)], limit=page.limit)
        older = [of_document(one, key) for one in found]
        newest = [current] if _on(current, page) else []
        return [*newest, *older][: page.limit]

    async def _versions(self, logged: Sequence[Document]) -> list[Version]:
        """Give the versions that the log tells of: read from what is current, then from what was.

        A version moves from the one to the other in a commit, never back, so none is missed between.
        """
        if not logged:
            return []
        keys = {named(key): key for key in map(of_log, logged)}
        found = {one["position"]: one for one in (await self.heads(keys)).values()}
        rest = [one for one in logged if one["_id"] not in found]
        if rest:
            where = {
                "_id": {"$in": [one["_id"] for one in rest]},
                "tenant": {"$in": sorted({one["tenant"] for one in rest})},
                "id": {"$in": sorted({one["id"] for one in rest})},
            }
            found |= {one["_id"]: one for one in await self.view.find("history", where)}
        return [of_document(found[one["_id"]], of_log(one)) for one in logged]


def _on(version: Version, page: Page) -> bool:
    return (
        (page.before is None or version.position < page.before)
        and (page.since is None or version.updated >= page.since)
        and (page.until is None or version.updated < page.until)
    )
