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
    """A string: `normal` is case-folded without accents and with single spaces, `exact` as written.

    Where `exact` is empty it is not found by :exact, as the texts of codes are not.
    """

    atom: str
    normal: str
    exact: str


class DateValue(Struct, frozen=True, gc=False):
    """An interval of instants, both ends included; open ends are MIN_INSTANT and MAX_INSTANT."""

    atom: str
    low: int
    high: int


class NumberValue(Struct, frozen=True, gc=False):
    """What spans from a number to another, both included: a plain number is both; an open end is infinite."""

    atom: str
    low: Decimal
    high: Decimal


class QuantityValue(Struct, frozen=True, gc=False):
    """A quantity as written (`system` and `code` empty where absent; `code` is the unit where no code is)."""

    atom: str
    system: str
    code: str
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


class PositionValue(Struct, frozen=True, gc=False):
    """A place on the globe, in whole centimetres from the centre of a sphere (position.py)."""

    atom: str
    x: int
    y: int
    z: int


MIN_INSTANT = datatypes.MIN_INSTANT
MAX_INSTANT = datatypes.MAX_INSTANT

ELSEWHERE = "descendants().reference"
"""The path, after a type's name, of references that no search parameter of the type covers."""

Value = (
    TokenValue
    | TextValue
    | DateValue
    | NumberValue
    | QuantityValue
    | ReferenceValue
    | UriValue
    | PositionValue
)


class ElementValue(Struct, gc=False):
    """One repetition of an element with the values in it, for composites; `atom` is the element's path."""

    atom: str
    values: "IndexValues"


class IndexValues(Struct, gc=False):
    """All that one resource can be found by, de-duplicated, by kind; `clinical` is its clinical date or 0.

    The clinical date is the low end of the type's main date (Observation.effective, ImagingStudy.started,
    ServiceRequest.authoredOn …): a store may keep it beside tokens and references to give newest first.
    `narrative` and `content` are the words of the narrative and of all else that is written (fulltext.words).
    """

    tokens: list[TokenValue]
    texts: list[TextValue]
    dates: list[DateValue]
    numbers: list[NumberValue]
    quantities: list[QuantityValue]
    references: list[ReferenceValue]
    uris: list[UriValue]
    clinical: int = 0
    narrative: str = ""
    content: str = ""
    positions: list[PositionValue] = []
    elements: list[ElementValue] = []


def no_values() -> IndexValues:
    """Give an empty set of index values (what a deleted resource has)."""
    return IndexValues([], [], [], [], [], [], [])
