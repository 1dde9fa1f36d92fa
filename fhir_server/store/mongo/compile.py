"""Plans as queries: what is found, in which order, where a page begins.

A part (one type of a plan) either streams from an index that is in the asked order, or its resources are
given their sort keys and sorted by the server. Ties are broken by `place`, in the direction of the last key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from fhir_server.search.expression import Branch, Cursor, Or, Plan, Sort, SortKey
from fhir_server.search.match import UNDATED, Clinical, by_clinical
from fhir_server.store.mongo.conditions import NONE, Conditions, Resolved
from fhir_server.store.mongo.keys import Filter, entries, identity, successor
from fhir_server.store.mongo.view import Document

Order = list[tuple[str, int]]

_BY_CLINICAL: Final = "clinical"
_BY_UPDATE: Final = "updated"
_BY_ID: Final = "_id"


class Query(NamedTuple):
    """One query: a filter, and either an order that an index has, or the stages that sort."""

    type: str
    where: Filter
    order: Order
    stages: list[Document]


class Part(NamedTuple):
    """One type of a plan, and its queries to run in turn until the page is full."""

    type: str
    queries: list[Query]


class Compiler:
    """Compiles one plan, whose links are resolved."""

    def __init__(self, plan: Plan, clinical: Clinical, resolved: Resolved) -> None:
        self._plan = plan
        self._clinical = clinical
        self._resolved = resolved

    def parts(self) -> list[Part]:
        """Give the parts by type; in the store's own order only those that the page may reach."""
        parts = []
        for type_, where in self._filters():
            after = self._plan.after
            if not self._plan.sort and after is not None:
                first, at = str(after.keys[0]), after.keys[1]
                if type_ < first:
                    continue
                after = Cursor((at,), after.place) if type_ == first else None
            parts.append(Part(type_, self._queries(type_, where, after)))
        return parts

    def counted(self) -> list[Filter]:
        """Give the filters whose documents are all matches."""
        return [where for _, where in self._filters()]

    def keys(self, type: str, found: Document) -> tuple[SortKey, ...]:
        """Give the sort keys of a document that one of the queries found."""
        sort = self._plan.sort
        if not sort:
            return type, int(found["clinical"])
        index = self._index(type)
        if index == _BY_ID:
            return (found["id"],)
        if index is not None:
            at = int(found[index])
            return (None if index == _BY_CLINICAL and at == UNDATED else at,)
        return tuple(_plain(found.get(f"k{n}")) for n in range(len(sort)))

    def _filters(self) -> list[tuple[str, Filter]]:
        """Give the types in their order, each once, with their conditions."""
        by_type: dict[str, Branch] = {}
        for branch in sorted(self._plan.branches, key=lambda b: b.type):
            known = by_type.get(branch.type)
            either = branch.where if known is None else Or((known.where, branch.where))
            by_type[branch.type] = Branch(branch.type, either)
        found = []
        for type_, branch in by_type.items():
            condition = Conditions(self._plan.tenant, type_, self._resolved).of(branch.where)
            if condition != NONE:
                found.append((type_, {"tenant": self._plan.tenant, "type": type_, **condition}))
        return found

    def _queries(self, type: str, where: Filter, after: Cursor | None) -> list[Query]:
        index = self._index(type)
        if index is None:
            return [Query(type, where, [], self._sorted(type, after))]
        if index == _BY_ID:
            return [self._by_id(type, where, after)]
        down = any(key.descending for key in self._plan.sort)
        way = -1 if down else 1
        order = [(index, way), ("place", way)]
        return [
            Query(type, _both(where, limits), order, [])
            for limits in self._limits(index, after, down=down)
        ]

    def _index(self, type: str) -> str | None:
        """Give the field by which an index is in the asked order; None if there is none."""
        if not self._plan.sort:
            return _BY_CLINICAL
        if len(self._plan.sort) > 1:
            return None
        (key,) = self._plan.sort
        if key.by == "_id":
            return _BY_ID
        if key.by == "_lastUpdated":
            return _BY_UPDATE
        return _BY_CLINICAL if by_clinical(key, type, self._clinical) else None

    def _limits(self, index: str, after: Cursor | None, *, down: bool) -> list[Filter]:
        """Give the ranges of an index that follow the cursor, in turn; dates come before no date."""
        further = "$lt" if down else "$gt"
        split = index == _BY_CLINICAL and bool(self._plan.sort) and not down
        dated: Filter = {index: {"$gt": UNDATED}}
        undated: Filter = {index: UNDATED}
        if after is None:
            return [dated, undated] if split else [{}]
        at, place = after.keys[0], {"place": {further: after.place}}
        if at is None:
            return [{index: UNDATED, **place}]
        ranges: list[Filter] = [{index: at, **place}, {index: {further: at}}]
        return [*ranges, undated] if split else ranges

    def _by_id(self, type: str, where: Filter, after: Cursor | None) -> Query:
        """Give the query in the order of `_id`, which begins with tenant and type."""
        down = self._plan.sort[0].descending
        start = identity(self._plan.tenant, type, "")
        limits: Filter = {"_id": {"$gte": start, "$lt": successor(start)}}
        if after is not None:
            at = identity(self._plan.tenant, type, str(after.keys[0]))
            limits["_id"] |= {"$lte" if down else "$gte": at}
            past: Filter = {"place": {"$lt" if down else "$gt": after.place}}
            limits = _both(limits, {"$or": [{"_id": {"$ne": at}}, past]})
        return Query(type, _both(where, limits), [("_id", -1 if down else 1)], [])

    def _sorted(self, type: str, after: Cursor | None) -> list[Document]:
        """Give the stages that add the keys, pass over what was seen, and sort; no value comes last."""
        sort = self._plan.sort
        keys = {f"k{n}": self._key(key, type) for n, key in enumerate(sort)}
        stages: list[Document] = [{"$set": keys}, {"$unset": "index"}]
        if after is not None:
            stages.append({"$match": _beyond(after, sort)})
        none = {
            f"m{n}": {"$eq": [f"$k{n}", None]} for n, key in enumerate(sort) if not key.descending
        }
        if none:
            stages.append({"$set": none})
        order: dict[str, int] = {}
        for n, key in enumerate(sort):
            if not key.descending:
                order[f"m{n}"] = 1
            order[f"k{n}"] = -1 if key.descending else 1
        stages.append({"$sort": {**order, "place": -1 if sort[-1].descending else 1}})
        if self._plan.limit is not None:
            stages.append({"$limit": self._plan.limit})
        return stages

    def _key(self, key: Sort, type: str) -> Any:
        """Give the expression of a sort key."""
        if key.by == "_id":
            return "$id"
        if key.by == "_lastUpdated":
            return "$updated"
        if by_clinical(key, type, self._clinical):
            return {"$cond": [{"$eq": ["$clinical", UNDATED]}, None, "$clinical"]}
        names = entries(key.kind, type, key.atoms)
        mine = {"$filter": {"input": "$index", "as": "e", "cond": {"$in": ["$$e.a", names]}}}
        values = {"$map": {"input": mine, "as": "e", "in": "$$e.v"}}
        return {"$max" if key.descending else "$min": values}


def _plain(key: SortKey) -> SortKey:
    return int(key) if isinstance(key, int) else key


def _both(where: Filter, limits: Filter) -> Filter:
    """Give a filter with limits; conditions on one field are put side by side."""
    if not limits:
        return where
    if where.keys() & limits.keys():
        return {"$and": [where, limits]}
    return {**where, **limits}


def _beyond(after: Cursor, sort: Sequence[Sort]) -> Filter:
    """Give the condition that keys come after the cursor's, missing ones last in any direction."""
    tests: list[Filter] = []
    same: Filter = {}
    for n, (key, by) in enumerate(zip(after.keys, sort, strict=True)):
        name = f"k{n}"
        if key is None:
            same[name] = None
            continue
        tests.append({**same, name: {"$lt" if by.descending else "$gt": key}})
        tests.append({**same, name: None})
        same[name] = key
    tests.append({**same, "place": {"$lt" if sort[-1].descending else "$gt": after.place}})
    return {"$or": tests}
