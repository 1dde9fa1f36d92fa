"""Functions of typed collections that give items (FHIRPath N1 5.2-5.6, 6.6)."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from resources.fhirpath import equality, typed_compare
from resources.fhirpath.environment import Focus, Run, State
from resources.fhirpath.functions import FUNCTIONS
from resources.fhirpath.functions_strings import pattern
from resources.fhirpath.item import BOOLEAN, INTEGER, STRING
from resources.fhirpath.system import QUANTITIES
from resources.fhirpath.tree import Tree
from resources.fhirpath.typed import (
    ANYTHING,
    Branch,
    Collection,
    Get,
    One,
    Undecided,
    constant,
    single,
)
from resources.fhirpath.within import Within

TELLING = frozenset({"startsWith", "endsWith", "contains", "matches", "matchesFull"})
GIVEN: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(TELLING, BOOLEAN),
        **dict.fromkeys(("toInteger", "length"), INTEGER),
        **dict.fromkeys(("toString", "substring", "replace", "replaceMatches"), STRING),
        **dict.fromkeys(("upper", "lower", "trim"), STRING),
    }
)
"""Functions from values to one value, with its type: they are called as the evaluator does."""


def telling(name: str, target: Collection, argument: Collection) -> One | None:
    """Give what tests a text that is there at most once against one that never changes, else None."""
    text, wanted = target.branches, argument.branches
    if len(text) != 1 or len(wanted) != 1 or wanted[0].values is None:
        return None
    one, part = text[0].one, wanted[0].values[0]
    if one is None or not typed_compare.is_text(target) or not isinstance(part, str):
        return None
    test = _TESTS[name](part)

    def told(value: Any, within: Within) -> bool | None:
        found = one(value, within)
        return test(found) if type(found) is str else None

    return told


def _searched(search: Callable[[str], object]) -> Callable[[str], bool]:
    return lambda text: search(text) is not None


_TESTS: Mapping[str, Callable[[str], Callable[[str], bool]]] = MappingProxyType(
    {
        "startsWith": lambda part: lambda text: text.startswith(part),
        "endsWith": lambda part: lambda text: text.endswith(part),
        "contains": lambda part: lambda text: part in text,
        "matches": lambda part: _searched(pattern(part).search),
        "matchesFull": lambda part: _searched(pattern(part).fullmatch),
    }
)


def called(name: str, target: Collection, arguments: tuple[Collection, ...], tree: Tree) -> Branch:
    """Give what a function of the evaluator makes of a collection."""
    function = FUNCTIONS[name]
    if not function.least <= len(arguments) <= function.most:
        raise Undecided(name)
    told = telling(name, target, arguments[0]) if name in TELLING else None
    if told is not None:
        return single(BOOLEAN, told)
    call, listed = function.call, typed_compare.items(target)
    parts = tuple(map(typed_compare.items, arguments))

    def one(value: Any, within: Within) -> Any:
        focus = Focus([], State(tree, within.environment, ()))
        runs: tuple[Run, ...] = tuple(_run(part, value, within) for part in parts)
        found = call(focus, listed(value, within), runs)
        return found[0].value if found else None

    return single(GIVEN[name], one)


def _run(part: Callable[[Any, Within], list[Any]], value: Any, within: Within) -> Run:
    return lambda _focus: part(value, within)


def union(left: Collection, right: Collection) -> Collection:
    """Give `|`; values that are always the same become one list."""
    branches = (*left.branches, *right.branches)
    if {b.type for b in branches} == {STRING} and all(b.values is not None for b in branches):
        values = tuple(dict.fromkeys(v for b in branches for v in b.values or ()))
        return Collection((constant(values, STRING),))
    return Collection(branches, united=True)


def joined(left: Collection, right: Collection) -> Collection:
    """Give `&`: texts joined, what is empty as an empty text."""
    if not typed_compare.is_text(left) or not typed_compare.is_text(right):
        raise Undecided("& of what is no text")
    first, second = left.get(), right.get()
    one = single(STRING, lambda v, w: _text(first(v, w)) + _text(second(v, w)))
    return Collection((one,))


def _text(found: list[Any]) -> str:
    held = typed_compare.only(found)
    return held if isinstance(held, str) else ""


def total(left: Collection, right: Collection) -> Collection:
    """Give `+` of counts."""
    one, other = left.only(), right.only()
    first, second = one.one, other.one
    if first is None or second is None or {one.type, other.type} != {INTEGER}:
        raise Undecided("+ of what is no count")
    return Collection((single(INTEGER, lambda v, w: _sum(first(v, w), second(v, w))),))


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _combined(left: Collection, right: Collection) -> Collection:
    """Give combine() of collections of one type."""
    one, other = left.only(), right.only()
    types = {one.type, other.type}
    if len(types) > 1 and ANYTHING not in types and not typed_compare.are_plain(left, right):
        raise Undecided("combine of several types")
    first, second = one.get, other.get
    made = Branch(
        ANYTHING if ANYTHING in types else one.type,
        lambda v, w: [*first(v, w), *second(v, w)],
        primitive=one.primitive,
    )
    return Collection((made,))


def _intersection(left: Collection, right: Collection) -> Collection:
    """Give intersect(): the items that are in both, without doubles."""
    branch = left.only()
    if not branch.primitive and branch.type == right.only().type and branch.type not in QUANTITIES:
        return Collection((Branch(branch.type, _shared(branch.get, right.only().get)),))
    first, second = typed_compare.items(left), typed_compare.items(right)

    def get(value: Any, within: Within) -> list[Any]:
        others = second(value, within)
        found = first(value, within) if others else ()
        keys = {equality.key(held) for held in others} if found else set()
        return [held.value for held in equality.distinct(found) if equality.key(held) in keys]

    return Collection((Branch(branch.type, get, primitive=branch.primitive),))


def _shared(first: Get, second: Get) -> Get:
    """Objects of one type are equal where their JSON is."""

    def get(value: Any, within: Within) -> list[Any]:
        others = second(value, within)
        found: list[Any] = []
        for held in first(value, within) if others else ():
            if held in others and held not in found:
                found.append(held)
        return found

    return get


def _descendants(found: Collection) -> Collection:
    """Give all objects below the items, of whatever type: only an element's name can follow."""
    get = found.get()
    return Collection(
        (Branch(ANYTHING, lambda v, w: list(_below(get(v, w)))),),
        united=found.united,
    )


def _below(values: list[Any]) -> Iterator[dict[str, Any]]:
    """Give every object below the values."""
    stack = [part for value in values if isinstance(value, dict) for part in value.values()]
    while stack:
        held = stack.pop()
        if type(held) is dict:
            yield held
            stack.extend(held.values())
        elif type(held) is list:
            stack.extend(held)


def _count(found: Collection) -> Collection:
    if found.united:
        raise Undecided("a union has no doubles")
    get = found.get()
    return Collection((single(INTEGER, lambda v, w: len(get(v, w))),))


def _first(found: Collection) -> Collection:
    branch = found.only()
    get = branch.get

    def one(value: Any, within: Within) -> Any:
        held = get(value, within)
        return held[0] if held else None

    return Collection((_same_type(branch, single(branch.type, one)),))


def _tail(found: Collection) -> Collection:
    branch = found.only()
    get = branch.get
    return Collection((_same_type(branch, Branch("", lambda v, w: get(v, w)[1:])),))


def _same_type(branch: Branch, made: Branch) -> Branch:
    return Branch(branch.type, made.get, made.one, "", branch.primitive)


OF_ONE: Mapping[str, Callable[[Collection], Collection]] = MappingProxyType(
    {"count": _count, "first": _first, "tail": _tail, "descendants": _descendants}
)
OF_TWO: Mapping[str, Callable[[Collection, Collection], Collection]] = MappingProxyType(
    {"combine": _combined, "intersect": _intersection}
)
