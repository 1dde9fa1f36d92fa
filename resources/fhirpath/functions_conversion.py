"""Conversion functions and iif; what cannot be converted is empty (FHIRPath N1 5.5)."""

import re
from collections.abc import Callable
from decimal import Decimal

from resources.fhirpath import quantity, temporal
from resources.fhirpath.arithmetic import represented
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault, SemanticFault
from resources.fhirpath.function import Function, one, single, table, truth, values
from resources.fhirpath.item import Item
from resources.fhirpath.item import truth as told
from resources.fhirpath.quantity import Quantity
from resources.fhirpath.system import Value, value_of
from resources.fhirpath.temporal import Temporal

_Arguments = tuple[Run, ...]
_Convert = Callable[[Value], Value | None]

_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,200}(\.\d{1,200})?", re.ASCII)
_QUANTITY = re.compile(
    r"(?P<value>[+-]?\d{1,100}(\.\d{1,100})?)\s*('(?P<unit>[^']+)'|(?P<word>[a-z]+))?", re.ASCII
)


def _to_boolean(value: Value) -> bool | None:
    match value:
        case bool():
            return value
        case int() | Decimal():
            return bool(value) if value in {0, 1} else None
        case str():
            low = value.lower()
            return True if low in _TRUE else False if low in _FALSE else None
        case _:
            return None


def _to_integer(value: Value) -> int | None:
    match value:
        case bool() | int():
            return int(value)
        case str() if _INTEGER.fullmatch(value):
            found = represented(int(value))
            return found if isinstance(found, int) else None
        case _:
            return None


def _to_decimal(value: Value) -> Decimal | None:
    match value:
        case bool() | int() | Decimal():
            return Decimal(value)
        case str() if _DECIMAL.fullmatch(value):
            return Decimal(value)
        case _:
            return None


def _to_string(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case _:
            return str(value)


def _to_date(value: Value) -> Temporal | None:
    match value:
        case Temporal("Date"):
            return value
        case Temporal("DateTime", parts):
            return Temporal("Date", parts[: temporal.HOUR])
        case str():
            return temporal.date(value)
        case _:
            return None


def _to_date_time(value: Value) -> Temporal | None:
    match value:
        case Temporal("Date" | "DateTime", parts, offset):
            return Temporal("DateTime", parts, offset)
        case str():
            return temporal.date_time(value)
        case _:
            return None


def _to_time(value: Value) -> Temporal | None:
    match value:
        case Temporal("Time"):
            return value
        case str():
            return temporal.time(value)
        case _:
            return None


def _to_quantity(value: Value) -> Quantity | None:
    match value:
        case Quantity():
            return value
        case bool() | int() | Decimal():
            return Quantity(Decimal(value))
        case str():
            return _read_quantity(value)
        case _:
            return None


def _read_quantity(text: str) -> Quantity | None:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    held = Decimal(found["value"])
    if found["word"] is None:
        return Quantity(held, found["unit"] or "1")
    known = quantity.word(found["word"]) is not None
    return Quantity(held, found["word"], calendar=True) if known else None


def _conversion(kind: str, convert: _Convert) -> tuple[Function, Function]:
    """Give toX and convertsToX."""

    def to(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
        del focus, arguments
        found = single(items)
        value = None if found is None else value_of(found)
        return [] if value is None else values(convert(value))

    def converts(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
        return told(bool(to(focus, items, arguments))) if items else []

    return Function(f"to{kind}", to), Function(f"convertsTo{kind}", converts)


def _quantity_in(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    """Convert to a quantity, in the unit asked for where there is one."""
    found = single(items)
    value = None if found is None else value_of(found)
    held = None if value is None else _to_quantity(value)
    unit = one(arguments[0](focus), str) if arguments else None
    if held is None or not arguments or unit is None:
        return values(held) if not arguments else []
    if unit in {held.unit, quantity.word(held.unit)}:
        return values(held)
    return values(quantity.convert(held, unit))


def _converts_to_quantity(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    return told(bool(_quantity_in(focus, items, arguments))) if items else []


def _iif(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    """Evaluate one of two expressions only, with the input as $this."""
    if len(items) > 1:
        raise EvaluationFault("iif takes one item")
    inner = focus
    if items != focus.this:
        inner = focus.at(items[0], 0) if items else Focus([], focus.state)
    criterion = arguments[0](inner)
    strict = focus.state.environment.strict
    if strict and (len(criterion) > 1 or any(value_of(i) not in {True, False} for i in criterion)):
        raise SemanticFault("the criterion of iif is a boolean")
    if truth(criterion):
        return arguments[1](inner)
    return arguments[2](inner) if len(arguments) > 2 else []


CONVERSION_FUNCTIONS = table(
    *_conversion("Boolean", _to_boolean),
    *_conversion("Integer", _to_integer),
    *_conversion("Decimal", _to_decimal),
    *_conversion("String", _to_string),
    *_conversion("Date", _to_date),
    *_conversion("DateTime", _to_date_time),
    *_conversion("Time", _to_time),
    Function("toQuantity", _quantity_in, 0, 1),
    Function("convertsToQuantity", _converts_to_quantity, 0, 1),
    Function("iif", _iif, 2, 3),
)
