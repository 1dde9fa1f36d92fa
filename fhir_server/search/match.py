"""The meaning of a search plan, in memory: what the stores must agree with (FHIR R4 search.html).

Numbers compare as IEEE doubles in every interpreter: a decimal keeps its digits in the resource, and is
rounded to a double to be searched by.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, assert_never

from msgspec import Struct

from fhir_server.search import fulltext, interval
from fhir_server.search.expression import (
    And,
    DateRange,
    Differs,
    Expression,
    FullText,
    Ids,
    Kind,
    Linked,
    LinkedFrom,
    Missing,
    Near,
    Not,
    Number,
    Or,
    Prefix,
    Quantity,
    Reference,
    Sort,
    SortKey,
    Text,
    Through,
    Token,
    Updated,
    Uri,
    Within,
)
from fhir_server.search.values import (
    DateValue,
    IndexValues,
    NumberValue,
    PositionValue,
    QuantityValue,
    ReferenceValue,
    TextValue,
    TokenValue,
    UriValue,
    Value,
)

Clinical = Callable[[str], str | None]
"""Gives the atom of a type's clinical date, or None where the type has none."""


class Candidate(Struct, frozen=True):
    """One current resource as a search sees it; `updated` in milliseconds since 1970 UTC."""

    type: str
    id: str
    updated: int
    values: IndexValues


class Find(Protocol):
    """The other current resources of the tenant, which chains lead to."""

    def referring(self, type: str, atom: str, target: Candidate) -> Iterable[Candidate]:
        """Give every resource of the type with a reference to the target at the atom."""

    def get(self, type: str, id: str) -> Candidate | None:
        """Give one resource, or None where there is none or it is deleted."""


def matches(where: Expression, candidate: Candidate, find: Find) -> bool:  # noqa: C901, PLR0911, PLR0912 - one arm a node
    """Tell whether the resource satisfies the expression.

    It is long on purpose: an arm is what a node means, all of them are read in one place, and mypy names the
    arm that a new node lacks. Functions for kinds of nodes would say the same in more places.
    """
    values = candidate.values
    match where:
        case Token():
            return any(_token(where, v) for v in values.tokens)
        case Text():
            return any(_text(where, v) for v in values.texts)
        case FullText():
            return fulltext.found(where, values)
        case DateRange():
            return any(_date(where, v) for v in values.dates)
        case Number():
            return any(
                v.atom == where.atom and compare(where.prefix, _asked(where), _stored(v))
                for v in values.numbers
            )
        case Quantity():
            return any(_quantity(where, v) for v in values.quantities)
        case Reference():
            return any(_reference(where, v) for v in values.references)
        case Uri():
            return any(_uri(where, v) for v in values.uris)
        case Near():
            return any(_near(where, v) for v in values.positions)
        case Within():
            return any(
                matches(where.where, Candidate("", "", 0, v.values), find)
                for v in values.elements
                if v.atom == where.element
            )
        case Differs():
            return _differs(where.part, values)
        case Missing():
            return not any(v.atom in where.atoms for v in of_kind(values, where.kind))
        case Ids():
            return candidate.id in where.ids
        case Updated():
            at = candidate.updated
            return interval.satisfies(where.prefix, (where.low, where.high), (at, at))
        case Linked():
            return any(matches(where.where, other, find) for other in _targets(where, values, find))
        case LinkedFrom():
            others = find.referring(where.type, where.atom, candidate)
            return any(matches(where.where, other, find) for other in others)
        case And():
            return all(matches(part, candidate, find) for part in where.parts)
        case Or():
            return any(matches(part, candidate, find) for part in where.parts)
        case Not():
            return not matches(where.part, candidate, find)
        case _:
            assert_never(where)


def of_kind(values: IndexValues, kind: Kind) -> Sequence[Value]:  # noqa: PLR0911 - one arm a kind
    """Give the values of one kind."""
    match kind:
        case "token":
            return values.tokens
        case "text":
            return values.texts
        case "date":
            return values.dates
        case "number":
            return values.numbers
        case "quantity":
            return values.quantities
        case "reference":
            return values.references
        case "uri":
            return values.uris
        case "position":
            return values.positions
        case _:
            assert_never(kind)


Ends = tuple[float, float]


def compare(prefix: Prefix, asked: tuple[float, float, float], stored: Ends) -> bool:  # noqa: PLR0911 - one arm a prefix
    """Tell whether what spans from `low` to `high` satisfies the prefix against (value, lowest, highest).

    R4 search.html#prefix: `eq` asks for all of it to lie within the asked precision, whose upper end is
    excluded; the ordered prefixes ignore precision; `ap` asks that the two intervals overlap.
    """
    low, high = stored
    exactly, lowest, highest = asked
    within = lowest <= low and (high < highest or high <= exactly)
    match prefix:
        case "eq":
            return within
        case "ne":
            return not within
        case "gt":
            return high > exactly
        case "lt":
            return low < exactly
        case "ge":
            return high >= exactly
        case "le":
            return low <= exactly
        case "sa":
            return low > exactly
        case "eb":
            return high < exactly
        case "ap":
            return low <= highest and high >= lowest
        case _:
            assert_never(prefix)


def beneath(value: str) -> str:
    """Give what a uri below `value` begins with (modifier :below)."""
    return value if value.endswith("/") else value + "/"


def sort_keys(
    sort: Sequence[Sort], candidate: Candidate, clinical: Clinical, find: Find
) -> tuple[SortKey, ...]:
    """Give the sort keys of a resource, None where it has no value; without `sort` the own order's."""
    if not sort:
        return own_keys(candidate, clinical)
    return tuple(_sort_key(key, candidate, clinical, find) for key in sort)


def own_keys(candidate: Candidate, clinical: Clinical) -> tuple[str, int]:
    """Give what orders resources when nothing is asked: type, then clinical date, the undated first."""
    at = clinical_key(clinical(candidate.type), candidate.values)
    return candidate.type, UNDATED if at is None else at


UNDATED = -(2**63)


def by_clinical(key: Sort, type: str, clinical: Clinical) -> bool:
    """Tell whether the key sorts this type by nothing but its clinical date."""
    main = clinical(type)
    return (
        key.by == "value"
        and key.kind == "date"
        and not key.through
        and main in key.atoms
        and not any(a != main and a.startswith(f"{type}.") for a in key.atoms)
    )


def clinical_key(atom: str | None, values: IndexValues) -> int | None:
    """Give the clinical date, None if the type's clinical atom has no value; 0 without such an atom."""
    if atom is None:
        return values.clinical
    return values.clinical if any(v.atom == atom for v in values.dates) else None


def key_of(value: Value) -> SortKey:  # noqa: PLR0911 - one arm a kind
    """Give the sort key of one value."""
    match value:
        case TokenValue():
            return value.code
        case TextValue():
            return value.normal
        case DateValue():
            return value.low
        case NumberValue() | QuantityValue():
            return float(value.low)
        case ReferenceValue():
            return f"{value.type}/{value.id}" if value.id else value.url
        case UriValue():
            return value.value
        case PositionValue():
            return value.z
        case _:
            assert_never(value)


def _sort_key(key: Sort, candidate: Candidate, clinical: Clinical, find: Find) -> SortKey:
    if key.by == "_id":
        return candidate.id
    if key.by == "_lastUpdated":
        return candidate.updated
    if by_clinical(key, candidate.type, clinical):
        return clinical_key(clinical(candidate.type), candidate.values)
    keys = [
        key_of(v)
        for one in _sorted_by(key, candidate, find)
        for v in of_kind(one.values, key.kind)
        if v.atom in key.atoms
    ]
    if not keys:
        return None
    return max(keys) if key.descending else min(keys)  # type: ignore[type-var]  # one kind, so one type


def _sorted_by(key: Sort, candidate: Candidate, find: Find) -> Iterator[Candidate]:
    """Give whose values a key goes by: the resource's own, or those of what it refers to."""
    if not key.through:
        yield candidate
    for through in key.through:
        yield from (
            other
            for other in _targets(through, candidate.values, find)
            if matches(through.where, other, find)
        )


def _token(node: Token, value: TokenValue) -> bool:
    return (
        value.atom == node.atom
        and (node.system is None or value.system == node.system)
        and (node.code is None or value.code == node.code)
    )


def _differs(part: Token | Text | Uri, values: IndexValues) -> bool:
    match part:
        case Token():
            return any(v.atom == part.atom and not _token(part, v) for v in values.tokens)
        case Text():
            return any(v.atom == part.atom and not _text(part, v) for v in values.texts)
        case Uri():
            return any(v.atom == part.atom and v.value != part.value for v in values.uris)
        case _:
            assert_never(part)


def _text(node: Text, value: TextValue) -> bool:
    if value.atom != node.atom:
        return False
    if node.how == "exact":
        return bool(node.value) and value.exact == node.value
    return _WRITTEN[node.how](value.normal, node.value)


_WRITTEN: Mapping[str, Callable[[str, str], bool]] = MappingProxyType(
    {
        "starts": str.startswith,
        "contains": operator.contains,
        "same": operator.eq,
        "ends": str.endswith,
        "gt": operator.gt,
        "lt": operator.lt,
        "ge": operator.ge,
        "le": operator.le,
    }
)


def _date(node: DateRange, value: DateValue) -> bool:
    return value.atom == node.atom and interval.satisfies(
        node.prefix, (node.low, node.high), (value.low, value.high)
    )


def _quantity(node: Quantity, value: QuantityValue) -> bool:
    return (
        value.atom == node.atom
        and (node.system is None or value.system == node.system)
        and (node.code is None or value.code == node.code)
        and compare(node.prefix, _asked(node), _stored(value))
    )


def _asked(node: Number | Quantity) -> tuple[float, float, float]:
    return float(node.value), float(node.low), float(node.high)


def _stored(value: NumberValue | QuantityValue) -> Ends:
    return float(value.low), float(value.high)


def _reference(node: Reference, value: ReferenceValue) -> bool:
    if value.atom != node.atom:
        return False
    if node.type or node.id:
        return value.type == node.type and value.id == node.id
    return bool(node.url) and (
        value.url == node.url or ("|" not in node.url and value.url.partition("|")[0] == node.url)
    )


def _uri(node: Uri, value: UriValue) -> bool:
    return value.atom == node.atom and (
        value.value == node.value or (node.below and value.value.startswith(beneath(node.value)))
    )


def _near(node: Near, value: PositionValue) -> bool:
    x, y, z = value.x - node.x, value.y - node.y, value.z - node.z
    return value.atom == node.atom and x * x + y * y + z * z <= node.reach * node.reach


def _targets(node: Linked | Through, values: IndexValues, find: Find) -> Iterator[Candidate]:
    for value in values.references:
        if value.atom == node.atom and value.type == node.type and value.id:
            target = find.get(value.type, value.id)
            if target is not None:
                yield target


def _refers(atom: str, values: IndexValues, target: Candidate) -> bool:
    return any(
        v.atom == atom and v.type == target.type and v.id == target.id for v in values.references
    )
