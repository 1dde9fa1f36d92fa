"""Functions of time, and of the ends and digits of what is partly known (FHIRPath N1 5.9, 3.0 boundaries)."""

from calendar import monthrange
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from resources.fhirpath.environment import Focus, Run
from resources.fhirpath.faults import EvaluationFault
from resources.fhirpath.function import Function, one, single, table, values
from resources.fhirpath.item import Item
from resources.fhirpath.quantity import Quantity
from resources.fhirpath.system import Value, value_of
from resources.fhirpath.temporal import DAY, HOUR, MINUTE, MONTH, SECOND, YEAR, Temporal

_Arguments = tuple[Run, ...]
_WIDE = Context(prec=1000)
_MOST_PLACES = 31
_DEFAULT_PLACES = 8
_DIGITS = {4: MONTH, 6: DAY, 8: HOUR, 10: MINUTE, 12: SECOND, 14: SECOND + 1, 17: SECOND + 1}
_TIME_DIGITS = {2: 1, 4: 2, 6: 3, 9: 3}
_MILLISECONDS = {"Date": 8, "DateTime": 17, "Time": 9}
_EARLIEST, _LATEST = 14 * 60, -12 * 60


def _boundary(name: str, *, high: bool) -> Function:
    def call(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
        found = single(items)
        value = None if found is None else value_of(found)
        digits = one(arguments[0](focus), int) if arguments else None
        if value is None or (arguments and digits is None):
            return []
        return values(boundary(value, digits, high=high))

    return Function(name, call, 0, 1)


def boundary(value: Value, digits: int | None, *, high: bool) -> Value | None:
    """Give the least or greatest that a value of its precision can mean; None for digits there are not."""
    match value:
        case bool() | str():
            raise EvaluationFault("only numbers, quantities, dates and times have boundaries")
        case int() | Decimal():
            return _number(Decimal(value), digits, high=high)
        case Quantity():
            found = _number(value.value, digits, high=high)
            return None if found is None else replace(value, value=found)
        case Temporal():
            return _temporal(value, digits, high=high)


def _number(value: Decimal, digits: int | None, *, high: bool) -> Decimal | None:
    places = _DEFAULT_PLACES if digits is None else digits
    if not 0 <= places <= _MOST_PLACES:
        return None
    half = Decimal((0, (5,), min(0, int(value.as_tuple().exponent)) - 1))
    edge = _WIDE.add(value, half if high else -half)
    return edge.quantize(Decimal(1).scaleb(-places), ROUND_CEILING if high else ROUND_FLOOR, _WIDE)


def _temporal(value: Temporal, digits: int | None, *, high: bool) -> Temporal | None:
    wanted = _MILLISECONDS[value.kind] if digits is None else digits
    count = (_TIME_DIGITS if value.kind == "Time" else _DIGITS).get(wanted)
    if count is None:
        return None
    parts = list(value.parts)
    last_hour = len(parts) == (1 if value.kind == "Time" else MINUTE)
    if last_hour:
        parts.append(0)  # FHIR has no hours without minutes: 08 is 08:00
    first = HOUR if value.kind == "Time" else YEAR
    while len(parts) < count:
        parts.append(_edge(parts, first + len(parts), high=high))
    if wanted in {9, 17}:
        parts[-1] = _with_milliseconds(parts[-1], high=high)
    offset = value.offset
    if offset is None and value.kind != "Time" and count > HOUR:
        offset = _LATEST if high else _EARLIEST
    kept = tuple(parts[:count])
    kind = "Date" if value.kind == "Date" and len(kept) <= HOUR else value.kind
    return Temporal(kind if kind == "Time" or len(kept) <= HOUR else "DateTime", kept, offset)


def _edge(parts: list[int | Decimal], place: int, *, high: bool) -> int | Decimal:
    """Give the first or last value of a part, the day by its month."""
    if not high:
        return 1 if place in {MONTH, DAY} else 0
    if place == DAY:
        return monthrange(int(parts[YEAR]), int(parts[MONTH]))[1]
    return {MONTH: 12, HOUR: 23}.get(place, 59)


def _with_milliseconds(second: int | Decimal, *, high: bool) -> Decimal:
    digits = len(str(second).partition(".")[2])
    missing = "9" if high else "0"
    written = f"{second}" if digits else f"{second}."
    return Decimal(written + missing * max(0, 3 - digits))


def _precision(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
    del focus, arguments
    found = single(items)
    value = None if found is None else value_of(found)
    match value:
        case None:
            return []
        case Temporal():
            return values(sum(c.isdigit() for c in str(replace(value, offset=None))))
        case bool() | str():
            raise EvaluationFault("only numbers, dates and times have a precision")
        case Quantity(number):
            return values(_places(number))
        case _:
            return values(_places(Decimal(value)))


def _places(number: Decimal) -> int:
    return max(0, -int(number.as_tuple().exponent))


def _clock(name: str, kind: str) -> Function:
    def call(focus: Focus, items: list[Item], arguments: _Arguments) -> list[Item]:
        """Give the moment of the evaluation, as a date, a time or both."""
        del items, arguments
        now = focus.state.now()
        match kind:
            case "Date":
                return values(Temporal("Date", now.parts[:HOUR]))
            case "Time":
                return values(Temporal("Time", now.parts[HOUR:]))
            case _:
                return values(now)

    return Function(name, call)


TIME_FUNCTIONS = table(
    _clock("now", "DateTime"),
    _clock("today", "Date"),
    _clock("timeOfDay", "Time"),
    _boundary("lowBoundary", high=False),
    _boundary("highBoundary", high=True),
    Function("precision", _precision),
)
