"""Quantities in base units, by which `5.4 mg` is found as `5400 ug` (FHIR R4 search.html#quantity, UCUM).

A quantity with a UCUM code that is understood also has a number in an atom of its own, named by dimension:
`Observation.value.ofType(Quantity).ucum(g.m-3)`. All quantities of one dimension thus lie in one order.
"""

from __future__ import annotations

from decimal import Context, Decimal
from functools import lru_cache

from msgspec import Struct

from resources import ucum

UCUM = "http://unitsofmeasure.org"
_EXACT = Context(prec=60)
_MOST_DIMENSIONS = 5


class Scale(Struct, frozen=True, gc=False):
    """What leads from a unit to base units: (number + offset) x numerator / denominator.

    Two ways to write one quantity give the same number, because it is rounded only once, at the end.
    """

    suffix: str
    numerator: Decimal
    denominator: Decimal
    offset: Decimal

    def of(self, number: Decimal) -> Decimal:
        """Give a number in base units; infinite ends stay infinite."""
        moved = _EXACT.add(number, self.offset) if self.offset else number
        product = _EXACT.multiply(moved, self.numerator)
        return product if self.denominator == 1 else _EXACT.divide(product, self.denominator)


@lru_cache(4096)
def scale(code: str) -> Scale | None:
    """Give the scale of a UCUM code; None where it is not understood."""
    try:
        unit = ucum.parse(code)
    except ucum.UnknownUnit:
        return None
    if len(unit.dimensions) > _MOST_DIMENSIONS or not unit.factor:
        return None
    offset = _EXACT.divide(Decimal(unit.offset.numerator), Decimal(unit.offset.denominator))
    return Scale(
        f".ucum({ucum.base_expression(unit.dimensions)})",
        Decimal(unit.factor.numerator),
        Decimal(unit.factor.denominator),
        offset,
    )
