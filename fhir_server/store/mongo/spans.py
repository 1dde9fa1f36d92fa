"""Prefixes as conditions on index entries: intervals of dates, doubles of numbers (R4 search.html#prefix).

A row's conditions must all hold of one entry, and any row will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.search import interval
from fhir_server.search.expression import DateRange, Number, Quantity, Updated
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


def of_number(node: Number | Quantity) -> list[Filter]:  # noqa: PLR0911 - one arm a prefix
    """Give the rows for number and quantity entries, as match.compare has them."""
    value, low, high = float(node.value), float(node.low), float(node.high)
    inside: dict[str, Any] = {"v": {"$gte": low, "$lt": high}}
    match node.prefix:
        case "eq":
            return [inside] if low <= value < high else [inside, {"v": value}]
        case "ne":
            return [{"v": {"$lt": low, "$ne": value}}, {"v": {"$gte": high, "$ne": value}}]
        case "ap":
            return [{"l": {"$lte": high}, "h": {"$gte": low}}]
        case "gt" | "sa":
            return [{"v": {"$gt": value}}]
        case "lt" | "eb":
            return [{"v": {"$lt": value}}]
        case "ge":
            return [{"v": {"$gte": value}}]
        case "le":
            return [{"v": {"$lte": value}}]
