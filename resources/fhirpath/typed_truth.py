"""Truths of three values, as closures over typed collections (FHIRPath N1 4.5, 5.1, 6.5)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from resources.fhirpath.typed import Branch, Collection, Get, One
from resources.fhirpath.typed_compare import Truth, only
from resources.fhirpath.within import Bare, Within

_FEW = 2
_BOOLEANS = frozenset({"boolean", "System.Boolean"})


def both(left: Truth, right: Truth) -> Truth:
    """Give `and`."""

    def told(value: Any, within: Within) -> bool | None:
        a = left(value, within)
        if a is False:
            return False
        b = right(value, within)
        return b if a or b is False else None

    return told


def either(left: Truth, right: Truth) -> Truth:
    """Give `or`."""

    def told(value: Any, within: Within) -> bool | None:
        a = left(value, within)
        if a:
            return True
        b = right(value, within)
        return True if b else b if a is False else None

    return told


def implied(left: Truth, right: Truth) -> Truth:
    """Give `implies`."""

    def told(value: Any, within: Within) -> bool | None:
        a = left(value, within)
        if a is False:
            return True
        b = right(value, within)
        return True if b else b if a else None

    return told


def different(left: Truth, right: Truth) -> Truth:
    """Give `xor`."""

    def told(value: Any, within: Within) -> bool | None:
        a, b = left(value, within), right(value, within)
        return None if a is None or b is None else a is not b

    return told


CONNECTIVES: Mapping[str, Callable[[Truth, Truth], Truth]] = MappingProxyType(
    {"and": both, "or": either, "implies": implied, "xor": different}
)


def negated(operand: Truth) -> Truth:
    """Give `not()`."""

    def told(value: Any, within: Within) -> bool | None:
        found = operand(value, within)
        return None if found is None else not found

    return told


def same(left: Truth, right: Truth, *, told: bool) -> Truth:
    """Give `=` of two truths, or `!=` where `told` is False."""

    def compare(value: Any, within: Within) -> bool | None:
        a, b = left(value, within), right(value, within)
        return None if a is None or b is None else (a is b) is told

    return compare


def chosen(condition: Truth, then: Truth, otherwise: Truth | None) -> Truth:
    """Give iif: one of two truths, the unknown where there is no other."""

    def told(value: Any, within: Within) -> bool | None:
        if condition(value, within):
            return then(value, within)
        return otherwise(value, within) if otherwise is not None else None

    return told


def always(held: bool | None) -> Truth:  # noqa: FBT001 - it is the value
    """Give a truth that does not depend on anything."""
    return lambda _value, _within: held


def present(collection: Collection, *, told: bool) -> Truth:
    """Give exists(), or empty() where `told` is False."""
    if not collection.branches:
        return always(not told)
    keys = _keys(collection.branches)
    if keys is None:
        get = collection.get()
        return lambda value, within: bool(get(value, within)) is told
    if len(keys) <= _FEW:
        first, *rest = sorted(keys, reverse=True)
        return _has(first, rest[0] if rest else first, told=told)
    if told:
        return lambda value, _: not keys.isdisjoint(value)
    return lambda value, _: keys.isdisjoint(value)


def _has(key: str, companion: str, *, told: bool) -> Truth:
    if told:
        return lambda value, _: key in value or companion in value
    return lambda value, _: key not in value and companion not in value


def _keys(branches: tuple[Branch, ...]) -> frozenset[str] | None:
    """Give the properties of the focus that decide, None where more than they do."""
    if not all(branch.key for branch in branches):
        return None
    companions = ("_" + branch.key for branch in branches if branch.primitive)
    return frozenset((*(branch.key for branch in branches), *companions))


def truth_of(collection: Collection) -> Truth:
    """Give a collection as a truth: its only item's own, or that there is one."""
    if not collection.branches:
        return always(None)
    if len(collection.branches) == 1 and (one := collection.branches[0].one) is not None:
        return _one_as_truth(one, boolean=collection.branches[0].type in _BOOLEANS)
    get = collection.get()
    if not all(branch.type in _BOOLEANS for branch in collection.branches):
        return lambda value, within: None if only(get(value, within)) is None else True

    def told(value: Any, within: Within) -> bool | None:
        found = only(get(value, within))
        return True if type(found) is Bare else found

    return told


def _one_as_truth(one: One, *, boolean: bool) -> Truth:
    if not boolean:
        return lambda value, within: None if one(value, within) is None else True

    def told(value: Any, within: Within) -> bool | None:
        found = one(value, within)
        return True if type(found) is Bare else found

    return told


def any_of(get: Get, criterion: Truth) -> Truth:
    """Give exists(criterion)."""
    return lambda value, within: any(criterion(held, within) for held in get(value, within))


def all_of(get: Get, criterion: Truth) -> Truth:
    """Give all(criterion)."""
    return lambda value, within: all(criterion(held, within) for held in get(value, within))


def has_value(collection: Collection) -> Truth:
    """Give hasValue(): there is one item, a primitive with a value."""
    primitive = all(branch.primitive for branch in collection.branches)
    if primitive and len(collection.branches) == 1 and collection.branches[0].one is not None:
        return _has_one_value(collection.branches[0].one)
    get = collection.get()

    def told(value: Any, within: Within) -> bool:
        found = get(value, within)
        return primitive and len(found) == 1 and type(found[0]) is not Bare

    return told


def _has_one_value(one: One) -> Truth:
    def told(value: Any, within: Within) -> bool:
        found = one(value, within)
        return found is not None and type(found) is not Bare

    return told
