"""The operators of FHIRPath on collections of items (FHIRPath N1 6)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from resources.fhirpath import equality
from resources.fhirpath.arithmetic import ARITHMETIC, Operator
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault
from resources.fhirpath.function import single, truth, values
from resources.fhirpath.item import FALSE, TRUE, Item
from resources.fhirpath.item import truth as told
from resources.fhirpath.system import value_of


def _eager(compute: Callable[[Focus, list[Item], list[Item]], list[Item]]) -> Operator:
    return lambda focus, left, right: compute(focus, left(focus), right(focus))


def _equal(focus: Focus, left: list[Item], right: list[Item]) -> list[Item]:
    focus.state.spend(len(left))
    return told(equality.equal(left, right))


def _unequal(focus: Focus, left: list[Item], right: list[Item]) -> list[Item]:
    focus.state.spend(len(left))
    found = equality.equal(left, right)
    return told(None if found is None else not found)


def _equivalent(focus: Focus, left: list[Item], right: list[Item]) -> bool:
    focus.state.spend(len(left) * len(right))
    return equality.equivalent(left, right)


def _ordered(accept: Callable[[int], bool]) -> Operator:
    def compute(focus: Focus, left: list[Item], right: list[Item]) -> list[Item]:
        del focus
        a, b = single(left), single(right)
        if a is None or b is None:
            return []
        found = equality.order(a, b)
        return told(None if found is None else accept(found))

    return _eager(compute)


def _and(focus: Focus, left: Run, right: Run) -> list[Item]:
    a = truth(left(focus))
    if a is False:
        return [FALSE]
    b = truth(right(focus))
    return [FALSE] if b is False else told(True if a and b else None)


def _or(focus: Focus, left: Run, right: Run) -> list[Item]:
    a = truth(left(focus))
    if a:
        return [TRUE]
    b = truth(right(focus))
    return [TRUE] if b else told(False if a is False and b is False else None)


def _xor(focus: Focus, left: Run, right: Run) -> list[Item]:
    a, b = truth(left(focus)), truth(right(focus))
    return told(None if a is None or b is None else a is not b)


def _implies(focus: Focus, left: Run, right: Run) -> list[Item]:
    a = truth(left(focus))
    if a is False:
        return [TRUE]
    b = truth(right(focus))
    return [TRUE] if b else told(False if a and b is False else None)


def union(focus: Focus, left: list[Item], right: list[Item]) -> list[Item]:
    """Merge two collections without doubles."""
    focus.state.spend(len(left) + len(right))
    return equality.distinct((*left, *right))


def _in(focus: Focus, left: list[Item], right: list[Item]) -> list[Item]:
    item = single(left)
    if item is None:
        return []
    focus.state.spend(len(right))
    return told(any(equality.same(item, other) for other in right))


def _concatenated(focus: Focus, left: list[Item], right: list[Item]) -> list[Item]:
    parts = [_text(left), _text(right)]
    return values(focus.state.short("".join(parts)))


def _text(items: list[Item]) -> str:
    item = single(items)
    value = None if item is None else value_of(item)
    if item is not None and not isinstance(value, str):
        raise EvaluationFault("& takes strings")
    return value if isinstance(value, str) else ""


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "=": _eager(_equal),
        "!=": _eager(_unequal),
        "~": _eager(lambda focus, a, b: told(_equivalent(focus, a, b))),
        "!~": _eager(lambda focus, a, b: told(not _equivalent(focus, a, b))),
        "<": _ordered(lambda found: found < 0),
        "<=": _ordered(lambda found: found <= 0),
        ">": _ordered(lambda found: found > 0),
        ">=": _ordered(lambda found: found >= 0),
        "and": _and,
        "or": _or,
        "xor": _xor,
        "implies": _implies,
        "|": _eager(union),
        "in": _eager(_in),
        "contains": _eager(lambda focus, a, b: _in(focus, b, a)),
        "&": _eager(_concatenated),
        **ARITHMETIC,
    }
)
