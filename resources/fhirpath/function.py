"""The declaration of a FHIRPath function, and what the tables of functions are made with (FHIRPath N1 5)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault, SemanticFault
from resources.fhirpath.item import Item
from resources.fhirpath.system import Value, item, value_of

T = TypeVar("T", bound=Value)
Call = Callable[[Focus, list[Item], tuple[Run, ...]], list[Item]]


@dataclass(frozen=True, slots=True)
class Function:
    """A function by name: how many arguments it takes, and what it gives for input and arguments.

    Arguments come unevaluated: what is evaluated for each item is run with the focus on it.
    """

    name: str
    call: Call
    least: int = 0
    most: int = 0


Table = Mapping[str, Function]


def table(*functions: Function) -> Table:
    """Give functions by their names."""
    return {function.name: function for function in functions}


def single(items: Sequence[Item]) -> Item | None:
    """Give the only item, None where there is none; raises EvaluationFault where there are several."""
    if len(items) > 1:
        raise EvaluationFault("one item is needed, and there are several")
    return items[0] if items else None


def truth(items: Sequence[Item]) -> bool | None:
    """Give a collection as a truth: a single item that is no boolean is true (FHIRPath N1 4.5)."""
    found = single(items)
    if found is None:
        return None
    value = value_of(found)
    return value if isinstance(value, bool) else True


def one(items: Sequence[Item], kind: type[T]) -> T | None:
    """Give the value of the only item, of a type; None where there is none.

    Raises EvaluationFault for several items or another type.
    """
    found = single(items)
    if found is None:
        return None
    value = value_of(found)
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    if value is None and found.value is None:
        return None
    raise SemanticFault(f"{found.type} is not of a type that this takes")


def number(items: Sequence[Item]) -> int | Decimal | None:
    """Give the only item as a number, None where there is none; raises as `one` does."""
    found = single(items)
    if found is not None and isinstance(value_of(found), Decimal):
        return one(items, Decimal)
    return one(items, int)


def values(found: Value | None) -> list[Item]:
    """Give a value as a collection, None being empty."""
    return [] if found is None else [item(found)]


def strings(found: Iterable[str]) -> list[Item]:
    """Give texts as a collection."""
    return [item(text) for text in found]


def of_value(name: str, kind: type[T], compute: Callable[[T], Value | None]) -> Function:
    """Give a function without arguments from one value to another; empty gives empty."""

    def call(focus: Focus, items: list[Item], arguments: tuple[Run, ...]) -> list[Item]:
        del focus, arguments
        found = one(items, kind)
        return [] if found is None else values(compute(found))

    return Function(name, call)
