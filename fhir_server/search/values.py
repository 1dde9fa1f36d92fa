"""Typed index values: what one resource can be found by (FHIR R4 search.html#ptypes).

A value belongs to an *atom*: one path of one type as one kind, e.g. `Observation.subject`. Several search
parameters may share an atom (`patient` and `subject`), and one parameter may have several.
Instants are integers: milliseconds since 1970-01-01T00:00:00Z.
"""

from decimal import Decimal

from msgspec import Struct

from resources import datatypes


class TokenValue(Struct, frozen=True, gc=False):
    """A code with its system; `system` is empty where the element has none."""

    atom: str
    system: str
    code: str


class TextValue(Struct, frozen=True, gc=False):
    """A string: `normal` is case-folded without accents and with single spaces, `exact` as written."""

    atom: str
    normal: str
    exact: str


class DateValue(Struct, frozen=True, gc=False):
    """An interval of instants, both ends included; open ends are MIN_INSTANT and MAX_INSTANT."""

    atom: str
    low: int
    high: int


class NumberValue(Struct, frozen=True, gc=False):
    """A number with the interval of its implied precision."""

    atom: str
    value: Decimal
    low: Decimal
    high: Decimal


class QuantityValue(Struct, frozen=True, gc=False):
    """A quantity as written (`system` and `code` empty where absent; `code` is the unit where no code is)."""

    atom: str
    system: str
    code: str
    value: Decimal
    low: Decimal
    high: Decimal


class ReferenceValue(Struct, frozen=True, gc=False):
    """A reference: `type` and `id` for one to a resource here, else `url` (absolute or canonical)."""

    atom: str
    type: str
    id: str
    url: str


class UriValue(Struct, frozen=True, gc=False):
    """A uri, compared by its exact characters."""

    atom: str
    value: str


MIN_INSTANT = datatypes.MIN_INSTANT
MAX_INSTANT = datatypes.MAX_INSTANT

Value = TokenValue | TextValue | DateValue | NumberValue | QuantityValue | ReferenceValue | UriValue


class IndexValues(Struct, gc=False):
    """All that one resource can be found by, de-duplicated, by kind; `clinical` is its clinical date or 0.

    The clinical date is the low end of the type's main date (Observation.effective, ImagingStudy.started,
    ServiceRequest.authoredOn …): a store may keep it beside tokens and references to give newest first.
    """

    tokens: list[TokenValue]
    texts: list[TextValue]
    dates: list[DateValue]
    numbers: list[NumberValue]
    quantities: list[QuantityValue]
    references: list[ReferenceValue]
    uris: list[UriValue]
    clinical: int = 0


def no_values() -> IndexValues:
    """Give an empty set of index values (what a deleted resource has)."""
    return IndexValues([], [], [], [], [], [], [])
