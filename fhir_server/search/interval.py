"""Prefixes as bounds on intervals: the lowering that all interpreters share (FHIR R4 search.html#prefix)."""

from typing import Literal

from fhir_server.search.expression import DatePrefix

Side = Literal["low", "high"]
Operator = Literal["<", "<=", ">", ">=", "="]
Bound = tuple[Side, Operator, int]


def bounds(prefix: DatePrefix, low: int, high: int) -> tuple[tuple[Bound, ...], ...]:
    """Give what one value's [low, high] must satisfy: any of the rows, and in a row all the bounds.

    `ap` widens the asked interval by a tenth of its distance from now in the planner, so here it asks
    for overlap only. `co` asks that the value's interval includes the asked one.
    """
    table: dict[DatePrefix, tuple[tuple[Bound, ...], ...]] = {
        "eq": ((("low", ">=", low), ("high", "<=", high)),),
        "ne": ((("low", "<", low),), (("high", ">", high),)),
        "gt": ((("high", ">", high),),),
        "lt": ((("low", "<", low),),),
        "ge": ((("high", ">", high),), (("low", ">=", low), ("high", "<=", high))),
        "le": ((("low", "<", low),), (("low", ">=", low), ("high", "<=", high))),
        "sa": ((("low", ">", high),),),
        "eb": ((("high", "<", low),),),
        "ap": ((("low", "<=", high), ("high", ">=", low)),),
        "co": ((("low", "<=", low), ("high", ">=", high)),),
    }
    return table[prefix]


def satisfies(prefix: DatePrefix, asked: tuple[int, int], value: tuple[int, int]) -> bool:
    """Tell whether a value's interval satisfies the prefix against the asked interval."""
    return any(all(_holds(b, value) for b in row) for row in bounds(prefix, *asked))


def _holds(bound: Bound, value: tuple[int, int]) -> bool:
    side, operator, limit = bound
    end = value[0] if side == "low" else value[1]
    return {
        "<": end < limit,
        "<=": end <= limit,
        ">": end > limit,
        ">=": end >= limit,
        "=": end == limit,
    }[operator]
