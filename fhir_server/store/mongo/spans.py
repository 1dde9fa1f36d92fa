"""Prefixes as conditions on index entries: intervals of dates, doubles of numbers (R4 search.html#prefix).

A row's conditions must all hold of one entry, and any row will do.
"""

from __future__ import annotations

from typing import Any, Final

from fhir_server.search import interval
from fhir_server.search.expression import DateRange, Number, Quantity, Updated
from fhir_server.store.mongo.entries import NARROW
from fhir_server.store.mongo.keys import Filter

_ENDS: Final = {"low": "v", "high": "w"}


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


def of_date(node: DateRange, *, narrow: bool) -> list[Filter]:
    """Give the rows for date entries; those of narrow intervals have bounds on their low end too."""
    rows = []
    for row in interval.bounds(node.prefix, node.low, node.high):
        low, high = _Span(), _Span()
        for side, operator, limit in row:
            (low if side == "low" else high).add(operator, limit)
            if narrow and side == "high":
                low.add(operator, limit, NARROW)
        ends = {_ENDS["low"]: low.filter(), _ENDS["high"]: high.filter()}
        rows.append({name: bounds for name, bounds in ends.items() if bounds})
    return rows


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
