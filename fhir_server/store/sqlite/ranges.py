"""Prefixes as bounds on the columns of index rows: any row of bounds will do, with all its bounds.

The meaning is that of `match.compare` and `interval.bounds` (FHIR R4 search.html#prefix).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, assert_never

from fhir_server.search import interval
from fhir_server.search.expression import DateRange, Number, Quantity, Updated
from fhir_server.store.sqlite.keys import ordinal
from fhir_server.store.sqlite.rows import NARROW

Bound = tuple[str, str, int]
Ranges = list[list[Bound]]


def of_date(node: DateRange) -> Ranges:
    """Give the bounds on `low` and `high`, in milliseconds since 1970 UTC."""
    return [list(row) for row in interval.bounds(node.prefix, node.low, node.high)]


def narrowed(row: list[Bound]) -> list[Bound]:
    """Add what follows for `low` where no interval is longer than NARROW, so that an index can be sought."""
    return row + _implied(row, NARROW)


def pointed(row: list[Bound]) -> list[Bound]:
    """Add what follows for `low` where all are points, so that an index can be sought."""
    return row + _implied(row, 0)


def _implied(row: list[Bound], longest: int) -> list[Bound]:
    above = [
        ("low", ">=", end - longest) for side, op, end in row if side == "high" and op[0] == ">"
    ]
    below = [("low", "<=", end) for side, op, end in row if side == "high" and op[0] == "<"]
    return above + below


def told_by_clinical(row: list[Bound]) -> bool:
    """Tell whether bounds hold if they hold of a clinical date, the least `low`, whose `high` is no less."""
    return all(side == "low" or op[0] == ">" for side, op, _ in row)


def of_number(node: Number | Quantity) -> Ranges:  # noqa: PLR0911 - one arm a prefix
    """Give the bounds on `low` and `high`, all as ordinals."""
    value, low, high = (ordinal(float(n)) for n in (node.value, node.low, node.high))
    upper = ("<", high) if value < high else ("<=", value)
    match node.prefix:
        case "eq":
            return [[("low", ">=", low), ("high", *upper)]]
        case "ne":
            return [[("low", "<", low)], [("high", _BEYOND[upper[0]], upper[1])]]
        case "gt":
            return [[("high", ">", value)]]
        case "lt":
            return [[("low", "<", value)]]
        case "ge":
            return [[("high", ">=", value)]]
        case "le":
            return [[("low", "<=", value)]]
        case "sa":
            return [[("low", ">", value)]]
        case "eb":
            return [[("high", "<", value)]]
        case "ap":
            return [[("low", "<=", high), ("high", ">=", low)]]
        case _:
            assert_never(node.prefix)


_BEYOND: Final = {"<": ">=", "<=": ">"}


def of_update(node: Updated) -> Ranges:  # noqa: PLR0911 - one arm a prefix
    """Give the bounds on `updated`, which is an instant: both its ends are one."""
    match node.prefix:
        case "eq" | "ap":
            return [[("updated", ">=", node.low), ("updated", "<=", node.high)]]
        case "ne":
            return [[("updated", "<", node.low)], [("updated", ">", node.high)]]
        case "gt" | "sa":
            return [[("updated", ">", node.high)]]
        case "lt" | "eb":
            return [[("updated", "<", node.low)]]
        case "ge":
            return [[("updated", ">=", node.low)]]
        case "le":
            return [[("updated", "<=", node.high)]]
        case "co":
            return [[("updated", "<=", node.low), ("updated", ">=", node.high)]]
        case _:
            assert_never(node.prefix)


def sql(row: list[Bound], column: Callable[[str], str], bind: Callable[[Any], str]) -> str:
    """Give the condition of one row of bounds."""
    return " AND ".join(f"{column(side)} {op} {bind(limit)}" for side, op, limit in row)


def any_of(rows: Ranges, column: Callable[[str], str], bind: Callable[[Any], str]) -> str:
    """Give the condition that some row of bounds is satisfied."""
    return " OR ".join(f"({sql(row, column, bind)})" for row in rows)
