"""The search expression tree: frozen nodes over atoms, one union type (FHIR R4 search.html).

Three interpreters (memory, SQLite, MongoDB) give it one meaning; `match.py` is the reference.
A node speaks of one resource: it is true if *some* value of the atom satisfies it. Text, tokens and
dates arrive normalised by the planner.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from msgspec import Struct

Kind = Literal["token", "text", "date", "number", "quantity", "reference", "uri", "position"]
Prefix = Literal["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"]
DatePrefix = Literal[Prefix, "co"]
TextMatch = Literal["starts", "exact", "contains", "same", "ends", "gt", "lt", "ge", "le"]
TextPart = Literal["narrative", "content"]


class Token(Struct, frozen=True):
    """A code: `system` None is any system and empty is none; `code` None is any code of the system."""

    atom: str
    system: str | None
    code: str | None


class Text(Struct, frozen=True):
    """A string; `value` is normalised as TextValue.normal is, except for how="exact".

    `gt` and the like compare by code points.
    """

    atom: str
    value: str
    how: TextMatch = "starts"


class FullText(Struct, frozen=True):
    """Words that follow one another in the narrative, or anywhere in the resource (`_text`, `_content`).

    They are as fulltext.words gives them; with `prefix` the last one is the beginning of a word.
    """

    part: TextPart
    words: tuple[str, ...]
    prefix: bool = False


class DateRange(Struct, frozen=True):
    """A date compared by a prefix with the interval [low, high] of the value that was asked for.

    `co` is _filter's: the date's interval includes the asked one.
    """

    atom: str
    prefix: DatePrefix
    low: int
    high: int


class Number(Struct, frozen=True):
    """A number compared by a prefix; low and high are the ends of the asked value's implied precision."""

    atom: str
    prefix: Prefix
    value: Decimal
    low: Decimal
    high: Decimal


class Quantity(Struct, frozen=True):
    """A quantity compared by a prefix; `system` and `code` None are any, code matches code or unit."""

    atom: str
    prefix: Prefix
    value: Decimal
    low: Decimal
    high: Decimal
    system: str | None
    code: str | None


class Reference(Struct, frozen=True):
    """A reference to a resource here (`type`, `id`), or by `url` where type and id are empty."""

    atom: str
    type: str
    id: str
    url: str = ""


class Uri(Struct, frozen=True):
    """A uri equal to the value; with `below`, also any uri that it is a path prefix of."""

    atom: str
    value: str
    below: bool = False


class Near(Struct, frozen=True):
    """A place whose straight line to (x, y, z) is at most `reach` long, all in centimetres (position.py)."""

    atom: str
    x: int
    y: int
    z: int
    reach: int


class Within(Struct, frozen=True):
    """Some repetition of an element, named by its path, has values that satisfy `where` together (composite).

    `where` speaks of values only: no ids, dates of update or links. No index leads to what satisfies it:
    whoever asks also asks for what the values of all repetitions must satisfy, to which an index leads.
    """

    element: str
    where: Expression


class Differs(Struct, frozen=True):
    """Some value of the part's atom does not satisfy the part; Not is true where there is none, too.

    A Text part is one that compares normalised strings: `how` is not exact.
    """

    part: Token | Text | Uri


class Missing(Struct, frozen=True):
    """None of the atoms, each of the kind, has a value."""

    kind: Kind
    atoms: tuple[str, ...]


class Ids(Struct, frozen=True):
    """The logical id is one of these (`_id`)."""

    ids: tuple[str, ...]


class Updated(Struct, frozen=True):
    """The instant of the last update compared by a prefix (`_lastUpdated`)."""

    prefix: DatePrefix
    low: int
    high: int


class Linked(Struct, frozen=True):
    """Some reference of the atom leads to a resource of `type` here that satisfies `where` (chain)."""

    atom: str
    type: str
    where: Expression


class LinkedFrom(Struct, frozen=True):
    """Some resource of `type` that satisfies `where` refers to this one by the atom (`_has`)."""

    type: str
    atom: str
    where: Expression


class And(Struct, frozen=True):
    """All parts are true; And(()) is always true."""

    parts: tuple[Expression, ...]


class Or(Struct, frozen=True):
    """Some part is true; Or(()) is never true."""

    parts: tuple[Expression, ...]


class Not(Struct, frozen=True):
    """The part is not true; a resource without the element satisfies it."""

    part: Expression


Expression = (
    Token
    | Text
    | FullText
    | DateRange
    | Number
    | Quantity
    | Reference
    | Uri
    | Near
    | Within
    | Differs
    | Missing
    | Ids
    | Updated
    | Linked
    | LinkedFrom
    | And
    | Or
    | Not
)

ALWAYS = And(())
NEVER = Or(())


def either(parts: Iterable[Expression]) -> Expression:
    """Give that some part is true, as the smallest tree: what interpreters need not take apart is cheaper.

    Of equal parts one is kept, here and in `both`, so that no interpreter meets a part twice.
    """
    return _smallest(Or, parts, ALWAYS)


def both(parts: Iterable[Expression]) -> Expression:
    """Give that all parts are true, as the smallest tree."""
    return _smallest(And, parts, NEVER)


def _smallest(
    join: type[And | Or], parts: Iterable[Expression], deciding: Expression
) -> Expression:
    """Join parts; `deciding` is what the whole is as soon as one part is it."""
    kept: dict[Expression, None] = {}
    for part in parts:
        if isinstance(part, join):
            kept.update(dict.fromkeys(part.parts))
        elif part == deciding:
            return deciding
        else:
            kept[part] = None
    return next(iter(kept)) if len(kept) == 1 else join(tuple(kept))


class Through(Struct, frozen=True):
    """Where a chained sort leads: by references of `atom` to resources of `type` that satisfy `where`.

    `where` is the caller's access: an order tells of what it goes by.
    """

    atom: str
    type: str
    where: Expression


class Sort(Struct, frozen=True):
    """One sort key: an atom of a kind, or `_id` or `_lastUpdated`, which need no atom.

    The key of a resource is its least value (greatest when descending); resources without one come last.
    With `through` the values are those of the resources that it leads to.
    """

    by: Literal["value", "_id", "_lastUpdated"]
    kind: Kind = "token"
    atoms: tuple[str, ...] = ()
    descending: bool = False
    through: tuple[Through, ...] = ()


class Branch(Struct, frozen=True):
    """One type of a search with what its resources must satisfy, the caller's access included."""

    type: str
    where: Expression


SortKey = int | str | float | None


class Cursor(Struct, frozen=True):
    """Where a page begins: after the resource with these sort keys.

    `place` is the store's own total order of the last resource of the page before (opaque outside the store).
    """

    keys: tuple[SortKey, ...]
    place: int


class Plan(Struct, frozen=True):
    """A whole search: branches by type, order, page. `limit` None gives all, 0 none.

    Without `sort` the order is the store's own: by type, clinical date and place, the undated first.
    Every order is total. With `backwards` the whole of it is turned round, what has no value included.
    """

    tenant: str
    branches: tuple[Branch, ...]
    sort: tuple[Sort, ...] = ()
    limit: int | None = None
    after: Cursor | None = None
    backwards: bool = False
