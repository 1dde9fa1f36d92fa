"""Equality, equivalence and order of items and collections (FHIRPath N1 6.1, 6.2)."""

from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from resources import datatypes
from resources.fhirpath import quantity, temporal
from resources.fhirpath.faults import EvaluationFault
from resources.fhirpath.item import Item
from resources.fhirpath.quantity import Quantity
from resources.fhirpath.system import Value, has_parts, value_of
from resources.fhirpath.temporal import Temporal


def equal(left: Sequence[Item], right: Sequence[Item]) -> bool | None:
    """Tell whether two collections are equal in order; None where that is not known."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    found = [same(a, b) for a, b in zip(left, right, strict=True)]
    if False in found:
        return False
    return None if None in found else True


def same(left: Item, right: Item) -> bool | None:
    """Tell whether two items are equal: values of System types by value, all else by all that is in them."""
    a, b = value_of(left), value_of(right)
    if a is None or b is None:
        return a is b and _frozen(left.value) == _frozen(right.value) and left.extra == right.extra
    return _same(a, b)


def _same(a: Value, b: Value) -> bool | None:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Temporal) and isinstance(b, Temporal):
        if (a.kind == "Time") != (b.kind == "Time"):
            return False
        found = temporal.compare(a, b)
        return None if found is None else found == 0
    pair = _quantities(a, b)
    if pair is not None:
        found = quantity.compare(*pair)
        return None if found is None else found == 0
    return a == b


def _quantities(a: Value, b: Value) -> tuple[Quantity, Quantity] | None:
    """Give two values as quantities where one is, a number having the unit 1."""
    if not isinstance(a, Quantity) and not isinstance(b, Quantity):
        return None
    one, other = (
        Quantity(Decimal(v)) if isinstance(v, int | Decimal) and not isinstance(v, bool) else v
        for v in (a, b)
    )
    return (one, other) if isinstance(one, Quantity) and isinstance(other, Quantity) else None


def key(item: Item) -> Hashable:
    """Give what is equal for equal items, to find doubles without comparing each with each."""
    value = value_of(item)
    if value is None:
        return ("object", _frozen(item.value), _frozen(item.extra))
    if isinstance(value, bool | str):
        return (type(value), value)
    if isinstance(value, Temporal):
        moved = temporal.in_utc(value)
        return (moved.kind == "Time", moved.parts, moved.offset)
    if isinstance(value, Quantity):
        return ("quantity", *quantity.canonical(value))
    return (Decimal, value)


def _frozen(value: Any) -> Hashable:
    if isinstance(value, dict):
        return frozenset((name, _frozen(part)) for name, part in value.items())
    if isinstance(value, list):
        return tuple(_frozen(part) for part in value)
    return (isinstance(value, bool), value)


def distinct(items: Iterable[Item]) -> list[Item]:
    """Give the items without doubles, in the order in which they first come."""
    seen: dict[Hashable, Item] = {}
    for item in items:
        seen.setdefault(key(item), item)
    return list(seen.values())


def equivalent(left: Sequence[Item], right: Sequence[Item]) -> bool:
    """Tell whether each item has its own equivalent in the other collection, in any order."""
    if len(left) != len(right):
        return False
    left_over = list(right)
    for item in left:
        found = next((i for i, other in enumerate(left_over) if alike(item, other)), None)
        if found is None:
            return False
        del left_over[found]
    return True


def alike(left: Item, right: Item) -> bool:
    """Tell whether two items are equivalent: text without case and spacing, numbers to common digits."""
    a, b = value_of(left), value_of(right)
    if a is None or b is None:
        return a is b and _alike_json(left.value, right.value)
    if isinstance(a, Temporal) and isinstance(b, Temporal):
        return a.kind == b.kind and temporal.compare(a, b) == 0
    pair = _quantities(a, b)
    return quantity.equivalent(*pair) if pair is not None else _alike_json(a, b)


def _alike_json(a: Any, b: Any) -> bool:
    """Compare JSON: objects by all their members, id apart, and lists in any order."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, str) and isinstance(b, str):
        return a == b or _plain(a) == _plain(b)
    if isinstance(a, int | Decimal) and isinstance(b, int | Decimal):
        return quantity.alike(Decimal(a), Decimal(b))
    if isinstance(a, list) and isinstance(b, list):
        return _alike_lists(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        names = (a.keys() | b.keys()) - {"id"}
        return all(name in a and name in b and _alike_json(a[name], b[name]) for name in names)
    return a is b


def _alike_lists(a: list[Any], b: list[Any]) -> bool:
    left_over = list(b)
    for value in a:
        found = next((i for i, other in enumerate(left_over) if _alike_json(value, other)), None)
        if found is None:
            return False
        del left_over[found]
    return not left_over


def _plain(text: str) -> str:
    return " ".join(datatypes.normal(text).split())


def order(left: Item, right: Item) -> int | None:
    """Give -1, 0 or 1, None where that is not known; raises EvaluationFault for what has no order."""
    a, b = value_of(left), value_of(right)
    if has_parts(left) or has_parts(right) or isinstance(a, bool) or isinstance(b, bool):
        raise EvaluationFault("what is compared has no order")
    if a is None or b is None:
        return None
    pair = _quantities(a, b)
    if pair is not None:
        return quantity.compare(*pair)
    if isinstance(a, Temporal) and isinstance(b, Temporal):
        return _order(a, b)
    if isinstance(a, str) and isinstance(b, str):
        return (a > b) - (a < b)
    if isinstance(a, int | Decimal) and isinstance(b, int | Decimal):
        return (a > b) - (a < b)
    raise EvaluationFault("what is compared is of two kinds")


def _order(a: Temporal, b: Temporal) -> int | None:
    try:
        return temporal.compare(a, b)
    except TypeError:
        raise EvaluationFault("a Time is not compared to a date") from None
