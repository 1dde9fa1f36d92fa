"""Functions on numbers, exact where decimals can be; what has no result is empty (FHIRPath N1 5.7)."""

from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)

from resources.fhirpath.arithmetic import represented
from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault
from resources.fhirpath.function import Function, number, one, single, table, values
from resources.fhirpath.item import Item
from resources.fhirpath.quantity import DIGITS, Quantity
from resources.fhirpath.system import value_of

_Arguments = tuple[Run, ...]
_Number = int | Decimal
_TRAPS = [InvalidOperation, DivisionByZero, Overflow]
_WORK = Context(prec=DIGITS + 12, Emin=-400, Emax=400, traps=_TRAPS)
_RESULT = Context(prec=DIGITS, Emin=-400, Emax=400, traps=_TRAPS)
_WIDE = Context(prec=1000, traps=_TRAPS)
_MOST_PLACES = 28


def _number(name: str, compute: Callable[[_Number], _Number]) -> Function:
    """Give a function of one number; what cannot be computed or held is empty."""

    def call(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
        del focus, arguments
        return _computed(compute, number(items))

    return Function(name, call)


def _numbers(name: str, compute: Callable[[_Number, _Number], _Number]) -> Function:
    """Give a function of two numbers, which is empty where one of them is."""

    def call(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
        return _computed(compute, number(items), number(arguments[0](focus)))

    return Function(name, call, 1, 1)


def _computed(compute: Callable[..., _Number], *operands: _Number | None) -> list[Item]:
    if None in operands:
        return []
    try:
        return values(represented(compute(*operands)))
    except (InvalidOperation, DivisionByZero, Overflow):
        return []


def _absolute(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del focus, arguments
    found = single(items)
    value = None if found is None else value_of(found)
    match value:
        case None:
            return []
        case Quantity(held, unit, calendar):
            return values(Quantity(abs(held), unit, calendar))
        case _:
            return _computed(abs, number(items))


def _whole(rounding: str) -> Callable[[_Number], _Number]:
    return lambda value: int(Decimal(value).to_integral_value(rounding))


def _round(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    value = number(items)
    places = one(arguments[0](focus), int) if arguments else 0
    if value is None or places is None:
        return []
    if not 0 <= places <= _MOST_PLACES:
        raise EvaluationFault("round takes 0 to 28 places")
    if isinstance(value, int) and not arguments:
        return values(value)
    unit = Decimal(1).scaleb(-places)
    return values(Decimal(value).quantize(unit, ROUND_HALF_UP, _WIDE))


def _rounded(value: Decimal) -> Decimal:
    """Give a computed number with the digits that FHIRPath keeps, without the noise of the last ones."""
    return _RESULT.plus(value)


def _log(value: _Number, base: _Number) -> _Number:
    return _rounded(_WORK.divide(_WORK.ln(Decimal(value)), _WORK.ln(Decimal(base))))


def _power(value: _Number, exponent: _Number) -> _Number:
    found = _WORK.power(Decimal(value), Decimal(exponent))
    if isinstance(value, int) and isinstance(exponent, int) and found == found.to_integral_value():
        return int(found)
    return _rounded(found)


def _finite(compute: Callable[[Decimal], Decimal]) -> Callable[[_Number], _Number]:
    def checked(value: _Number) -> _Number:
        found = compute(Decimal(value))
        if not found.is_finite():
            raise InvalidOperation
        return _rounded(found)

    return checked


MATH_FUNCTIONS = table(
    Function("abs", _absolute),
    _number("ceiling", _whole(ROUND_CEILING)),
    _number("floor", _whole(ROUND_FLOOR)),
    _number("truncate", int),
    _number("exp", _finite(_WORK.exp)),
    _number("ln", _finite(_WORK.ln)),
    _number("sqrt", _finite(_WORK.sqrt)),
    _numbers("log", _log),
    _numbers("power", _power),
    Function("round", _round, 0, 1),
)
