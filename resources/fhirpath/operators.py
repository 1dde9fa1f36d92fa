"""The operators of FHIRPath on collections of items (FHIRPath N1 6)."""

from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from types import MappingProxyType

from resources.fhirpath import equality, quantity, temporal
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault, SemanticFault
from resources.fhirpath.function import single, truth, values
from resources.fhirpath.item import FALSE, TRUE, Item
from resources.fhirpath.item import truth as told
from resources.fhirpath.quantity import Quantity
from resources.fhirpath.system import Value, value_of
from resources.fhirpath.temporal import Temporal

Operator = Callable[[Focus, Run, Run], list[Item]]
_Number = int | Decimal

EXACT = Context(prec=100, Emin=-400, Emax=400, traps=[InvalidOperation, DivisionByZero, Overflow])
DIVISION = Context(
    prec=quantity.DIGITS, Emin=-400, Emax=400, traps=[InvalidOperation, DivisionByZero, Overflow]
)
_LARGEST = 2**31


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


def _computed(compute: Callable[[Focus, Value, Value], Value | None]) -> Operator:
    """Give an operator on two single values; empty on either side gives empty."""

    def operate(focus: Focus, left: list[Item], right: list[Item]) -> list[Item]:
        a, b = single(left), single(right)
        if a is None or b is None:
            return []
        one, other = value_of(a), value_of(b)
        if one is None or other is None:
            raise EvaluationFault("the operator takes values, not elements with parts")
        try:
            return values(compute(focus, one, other))
        except (DivisionByZero, InvalidOperation, Overflow):
            return []

    return _eager(operate)


def are_numbers(a: Value, b: Value) -> bool:
    """Tell whether both are numbers."""
    return all(isinstance(v, int | Decimal) and not isinstance(v, bool) for v in (a, b))


def represented(value: _Number) -> _Number | None:
    """Give a number that FHIRPath can hold, None for an integer of more than 32 bits."""
    return None if isinstance(value, int) and not -_LARGEST <= value < _LARGEST else value


def _arithmetic(
    integers: Callable[[int, int], _Number], decimals: Callable[[Decimal, Decimal], Decimal]
) -> Callable[[Value, Value], _Number | None]:
    def compute(a: Value, b: Value) -> _Number | None:
        if isinstance(a, int) and isinstance(b, int):
            return represented(integers(a, b))
        return decimals(Decimal(a), Decimal(b))  # type: ignore[arg-type]  # both are numbers

    return compute


_add = _arithmetic(lambda a, b: a + b, EXACT.add)
_subtract = _arithmetic(lambda a, b: a - b, EXACT.subtract)
_multiply = _arithmetic(lambda a, b: a * b, EXACT.multiply)


def _plus(focus: Focus, a: Value, b: Value) -> Value | None:
    if isinstance(a, str) and isinstance(b, str):
        return focus.state.short(a + b)
    if are_numbers(a, b):
        return _add(a, b)
    if isinstance(a, Temporal):
        return _moved(a, b, 1)
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        return quantity.plus(a, b)
    raise EvaluationFault("+ does not take operands of these types")


def _minus(focus: Focus, a: Value, b: Value) -> Value | None:
    del focus
    if are_numbers(a, b):
        return _subtract(a, b)
    if isinstance(a, Temporal):
        return _moved(a, b, -1)
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        return quantity.plus(a, Quantity(-b.value, b.unit, b.calendar))
    raise EvaluationFault("- does not take operands of these types")


def _moved(point: Temporal, by: Value, sign: int) -> Temporal | None:
    if not isinstance(by, Quantity):
        raise SemanticFault("to a date or time a quantity of time is added")
    unit = quantity.duration(by)
    if unit is None:
        raise EvaluationFault("the quantity has no definite length of time")
    try:
        return temporal.plus(point, by.value * sign, unit)
    except ValueError:
        raise EvaluationFault("a Time takes hours and less") from None


def _times(focus: Focus, a: Value, b: Value) -> Value | None:
    del focus
    if are_numbers(a, b):
        return _multiply(a, b)
    return quantity.times(*_as_quantities(a, b))


def _divided(focus: Focus, a: Value, b: Value) -> Value | None:
    del focus
    if are_numbers(a, b):
        return DIVISION.divide(Decimal(a), Decimal(b))  # type: ignore[arg-type]
    return quantity.times(*_as_quantities(a, b), power=-1)


def _as_quantities(a: Value, b: Value) -> tuple[Quantity, Quantity]:
    one, other = (Quantity(Decimal(v)) if are_numbers(v, v) else v for v in (a, b))  # type: ignore[arg-type]
    if isinstance(one, Quantity) and isinstance(other, Quantity):
        return one, other
    raise EvaluationFault("the operator takes numbers or quantities")


def _div(focus: Focus, a: Value, b: Value) -> Value | None:
    del focus
    whole = _whole(EXACT.divide_int, a, b)
    return None if whole is None else represented(int(whole))


def _mod(focus: Focus, a: Value, b: Value) -> Value | None:
    del focus
    left = _whole(EXACT.remainder, a, b)
    return int(left) if left is not None and isinstance(a, int) and isinstance(b, int) else left


def _whole(
    compute: Callable[[Decimal, Decimal], Decimal], a: Value, b: Value
) -> Decimal | None:
    if not are_numbers(a, b):
        raise EvaluationFault("div and mod take numbers")
    return compute(Decimal(a), Decimal(b))  # type: ignore[arg-type]


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
        "+": _computed(_plus),
        "-": _computed(_minus),
        "*": _computed(_times),
        "/": _computed(_divided),
        "div": _computed(_div),
        "mod": _computed(_mod),
    }
)
