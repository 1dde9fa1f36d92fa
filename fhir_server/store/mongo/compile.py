"""Plans as queries: what is found, in which order, where a page begins.

A part (one type of a plan) either streams from an index that is in the asked order, or its resources are
given their sort keys and sorted by the server. Ties are broken by `place`, in the direction of the last key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from fhir_server.search.expression import Branch, Cursor, Or, Plan, Sort, SortKey
from fhir_server.search.match import UNDATED, Clinical, by_clinical
from fhir_server.store.beginnings import successor
from fhir_server.store.mongo.conditions import NONE, Conditions, Resolved
from fhir_server.store.mongo.keys import Filter, entries, entry, identity
from fhir_server.store.mongo.view import SEARCHED, Document

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
        filters = self._filters()
        for type_, where in reversed(filters) if self._plan.backwards else filters:
            after = self._plan.after
            if not self._plan.sort and after is not None:
                first, at = str(after.keys[0]), after.keys[1]
                if type_ > first if self._plan.backwards else type_ < first:
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
        down = any(key.descending for key in self._plan.sort) != self._plan.backwards
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
        """Give the ranges of an index that follow the cursor, in turn; dates come before no date.

        No date is the least: only a rising order that does not begin with it needs to be split.
        """
        further, back = "$lt" if down else "$gt", self._plan.backwards
        split = index == _BY_CLINICAL and any(not key.descending for key in self._plan.sort)
        dated: Filter = {index: {"$gt": UNDATED}}
        undated: Filter = {index: UNDATED}
        if after is None:
            both = [undated, dated] if back else [dated, undated]
            return both if split else [{}]
        at, place = after.keys[0], {"place": {further: after.place}}
        if at is None:
            at = UNDATED
        ranges: list[Filter] = [{index: at, **place}]
        if not split:
            return [*ranges, {index: {further: at}}]
        if at == UNDATED:
            return [*ranges, dated] if back else ranges
        beyond = {index: {"$lt": at, "$gt": UNDATED} if down else {"$gt": at}}
        return [*ranges, beyond] if back else [*ranges, beyond, undated]

    def _by_id(self, type: str, where: Filter, after: Cursor | None) -> Query:
        """Give the query in the order of `_id`, which begins with tenant and type."""
        down = self._plan.sort[0].descending != self._plan.backwards
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
        sort, sign = self._plan.sort, -1 if self._plan.backwards else 1
        keys = {f"k{n}": self._key(key, type, n) for n, key in enumerate(sort)}
        far = [stage for n, key in enumerate(sort) for stage in self._far(key, type, n)]
        fields = [*SEARCHED.split(), *(name for stage in far for name in stage.get("$set", ()))]
        stages: list[Document] = [*far, {"$set": keys}, {"$unset": fields}]
        if after is not None:
            stages.append({"$match": _beyond(after, sort, back=self._plan.backwards)})
        none = {
            f"m{n}": {"$eq": [f"$k{n}", None]} for n, key in enumerate(sort) if not key.descending
        }
        if none:
            stages.append({"$set": none})
        order: dict[str, int] = {}
        for n, key in enumerate(sort):
            if not key.descending:
                order[f"m{n}"] = sign
            order[f"k{n}"] = -sign if key.descending else sign
        last = -sign if sort[-1].descending else sign
        stages.append({"$sort": {**order, "place": last}})
        if self._plan.limit is not None:
            stages.append({"$limit": self._plan.limit})
        return stages

    def _far(self, key: Sort, type: str, n: int) -> Iterator[Document]:
        """Give the stages that fetch what a chained key leads to, as the field `f` and the key's number."""
        found = []
        for m, through in enumerate(key.through):
            name, field = entry("r", type, through.atom), f"f{n}_{m}"
            here = {"$eq": [{"$indexOfCP": ["$$e.v", f"{through.type}/"]}, 0]}
            mine = {"$and": [{"$eq": ["$$e.a", name]}, here]}
            links = {"$filter": {"input": "$index", "as": "e", "cond": mine}}
            whole = {"$concat": [identity(self._plan.tenant, "", "")[:-1], "$$e.v"]}
            yield {"$set": {field: {"$map": {"input": links, "as": "e", "in": whole}}}}
            where = Conditions(self._plan.tenant, through.type, self._resolved).of(through.where)
            stages: list[Document] = [{"$match": {"type": through.type, **where}}]
            stages.append({"$project": {"index": 1}})
            join = {"from": "resources", "localField": field, "foreignField": "_id"}
            yield {"$lookup": {**join, "pipeline": stages, "as": field}}
            found.append(f"${field}.index")
        if found:
            whole = {"$concatArrays": [*found]}
            joined = {"$concatArrays": ["$$value", "$$this"]}
            yield {
                "$set": {f"f{n}": {"$reduce": {"input": whole, "initialValue": [], "in": joined}}}
            }

    def _key(self, key: Sort, type: str, n: int) -> Any:
        """Give the expression of a sort key."""
        if key.by == "_id":
            return "$id"
        if key.by == "_lastUpdated":
            return "$updated"
        if by_clinical(key, type, self._clinical):
            return {"$cond": [{"$eq": ["$clinical", UNDATED]}, None, "$clinical"]}
        types = {through.type for through in key.through} or {type}
        names = [name for held in sorted(types) for name in entries(key.kind, held, key.atoms)]
        source = f"$f{n}" if key.through else "$index"
        mine = {"$filter": {"input": source, "as": "e", "cond": {"$in": ["$$e.a", names]}}}
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


def _beyond(after: Cursor, sort: Sequence[Sort], *, back: bool) -> Filter:
    """Give the condition that keys come after the cursor's, missing ones last, or first going back."""
    tests: list[Filter] = []
    same: Filter = {}
    for n, (key, by) in enumerate(zip(after.keys, sort, strict=True)):
        name = f"k{n}"
        if key is None:
            if back:
                tests.append({**same, name: {"$ne": None}})
            same[name] = None
            continue
        tests.append({**same, name: {"$lt" if by.descending != back else "$gt": key}})
        if not back:
            tests.append({**same, name: None})
        same[name] = key
    last = "$lt" if sort[-1].descending != back else "$gt"
    tests.append({**same, "place": {last: after.place}})
    return {"$or": tests}
