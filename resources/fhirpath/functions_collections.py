"""Functions on collections: existence, filtering, projection, combining (FHIRPath N1 5.1-5.4, 7.1)."""

from collections.abc import Callable, Hashable, Iterator

from resources.fhirpath import equality
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault
from resources.fhirpath.function import Function, one, single, table, truth, values
from resources.fhirpath.item import Item
from resources.fhirpath.item import truth as told
from resources.fhirpath.operators import union
from resources.fhirpath.system import value_of

_Arguments = tuple[Run, ...]


def _each(focus: Focus, items: list[Item], run: Run) -> Iterator[tuple[Item, list[Item]]]:
    """Give each item with what an expression makes of it."""
    for index, item in enumerate(items):
        yield item, run(focus.at(item, index))


def _where(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    return [item for item, found in _each(focus, items, arguments[0]) if truth(found)]


def _exists(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    if not arguments:
        return told(bool(items))
    return told(any(truth(found) for _, found in _each(focus, items, arguments[0])))


def _all(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    return told(all(truth(found) for _, found in _each(focus, items, arguments[0])))


def _booleans(accept: Callable[[list[bool]], bool]) -> Function:
    def call(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
        del focus, arguments
        found = [value_of(item) for item in items]
        kept = [value for value in found if isinstance(value, bool)]
        if len(kept) != len(found):
            raise EvaluationFault("every item has to be a boolean")
        return told(accept(kept))

    return Function("", call)


def _subset(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    return told(_within(items, arguments[0](focus)))


def _superset(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    return told(_within(arguments[0](focus), items))


def _within(inner: list[Item], outer: list[Item]) -> bool:
    keys = {equality.key(item) for item in outer}
    return all(equality.key(item) in keys for item in inner)


def _is_distinct(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del arguments
    focus.state.spend(len(items))
    return told(len(equality.distinct(items)) == len(items))


def _distinct(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del arguments
    focus.state.spend(len(items))
    return equality.distinct(items)


def _select(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    return [made for _, found in _each(focus, items, arguments[0]) for made in found]


def _repeat(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    """Project again and again what is new, so that a cycle ends."""
    seen: dict[Hashable, Item] = {}
    pending = items
    while pending:
        fresh: list[Item] = []
        for _, found in _each(focus, pending, arguments[0]):
            focus.state.spend(len(found))
            for item in found:
                known = equality.key(item)
                if known not in seen:
                    seen[known] = item
                    fresh.append(item)
        pending = fresh
    return list(seen.values())


def _aggregate(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    total = arguments[1](focus) if len(arguments) > 1 else []
    for index, item in enumerate(items):
        inner = focus.at(item, index)
        inner.total = total
        total = arguments[0](inner)
    return total


def _single(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del focus, arguments
    single(items)
    return items


def _index(focus: Focus, run: Run) -> int:
    found = one(run(focus), int)
    if found is None:
        raise EvaluationFault("a number of items is needed")
    return found


def _skip(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    return items[max(0, _index(focus, arguments[0])) :]


def _take(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    return items[: max(0, _index(focus, arguments[0]))]


def _intersect(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    others = arguments[0](focus)
    focus.state.spend(len(items) + len(others))
    keys = {equality.key(item) for item in others}
    return [item for item in equality.distinct(items) if equality.key(item) in keys]


def _exclude(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    others = arguments[0](focus)
    focus.state.spend(len(items) + len(others))
    keys = {equality.key(item) for item in others}
    return [item for item in items if equality.key(item) not in keys]


def _union(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    return union(focus, items, arguments[0](focus))


def _combine(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    others = arguments[0](focus)
    focus.state.spend(len(items) + len(others))
    return [*items, *others]


def _children(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del arguments
    found = focus.state.tree.children(items)
    focus.state.spend(len(found))
    return found


def _descendants(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    found: list[Item] = []
    level = items
    while level:
        level = _children(focus, level, arguments)
        found += level
    return found


def _not(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del focus, arguments
    found = truth(items)
    return told(None if found is None else not found)


def _of_collection(name: str, compute: Callable[[list[Item]], list[Item]]) -> Function:
    return Function(name, lambda _focus, items, _arguments: compute(items))


COLLECTION_FUNCTIONS = table(
    _of_collection("empty", lambda items: told(not items)),
    _of_collection("count", lambda items: values(len(items))),
    _of_collection("first", lambda items: items[:1]),
    _of_collection("last", lambda items: items[-1:]),
    _of_collection("tail", lambda items: items[1:]),
    Function("exists", _exists, 0, 1),
    Function("all", _all, 1, 1),
    Function("allTrue", _booleans(all).call),
    Function("anyTrue", _booleans(any).call),
    Function("allFalse", _booleans(lambda found: not any(found)).call),
    Function("anyFalse", _booleans(lambda found: not all(found)).call),
    Function("subsetOf", _subset, 1, 1),
    Function("supersetOf", _superset, 1, 1),
    Function("isDistinct", _is_distinct),
    Function("distinct", _distinct),
    Function("where", _where, 1, 1),
    Function("select", _select, 1, 1),
    Function("repeat", _repeat, 1, 1),
    Function("aggregate", _aggregate, 1, 2),
    Function("single", _single),
    Function("skip", _skip, 1, 1),
    Function("take", _take, 1, 1),
    Function("intersect", _intersect, 1, 1),
    Function("exclude", _exclude, 1, 1),
    Function("union", _union, 1, 1),
    Function("combine", _combine, 1, 1),
    Function("children", _children),
    Function("descendants", _descendants),
    Function("not", _not),
)
