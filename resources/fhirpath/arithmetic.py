"""+, -, *, /, div and mod: exact on decimals, on quantities, on dates and times (FHIRPath N1 6.6)."""

from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from types import MappingProxyType

from resources.fhirpath import quantity, temporal
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault, SemanticFault
from resources.fhirpath.function import single, values
from resources.fhirpath.item import Item
from resources.fhirpath.quantity import Quantity
from resources.fhirpath.system import Value, has_parts, item, value_of
from resources.fhirpath.temporal import Temporal

Operator = Callable[[Focus, Run, Run], list[Item]]
_Number = int | Decimal

_TRAPS = [InvalidOperation, DivisionByZero, Overflow]
_EXACT = Context(prec=100, Emin=-400, Emax=400, traps=_TRAPS)
_DIVISION = Context(prec=quantity.DIGITS, Emin=-400, Emax=400, traps=_TRAPS)
_LARGEST = 2**31


def _computed(compute: Callable[[Focus, Value, Value], Value | None]) -> Operator:
    """Give an operator on two single values; empty on either side gives empty."""

    def operate(focus: Focus, left: Run, right: Run) -> list[Item]:
        """Compute with both values; what arithmetic has no answer for gives empty (FHIRPath 6.6)."""
        a, b = single(left(focus)), single(right(focus))
        if a is None or b is None:
            return []
        one, other = value_of(a), value_of(b)
        if has_parts(a) or has_parts(b):
            raise EvaluationFault("the operator takes values, not elements with parts")
        if one is None or other is None:
            return []
        try:
            return values(compute(focus, one, other))
        except (DivisionByZero, InvalidOperation, Overflow):
            return []

    return operate


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


_add = _arithmetic(lambda a, b: a + b, _EXACT.add)
_subtract = _arithmetic(lambda a, b: a - b, _EXACT.subtract)
_multiply = _arithmetic(lambda a, b: a * b, _EXACT.multiply)


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
        return _DIVISION.divide(Decimal(a), Decimal(b))  # type: ignore[arg-type]
    return quantity.times(*_as_quantities(a, b), power=-1)


def _as_quantities(a: Value, b: Value) -> tuple[Quantity, Quantity]:
    one, other = (Quantity(Decimal(v)) if are_numbers(v, v) else v for v in (a, b))  # type: ignore[arg-type]
    if isinstance(one, Quantity) and isinstance(other, Quantity):
        return one, other
    raise EvaluationFault("the operator takes numbers or quantities")


def _div(focus: Focus, a: Value, b: Value) -> Value | None:
    del focus
    whole = _whole(_EXACT.divide_int, a, b)
    return None if whole is None else represented(int(whole))


def _mod(focus: Focus, a: Value, b: Value) -> Value | None:
    del focus
    left = _whole(_EXACT.remainder, a, b)
    return int(left) if left is not None and isinstance(a, int) and isinstance(b, int) else left


def _whole(compute: Callable[[Decimal, Decimal], Decimal], a: Value, b: Value) -> Decimal | None:
    if not are_numbers(a, b):
        raise EvaluationFault("div and mod take numbers")
    return compute(Decimal(a), Decimal(b))  # type: ignore[arg-type]


def signed(operator: str, operand: Run) -> Run:
    """Give what puts + or - before a single number or quantity."""

    def run(focus: Focus) -> list[Item]:
        found = single(operand(focus))
        if found is None:
            return []
        value = value_of(found)
        if isinstance(value, bool) or not isinstance(value, _SIGNED):
            raise EvaluationFault("only numbers and quantities have a sign")
        return [item(value if operator == "+" else _negative(value))]

    return run


_SIGNED = (int, Decimal, Quantity)


def _negative(value: Value) -> Value:
    match value:
        case Quantity(number, unit, calendar):
            return Quantity(-number, unit, calendar)
        case int() | Decimal():
            return -value
        case _:
            raise EvaluationFault("only numbers and quantities have a sign")


ARITHMETIC: Mapping[str, Operator] = MappingProxyType(
    {
        "+": _computed(_plus),
        "-": _computed(_minus),
        "*": _computed(_times),
        "/": _computed(_divided),
        "div": _computed(_div),
        "mod": _computed(_mod),
    }
)
