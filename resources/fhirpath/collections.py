"""Operators and functions on collections of items, nothing being unknown (FHIRPath N1 5 and 6)."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

Item = tuple[Any, str]

TRUE: Item = (True, "boolean")
FALSE: Item = (False, "boolean")


def booleans(found: Iterable[bool | None]) -> list[Item]:
    """Give truths as items; None, the unknown, gives none."""
    return [TRUE if value else FALSE for value in found if value is not None]


def equal(left: list[Item], right: list[Item]) -> bool | None:
    """Compare two collections in order; unknown where either is empty."""
    if not left or not right:
        return None
    return len(left) == len(right) and all(
        isinstance(a, bool) == isinstance(b, bool) and a == b
        for (a, _), (b, _) in zip(left, right, strict=True)
    )


def unequal(left: list[Item], right: list[Item]) -> bool | None:
    """Give the opposite of equal; unknown where either is empty."""
    same = equal(left, right)
    return None if same is None else not same


def truth(items: list[Item]) -> bool | None:
    """Give the truth of a collection: nothing is unknown, an item that is no boolean is true."""
    return None if not items else items[0][0] is not False


def both(left: list[Item], right: list[Item]) -> bool | None:
    """And: false where either is, though the other be unknown."""
    a, b = truth(left), truth(right)
    if a is False or b is False:
        return False
    return True if a and b else None


def either(left: list[Item], right: list[Item]) -> bool | None:
    """Or: true where either is, though the other be unknown."""
    a, b = truth(left), truth(right)
    if a or b:
        return True
    return False if a is False and b is False else None


def differ(left: list[Item], right: list[Item]) -> bool | None:
    """Xor: unknown where either is."""
    a, b = truth(left), truth(right)
    return None if a is None or b is None else a is not b


def implies(left: list[Item], right: list[Item]) -> bool | None:
    """Tell that the left being true makes the right true; a false left implies anything."""
    a, b = truth(left), truth(right)
    if a is False or b:
        return True
    return False if a and b is False else None


def _not(items: list[Item]) -> list[Item]:
    held = truth(items)
    return booleans((None if held is None else not held,))


OPERATORS: Mapping[str, Callable[[list[Item], list[Item]], bool | None]] = MappingProxyType(
    {
        "=": equal,
        "!=": unequal,
        "and": both,
        "or": either,
        "xor": differ,
        "implies": implies,
    }
)
FUNCTIONS: Mapping[str, Callable[[list[Item]], list[Item]]] = MappingProxyType(
    {
        "exists": lambda items: booleans((bool(items),)),
        "hasExtension": lambda items: booleans((bool(items),)),
        "empty": lambda items: booleans((not items,)),
        "count": lambda items: [(len(items), "integer")],
        "first": lambda items: items[:1],
        "last": lambda items: items[-1:],
        "not": _not,
    }
)
