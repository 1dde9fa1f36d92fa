"""Searches run: links resolved, the plan compiled, the pages of its types put in one order."""

from __future__ import annotations

import heapq
from functools import cmp_to_key
from typing import Any, Final

from msgspec.structs import replace

from fhir_server.search.expression import Cursor, Plan
from fhir_server.search.match import Clinical
from fhir_server.search.order import Order
from fhir_server.store.mongo import links
from fhir_server.store.mongo.compile import Compiler, Part, Query
from fhir_server.store.mongo.leading import Leading
from fhir_server.store.mongo.versions import of_document
from fhir_server.store.mongo.view import SEARCHED, Document, View
from fhir_server.store.port import Key, Match

_MANY_TYPES: Final = 4


class Searches:
    """Runs plans in views; `clinical` names the atom of a type's clinical date."""

    def __init__(self, clinical: Clinical) -> None:
        self._clinical = clinical
        self._leading = Leading()

    async def search(self, view: View, plan: Plan) -> list[Match]:
        """Give a page of matches; where it takes several queries, all see one instant."""
        if plan.limit == 0:
            return []
        if _in_one_query(plan):
            return await self._search(view, plan)
        async with view.instant() as instant:
            return await self._search(instant, plan)

    async def count(self, view: View, plan: Plan) -> int:
        """Give the number of all matches, at one instant."""
        if _in_one_query(plan):
            return await self._count(view, plan)
        async with view.instant() as instant:
            return await self._count(instant, plan)

    async def queries(self, view: View, plan: Plan) -> list[Query]:
        """Give the queries of a page, for a person."""
        compiler = await self._compiled(view, plan)
        return [query for part in compiler.parts() for query in part.queries]

    async def _compiled(self, view: View, plan: Plan) -> Compiler:
        plan = await _present(view, plan)
        resolved: links.Found = {}
        if _chained(plan):
            resolved = await links.resolve(view, plan)
        plan = await self._leading.arrange(view, plan, resolved)
        return Compiler(plan, self._clinical, resolved)

    async def _search(self, view: View, plan: Plan) -> list[Match]:
        """Give a page: types follow one another in the store's own order, and are merged in any other."""
        compiler = await self._compiled(view, plan)
        pages: list[list[Match]] = []
        left = plan.limit
        for part in compiler.parts():
            pages.append(await _page(view, compiler, part, left))
            if left is not None and not plan.sort:
                left -= len(pages[-1])
                if left == 0:
                    break
        if not plan.sort or len(pages) == 1:
            return [match for page in pages for match in page]
        return list(heapq.merge(*pages, key=_order(plan)))[: plan.limit]

    async def _count(self, view: View, plan: Plan) -> int:
        counted = 0
        for where in (await self._compiled(view, plan)).counted():
            stages: list[Document] = [{"$match": where}, {"$count": "n"}]
            counted += sum(int(one["n"]) for one in await view.aggregate("resources", stages))
        return counted


def _in_one_query(plan: Plan) -> bool:
    """Tell whether a plan surely takes one query only."""
    return (
        len(plan.branches) == 1
        and plan.after is None
        and not _chained(plan)
        and (not plan.sort or plan.sort[0].descending)
    )


def _chained(plan: Plan) -> bool:
    return any(links.linked(branch.where) for branch in plan.branches) or any(
        links.linked(through.where) for key in plan.sort for through in key.through
    )


async def _present(view: View, plan: Plan) -> Plan:
    """Leave out of a plan of many types those of which the tenant has nothing."""
    if len(plan.branches) <= _MANY_TYPES:
        return plan
    present = await view.types(plan.tenant)
    kept = tuple(branch for branch in plan.branches if branch.type in present)
    return replace(plan, branches=kept)


async def _page(view: View, compiler: Compiler, part: Part, limit: int | None) -> list[Match]:
    found: list[Match] = []
    for query in part.queries:
        left = None if limit is None else limit - len(found)
        for one in await _run(view, query, left):
            key = Key(one["tenant"], query.type, one["id"])
            keys = compiler.keys(query.type, one)
            found.append(Match(of_document(one, key), keys, int(one["place"])))
        if len(found) == limit:
            break
    return found


async def _run(view: View, query: Query, limit: int | None) -> list[Document]:
    if query.stages:
        return await view.aggregate("resources", [{"$match": query.where}, *query.stages])
    return await view.find(
        "resources", query.where, sort=query.order, limit=limit, without=SEARCHED
    )


def _order(plan: Plan) -> Any:
    """Give the key function of a plan's order."""
    compare = Order(plan).compare
    return cmp_to_key(
        lambda a, b: compare(Cursor(a.keys, a.place), Cursor(b.keys, b.place)),
    )
