"""Items as values of the System types (FHIRPath N1 4.1, FHIR R4 fhirpath.html)."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from resources.definitions import Definitions
from resources.fhirpath import temporal
from resources.fhirpath.item import (
    BOOLEAN,
    DATE,
    DATE_TIME,
    DECIMAL,
    INTEGER,
    QUANTITY,
    STRING,
    TIME,
    Item,
)
from resources.fhirpath.quantity import Quantity
from resources.fhirpath.temporal import Temporal

Value = bool | int | Decimal | str | Temporal | Quantity

LARGEST_EXPONENT = 400
LONGEST = 1 << 20
QUANTITIES = frozenset({"Quantity", "Age", "Count", "Distance", "Duration"})
_TYPES: Mapping[type, str] = MappingProxyType(
    {bool: BOOLEAN, int: INTEGER, Decimal: DECIMAL, str: STRING, Quantity: QUANTITY}
)
_TEMPORALS: Mapping[str, str] = MappingProxyType(
    {"Date": DATE, "DateTime": DATE_TIME, "Time": TIME}
)


def item(value: Value) -> Item:
    """Give a value as an item of its System type."""
    if isinstance(value, Temporal):
        return Item(value, _TEMPORALS[value.kind])
    return Item(value, _TYPES[type(value)])


def value_of(found: Item) -> Value | None:
    """Give what an item is worth as a System value; None for what has none, e.g. a HumanName."""
    value = found.value
    if found.type.startswith("System."):
        return value if not isinstance(value, dict) else None
    if value is None:
        return None
    if isinstance(value, dict):
        return _quantity(value) if found.type in QUANTITIES else None
    read = _READERS.get(found.type)
    return read(value) if read is not None else _string(value)


def has_parts(found: Item) -> bool:
    """Tell whether an item is an object that can never be worth a single value."""
    return isinstance(found.value, dict) and found.type not in QUANTITIES


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _decimal(value: Any) -> Decimal | None:
    """Give a JSON number exactly; one too large to be computed with has no value."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    found = Decimal(value)
    return found if found.is_finite() and abs(found.adjusted()) <= LARGEST_EXPONENT else None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _temporal(read: Callable[[str], Temporal | None]) -> Callable[[Any], Temporal | None]:
    return lambda value: read(value) if isinstance(value, str) else None


_READERS: Mapping[str, Callable[[Any], Value | None]] = MappingProxyType(
    {
        "boolean": _boolean,
        "integer": _integer,
        "positiveInt": _integer,
        "unsignedInt": _integer,
        "decimal": _decimal,
        "date": _temporal(temporal.date),
        "dateTime": _temporal(temporal.date_time),
        "instant": _temporal(temporal.date_time),
        "time": _temporal(temporal.time),
    }
)


def _quantity(value: Mapping[str, Any]) -> Quantity | None:
    """Give a FHIR Quantity as a System one: by its UCUM code, else by the unit it writes (fhirpath.html)."""
    held = _decimal(value.get("value"))
    if held is None or value.get("comparator") is not None:
        return None
    unit = value.get("code", value.get("unit", "1"))
    return Quantity(held, unit) if isinstance(unit, str) else None


def is_a(definitions: Definitions, held: str | None, name: str) -> bool:
    """Tell whether a type is another, or specialises it."""
    while held is not None and held != name:
        held = definitions.base(held)
    return held is not None
