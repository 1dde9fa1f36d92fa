"""Quantities of FHIRPath: UCUM or calendar units, computed exactly (FHIRPath N1 4.1.8, 6.1, 6.6)."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from types import MappingProxyType

from resources import ucum

DIGITS = 28
_LARGEST_EXPONENT = 400
_DIVISION = Context(prec=DIGITS)

_CALENDAR_SECONDS: Mapping[str, Fraction] = MappingProxyType(
    {
        "week": Fraction(604_800),
        "day": Fraction(86_400),
        "hour": Fraction(3600),
        "minute": Fraction(60),
        "second": Fraction(1),
        "millisecond": Fraction(1, 1000),
    }
)
_OF_UCUM: Mapping[str, str] = MappingProxyType(
    {"wk": "week", "d": "day", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}
)
_AS_UCUM: Mapping[str, str] = MappingProxyType(
    {"year": "a", "month": "mo", **{word: unit for unit, word in _OF_UCUM.items()}}
)
_MONTHS: Mapping[str, int] = MappingProxyType({"year": 12, "month": 1})
_Canonical = tuple[Fraction, ucum.Dimensions]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit: a UCUM expression, or a calendar word such as days where `calendar`."""

    value: Decimal
    unit: str = "1"
    calendar: bool = False

    def __str__(self) -> str:
        unit = self.unit if self.calendar else f"'{self.unit}'"
        return f"{self.value:f} {unit}"


def word(unit: str) -> str | None:
    """Give the calendar word, in the singular, that a unit's text is; None where it is none."""
    single = unit.removesuffix("s")
    return single if single in _AS_UCUM else None


def duration(quantity: Quantity) -> str | None:
    """Give the calendar word to add a quantity to a date by; None for what is no definite time.

    UCUM's a and mo are of other lengths than a calendar's years and months, so they are none.
    """
    return word(quantity.unit) or (None if quantity.calendar else _OF_UCUM.get(quantity.unit))


def canonical(quantity: Quantity) -> _Canonical:
    """Give a quantity in base units; calendar years and months, and unknown units, are other dimensions."""
    value = Fraction(quantity.value)
    single = word(quantity.unit) if quantity.calendar else None
    if single is not None and single in _MONTHS:
        return value * _MONTHS[single], (("calendar month", 1),)
    if single is not None:
        return value * _CALENDAR_SECONDS[single], (("s", 1),)
    try:
        unit = ucum.parse(quantity.unit)
    except ucum.UnknownUnit:
        return value, ((f"unit {quantity.unit}", 1),)
    return (value + unit.offset) * unit.factor, unit.dimensions


def compare(left: Quantity, right: Quantity) -> int | None:
    """Give -1, 0 or 1, None where the units cannot be converted into each other."""
    a, dimensions = canonical(left)
    b, others = canonical(right)
    if dimensions != others:
        return None
    return (a > b) - (a < b)


def comparable(left: Quantity, right: Quantity) -> bool:
    """Tell whether both units are known and can be converted into each other."""
    dimensions = canonical(left)[1]
    known = not any(name.startswith("unit ") for name, _ in dimensions)
    return known and dimensions == canonical(right)[1]


def equivalent(left: Quantity, right: Quantity) -> bool:
    """Tell whether two quantities agree in the coarser unit, to the digits of the less precise."""
    left, right = _with_ucum(left), _with_ucum(right)
    (a, dimensions), (b, others) = canonical(left), canonical(right)
    if dimensions != others:
        return False
    one, other = _scale(left), _scale(right)
    unit = max(one, other)
    return alike(decimal(a / unit) if one != unit else left.value,
                 decimal(b / unit) if other != unit else right.value)  # fmt: skip


def _with_ucum(quantity: Quantity) -> Quantity:
    single = word(quantity.unit) if quantity.calendar else None
    return quantity if single is None else Quantity(quantity.value, _AS_UCUM[single])


def _scale(quantity: Quantity) -> Fraction:
    return canonical(Quantity(Decimal(1), quantity.unit))[0]


def alike(left: Decimal, right: Decimal) -> bool:
    """Tell whether two decimals are equal to the digits of the less precise, trailing zeros apart."""
    if left == right or max(abs(left.adjusted()), abs(right.adjusted())) > _LARGEST_EXPONENT:
        return left == right
    left, right = left.normalize(_DIVISION), right.normalize(_DIVISION)
    places = min(max(0, -int(left.as_tuple().exponent)), max(0, -int(right.as_tuple().exponent)))
    unit = Decimal(1).scaleb(-places)
    context = Context(prec=1000)
    return left.quantize(unit, ROUND_HALF_UP, context) == right.quantize(
        unit, ROUND_HALF_UP, context
    )


def decimal(value: Fraction) -> Decimal:
    """Give a fraction as a decimal: exact where 28 digits hold it, else rounded to them."""
    return _DIVISION.divide(Decimal(value.numerator), Decimal(value.denominator))


def convert(quantity: Quantity, unit: str) -> Quantity | None:
    """Give a quantity in another unit, None where it cannot be converted."""
    asked = Quantity(Decimal(1), unit, calendar=word(unit) is not None)
    value, dimensions = canonical(quantity)
    if dimensions != canonical(asked)[1]:
        return None
    if asked.calendar:
        return Quantity(decimal(value / canonical(asked)[0]), unit, calendar=True)
    known = ucum.parse(unit)
    return Quantity(decimal(value / known.factor - known.offset), unit)


def plus(left: Quantity, right: Quantity) -> Quantity | None:
    """Add, in the left's unit; None where the units cannot be converted into each other."""
    if (left.unit, left.calendar) == (right.unit, right.calendar):
        return Quantity(left.value + right.value, left.unit, left.calendar)
    (a, dimensions), (b, others) = canonical(left), canonical(right)
    if dimensions != others:
        return None
    scale = canonical(Quantity(Decimal(1), left.unit, left.calendar))[0]
    return Quantity(decimal((a + b) / scale), left.unit, left.calendar)


def times(left: Quantity, right: Quantity, power: int = 1) -> Quantity | None:
    """Multiply by a power of the right, 1 or -1, in base units; None for a division by zero."""
    if power < 0 and right.value == 0:
        return None
    if right.unit == "1" and not right.calendar:
        product = Fraction(left.value) * Fraction(right.value) ** power
        return Quantity(decimal(product), left.unit, left.calendar)
    (a, dimensions), (b, others) = canonical(_with_ucum(left)), canonical(_with_ucum(right))
    unit = ucum.Unit(Fraction(1), dimensions).times(ucum.Unit(Fraction(1), others), power)
    return Quantity(decimal(a * b**power), ucum.base_expression(unit.dimensions))
