"""Prefixes as conditions on index entries: intervals of dates, doubles of numbers (R4 search.html#prefix).

A row's conditions must all hold of one entry, and any row will do.
"""

from __future__ import annotations

from collections.abc import Sequence

from bson import Int64

from fhir_server.search import interval
from fhir_server.search.expression import DateRange, Near, Number, Quantity, Updated
from fhir_server.store.mongo.keys import Filter


class _Span:
    """Bounds on whole numbers, the tightest of each side."""

    def __init__(self) -> None:
        self.least: int | None = None
        self.most: int | None = None

    def add(self, operator: interval.Operator, limit: int, slack: int = 0) -> None:
        """Narrow by a bound whose lower side lies `slack` deeper."""
        if operator in {">", ">=", "="}:
            least = limit - slack + (operator == ">")
            self.least = least if self.least is None else max(self.least, least)
        if operator in {"<", "<=", "="}:
            most = limit - (operator == "<")
            self.most = most if self.most is None else min(self.most, most)

    def filter(self) -> Filter:
        """Give the bounds as a condition."""
        bounds = {"$gte": self.least, "$lte": self.most}
        return {word: limit for word, limit in bounds.items() if limit is not None}


def of_date(node: DateRange, width: int | None) -> Filter:
    """Give the condition for date entries of intervals up to a width, None for any.

    Where the width is limited, a bound on the high end is one on the low end too, by which an index leads. Of
    several rows the index has what spans them all.
    """
    rows: list[Filter] = []
    spans: list[_Span] = []
    for row in interval.bounds(node.prefix, node.low, node.high):
        low, high = _Span(), _Span()
        for side, operator, limit in row:
            (low if side == "low" else high).add(operator, limit)
        rows.append({n: s.filter() for n, s in (("v", low), ("w", high)) if s.filter()})
        for side, operator, limit in row if width is not None else ():
            if side == "high":
                low.add(operator, limit, width or 0)
        spans.append(low)
    hull = _hull(spans)
    if len(rows) > 1:
        return {**hull, "$or": rows}
    return {**rows[0], **hull}


def _hull(spans: Sequence[_Span]) -> Filter:
    """Give the bounds that span all of several."""
    least = [span.least for span in spans if span.least is not None]
    most = [span.most for span in spans if span.most is not None]
    bounds: Filter = {}
    if len(least) == len(spans):
        bounds["$gte"] = min(least)
    if len(most) == len(spans):
        bounds["$lte"] = max(most)
    return {"v": bounds} if bounds else {}


def of_update(node: Updated) -> list[Filter]:
    """Give the rows for the instant of the last update."""
    rows = []
    for row in interval.bounds(node.prefix, node.low, node.high):
        span = _Span()
        for _, operator, limit in row:
            span.add(operator, limit)
        rows.append({"updated": span.filter()})
    return rows


def of_number(node: Number | Quantity, end: str) -> list[Filter]:  # noqa: PLR0911 - one arm a prefix
    """Give the rows for number and quantity entries, as match.compare has them; `end` names the high end.

    Points have no other end than their value: `end` is `v` then, like the low one.
    """
    value, low, high = float(node.value), float(node.low), float(node.high)
    below = {"$lt": high} if value < high else {"$lte": value}
    match node.prefix:
        case "eq":
            return [_both("v", {"$gte": low}, end, below)]
        case "ne":
            above = {"$gte": high} if value < high else {"$gt": value}
            return [{"v": {"$lt": low}}, {end: above}]
        case "ap":
            return [_both("v", {"$lte": high}, end, {"$gte": low})]
        case "gt":
            return [{end: {"$gt": value}}]
        case "lt":
            return [{"v": {"$lt": value}}]
        case "ge":
            return [{end: {"$gte": value}}]
        case "le":
            return [{"v": {"$lte": value}}]
        case "sa":
            return [{"v": {"$gt": value}}]
        case "eb":
            return [{end: {"$lt": value}}]


def _both(one: str, first: Filter, other: str, second: Filter) -> Filter:
    return {one: {**first, **second}} if one == other else {one: first, other: second}


def of_place(node: Near) -> Filter:
    """Give the condition for place entries: the cube around the sphere that is asked for."""
    ways = (("v", node.z), ("x", node.x), ("y", node.y))
    return {name: {"$gte": at - node.reach, "$lte": at + node.reach} for name, at in ways}


def inside(node: Near, name: str) -> Filter:
    """Give the condition that a place entry of the name lies in the sphere."""
    sides = []
    for field, at in (("v", node.z), ("x", node.x), ("y", node.y)):
        side = {"$subtract": [f"$$e.{field}", Int64(at)]}
        sides.append({"$multiply": [side, side]})
    entries = {"$ifNull": ["$index", []]}  # what is deleted has none, and may be looked at too
    mine = {"$filter": {"input": entries, "as": "e", "cond": {"$eq": ["$$e.a", name]}}}
    near = {"$lte": [{"$add": sides}, Int64(node.reach**2)]}
    return {"$expr": {"$anyElementTrue": {"$map": {"input": mine, "as": "e", "in": near}}}}
