"""Equality, order and membership of typed collections (FHIRPath N1 6.1, 6.2, 6.4).

Text, truth values and numbers are compared as they stand in JSON; all else as items, by the rules of
`equality`.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from resources.fhirpath import equality
from resources.fhirpath.faults import EvaluationFault
from resources.fhirpath.item import BOOLEAN, DECIMAL, INTEGER, STRING, Item
from resources.fhirpath.typed import ANYTHING, Branch, Collection, Get, Undecided
from resources.fhirpath.within import Bare, Within
from resources.model import Written

Truth = Callable[[Any, Within], bool | None]
Order = Callable[[int], bool]

_TEXTS = frozenset(
    {
        STRING,
        *("base64Binary", "canonical", "code", "id", "markdown", "oid", "string"),
        *("uri", "url", "uuid", "xhtml"),
    }
)
_TRUTHS = frozenset({BOOLEAN, "boolean"})
_NUMBERS = frozenset({INTEGER, DECIMAL, "integer", "positiveInt", "unsignedInt", "decimal"})
_DATES = frozenset({"date", "dateTime", "instant"})
_ZONED = 20
_JSON: Mapping[type, str] = MappingProxyType(
    {str: STRING, bool: BOOLEAN, int: INTEGER, Decimal: DECIMAL, Written: DECIMAL}
)
_ABSTRACT = frozenset({"Resource", "DomainResource"})


def is_text(collection: Collection) -> bool:
    """Tell whether every item is a string."""
    return all(branch.type in _TEXTS for branch in collection.branches)


def are_plain(*collections: Collection) -> bool:
    """Tell whether the items of all are of one kind that JSON compares as FHIRPath does."""
    types = {branch.type for held in collections for branch in held.branches}
    return any(types <= kind for kind in (_TEXTS, _TRUTHS, _NUMBERS))


def item(value: Any, type_name: str) -> Item:
    """Give a value as an item of the evaluator; a resource's type is read from it."""
    if isinstance(value, Bare):
        return Item(None, type_name, value.extra)
    if type_name == ANYTHING:
        return Item(value, _JSON.get(type(value), type_name))
    if type_name in _ABSTRACT and isinstance(value, dict):
        return Item(value, str(value.get("resourceType")))
    return Item(value, type_name)


def items(collection: Collection) -> Callable[[Any, Within], list[Item]]:
    """Give what lists a collection as items of the evaluator."""
    pairs = tuple((branch.get, branch.type) for branch in collection.branches)
    return lambda value, within: [
        item(held, type_name) for get, type_name in pairs for held in get(value, within)
    ]


def only(found: list[Any]) -> Any:
    """Give the only item, None where there is none; raises EvaluationFault where there are several."""
    if len(found) > 1:
        raise EvaluationFault("one item is needed, and there are several")
    return found[0] if found else None


def equal(left: Collection, right: Collection, *, told: bool) -> Truth:
    """Give what tells `told` where the collections are equal, its opposite where they are not."""
    if are_plain(left, right):
        return _equal_to_one(left, right, told=told) or _plain_equal(
            left.get(), right.get(), told=told
        )
    first, second = items(left), items(right)

    def compare(value: Any, within: Within) -> bool | None:
        found = equality.equal(first(value, within), second(value, within))
        return None if found is None else found is told

    return compare


def _equal_to_one(left: Collection, right: Collection, *, told: bool) -> Truth | None:
    """Give the usual case, of at most one item on both sides, as fast as it goes."""
    first, second = _one(left), _one(right)
    if first is None or second is None:
        return None

    def compare(value: Any, within: Within) -> bool | None:
        a = first(value, within)
        b = second(value, within)
        return None if a is None or b is None else (a == b) is told

    return compare


def _one(collection: Collection) -> Callable[[Any, Within], Any] | None:
    return collection.branches[0].one if len(collection.branches) == 1 else None


def _plain_equal(first: Get, second: Get, *, told: bool) -> Truth:
    def compare(value: Any, within: Within) -> bool | None:
        a, b = first(value, within), second(value, within)
        return None if not a or not b else (a == b) is told

    return compare


def member(element: Collection, collection: Collection) -> Truth:
    """Give what tells whether the only item of one collection is in another; empty has no answer."""
    if not are_plain(element, collection):
        return _member(items(element), items(collection))
    first, second = element.get(), collection.get()

    def contains(value: Any, within: Within) -> bool | None:
        found = only(first(value, within))
        return None if found is None else found in second(value, within)

    return contains


def _member(
    first: Callable[[Any, Within], list[Item]], second: Callable[[Any, Within], list[Item]]
) -> Truth:
    def contains(value: Any, within: Within) -> bool | None:
        found = only(first(value, within))
        if found is None:
            return None
        return any(equality.same(found, held) for held in second(value, within))

    return contains


def ordered(left: Collection, right: Collection, accept: Order) -> Truth:
    """Give what compares two single items by order; what is not known is None."""
    first, second = left.only(), right.only()
    compare = _compared(first, second)
    one, other = left.get(), right.get()

    def order(value: Any, within: Within) -> bool | None:
        a, b = only(one(value, within)), only(other(value, within))
        if a is None or b is None:
            return None
        found = compare(a, b)
        return None if found is None else accept(found)

    return order


def _compared(first: Branch, second: Branch) -> Callable[[Any, Any], int | None]:
    types = {first.type, second.type}

    def by_items(a: Any, b: Any) -> int | None:
        return equality.order(item(a, first.type), item(b, second.type))

    def by_date(a: Any, b: Any) -> int | None:
        return _text_order(a, b) if _same_form(a, b) else by_items(a, b)

    if types <= _NUMBERS:
        return _number_order
    return by_date if types <= _DATES else by_items


def _number_order(a: Any, b: Any) -> int | None:
    if isinstance(a, int | Decimal) and isinstance(b, int | Decimal):
        return (a > b) - (a < b)
    return None


def _text_order(a: str, b: str) -> int:
    return (a > b) - (a < b)


def _same_form(a: Any, b: Any) -> bool:
    """Tell whether two dates or times are of one precision and zone, so that their texts order them."""
    if type(a) is not str or type(b) is not str or len(a) != len(b):
        return False
    return len(a) < _ZONED or a[19:] == b[19:]


def is_distinct(collection: Collection) -> Truth:
    """Give what tells whether no item is there twice."""
    if collection.united:
        raise Undecided("a union has no doubles")
    if not are_plain(collection):
        listed = items(collection)
        return lambda value, within: _differ([equality.key(i) for i in listed(value, within)])
    get = collection.get()
    return lambda value, within: _differ([v for v in get(value, within) if type(v) is not Bare])


def _differ(found: list[Any]) -> bool:
    return len(set(found)) == len(found)
