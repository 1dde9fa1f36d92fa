"""What numbers, quantities, ranges and places give to be found by (FHIR R4 search.html#number, #quantity).

A number is an interval: of one point, of a Range from end to end, of a Quantity with a comparator to the open
end. A quantity whose unit differs from its code is found by either; one with a UCUM code is also found in
base units (units.py).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.search import position, units
from fhir_server.search.values import IndexValues, NumberValue, PositionValue, QuantityValue
from resources.fhirpath.steps import Visit
from resources.model import Written

CURRENCIES = "urn:iso:std:iso:4217"

_LARGEST_EXPONENT = 300
_BELOW, _ABOVE = Decimal("-Infinity"), Decimal("Infinity")

Span = tuple[Decimal, Decimal]


def _measured(value: Any) -> Decimal | None:
    """Give a number that a double can hold."""
    if type(value) is int or type(value) is Written:
        value = Decimal(value)
    if type(value) is not Decimal or not value.is_finite() or value.adjusted() > _LARGEST_EXPONENT:
        return None
    return value


def number(atom: str) -> Visit:
    """Give numbers of integers and decimals."""

    def sink(value: Any, out: IndexValues) -> None:
        if (found := _measured(value)) is not None:
            out.numbers.append(NumberValue(atom, found, found))

    return sink


def number_range(atom: str) -> Visit:
    """Give numbers of Ranges."""

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is dict and (span := _ends(value)) is not None:
            out.numbers.append(NumberValue(atom, *span))

    return sink


def quantity(atom: str) -> Visit:
    """Give quantities of Quantities, as written and in base units."""
    add = _adding(atom)

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is dict and (found := _measured(value.get("value"))) is not None:
            low = high = found
            comparator = value.get("comparator")
            if comparator is not None:
                low, high = _open(found, comparator)
            add(value, low, high, out)

    return sink


def quantity_range(atom: str) -> Visit:
    """Give quantities of Ranges, in the unit of the lower end, or of the upper where that is alone."""
    add = _adding(atom)

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is not dict or (span := _ends(value)) is None:
            return
        end = "high" if _value_of(value.get("low")) is None else "low"
        add(value[end], *span, out)

    return sink


def money(atom: str) -> Visit:
    """Give quantities of Money, whose unit is its currency."""

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is dict and (found := _measured(value.get("value"))) is not None:
            currency = _text(value, "currency")
            out.quantities.append(QuantityValue(atom, CURRENCIES, currency, found, found))

    return sink


def place(atom: str) -> Visit:
    """Give the place of a Location's position."""

    def sink(value: Any, out: IndexValues) -> None:
        """Give the point of a position in degrees, nothing where there is none on Earth."""
        if type(value) is not dict:
            return
        north, east = (_measured(value.get(name)) for name in ("latitude", "longitude"))
        if north is None or east is None:
            return
        try:
            point = position.point(float(north), float(east))
        except ValueError:
            return
        out.positions.append(PositionValue(atom, *point))

    return sink


def _adding(atom: str) -> Callable[[dict[str, Any], Decimal, Decimal, IndexValues], None]:
    """Give what adds an interval in the unit of a quantity."""
    by_code: dict[str, tuple[str, units.Scale] | None] = {}

    def based(code: str) -> tuple[str, units.Scale] | None:
        scale = units.scale(code)
        found = None if scale is None else (atom + scale.suffix, scale)
        if len(by_code) < _MOST_CODES:
            by_code[code] = found
        return found

    def add(unit_of: dict[str, Any], low: Decimal, high: Decimal, out: IndexValues) -> None:
        """Give an interval by its code and by its unit, and in UCUM's base units where they are known."""
        system, code, unit = (
            _text(unit_of, "system"),
            _text(unit_of, "code"),
            _text(unit_of, "unit"),
        )
        if code or not unit:
            out.quantities.append(QuantityValue(atom, system, code, low, high))
        if unit and unit != code:
            out.quantities.append(QuantityValue(atom, "", unit, low, high))
        if code and system == units.UCUM:
            base = by_code[code] if code in by_code else based(code)
            if base is not None:
                name, scale = base
                least = scale.of(low)
                most = least if high is low else scale.of(high)
                out.numbers.append(NumberValue(name, least, most))

    return add


_MOST_CODES = 1_000


def _open(found: Decimal, comparator: Any) -> Span:
    if comparator in {"<", "<="}:
        return _BELOW, found
    return (found, _ABOVE) if comparator in {">", ">="} else (found, found)


def _ends(value: dict[str, Any]) -> Span | None:
    """Give the ends of a Range, an absent one open; None for one without ends, or with crossed ones."""
    low, high = (_value_of(value.get(name)) for name in ("low", "high"))
    if low is None and high is None:
        return None
    span = (_BELOW if low is None else low, _ABOVE if high is None else high)
    return span if span[0] <= span[1] else None


def _value_of(end: Any) -> Decimal | None:
    return _measured(end.get("value")) if type(end) is dict else None


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if type(found) is str else ""
