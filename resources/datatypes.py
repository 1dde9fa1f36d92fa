"""Dates as intervals, decimals with their precision, strings to compare (FHIR R4 datatypes.html).

Instants are integers: milliseconds since 1970-01-01T00:00:00Z. A date without a zone is read as UTC.
"""

import re
import unicodedata
from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

MIN_INSTANT = -(2**62)
MAX_INSTANT = 2**62

DAY = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_DECIMAL = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_PLAIN_LENGTHS = (20, 25)
_EXACT_LENGTH = 24
_WHOLE_SECOND = 1000
_WHOLE_MINUTE = 60_000
_MONTHS = 12
_LARGEST_EXPONENT = 308


def interval(value: str) -> tuple[int, int]:
    """Give the instants that a date, dateTime or instant covers, both ends included, in ms UTC.

    Partial dates are whole years, months, days or minutes (search.html#date). Raises ValueError if it
    is none.
    """
    if len(value) in _PLAIN_LENGTHS and (low := _plain(value)) is not None:
        return low, low + _WHOLE_SECOND - 1
    if len(value) == _EXACT_LENGTH and (low := _exact(value)) is not None:
        return low, low
    found = _DATE.fullmatch(value)
    if found is None:
        raise ValueError("not a date or dateTime")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    if hour is None:
        return _whole_days(int(year), month, day)
    low = _midnight(int(year), int(month), int(day)) + _time_of_day(hour, minute, second)
    low -= _offset(zone)
    if second is None:
        return low, low + _WHOLE_MINUTE - 1
    if fraction is None:
        return low, low + _WHOLE_SECOND - 1
    low += int(fraction[:3].ljust(3, "0"))
    return low, low + 10 ** max(0, 3 - len(fraction)) - 1


def _plain(value: str) -> int | None:
    """Give the instant of a date, time of whole seconds and zone, the commonest form; None if unsure."""
    if value[10] != "T" or value[7] != "-" or value[13] != ":" or value[19] not in "Z+-":
        return None
    try:
        return int(datetime.fromisoformat(value).timestamp()) * 1000
    except ValueError:
        return None


def _exact(value: str) -> int | None:
    """Give an instant with milliseconds in UTC, as servers write their own; None if unsure."""
    fraction = value[20:23]
    if value[19] != "." or value[23] != "Z" or not (fraction.isascii() and fraction.isdecimal()):
        return None
    low = _plain(value[:19] + "Z")
    return None if low is None else low + int(fraction)


def _whole_days(year: int, month: str | None, day: str | None) -> tuple[int, int]:
    if day is not None:
        low = _midnight(year, int(month or 1), int(day))
        return low, low + DAY - 1
    if month is not None:
        low = _midnight(year, int(month), 1)
        return low, low + monthrange(year, int(month))[1] * DAY - 1
    return _midnight(year, 1, 1), _midnight(year, _MONTHS, 31) + DAY - 1


def _midnight(year: int, month: int, day: int) -> int:
    return (date(year, month, day).toordinal() - _EPOCH) * DAY


def _time_of_day(hour: str, minute: str, second: str | None) -> int:
    hours, minutes, seconds = int(hour), int(minute), int(second or 0)
    if hours > 23 or minutes > 59 or seconds > 60:  # a leap second is :60
        raise ValueError("not a time of day")
    return ((hours * 60 + minutes) * 60 + seconds) * 1000


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError("not a time zone")
    offset = (hours * 60 + minutes) * _WHOLE_MINUTE
    return -offset if zone[0] == "-" else offset


def period(value: Mapping[str, Any]) -> tuple[int, int] | None:
    """Give the instants of a Period; an absent end is open, and no ends at all are None."""
    start, end = value.get("start"), value.get("end")
    if start is None and end is None:
        return None
    low = MIN_INSTANT if start is None else interval(start)[0]
    high = MAX_INSTANT if end is None else interval(end)[1]
    return low, high


def timing(value: Mapping[str, Any]) -> tuple[int, int] | None:
    """Give the outer limits of a Timing: its events and the bounds of its repetition (search.html#date)."""
    limits = list(_timing_limits(value))
    if not limits:
        return None
    return min(low for low, _ in limits), max(high for _, high in limits)


def _timing_limits(value: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    for event in value.get("event", ()):
        if event is not None:
            yield interval(event)
    bounds = value.get("repeat", {}).get("boundsPeriod")
    if bounds and (limits := period(bounds)):
        yield limits


def instant(milliseconds: int) -> str:
    """Write an instant in UTC with milliseconds: 2024-01-31T10:00:00.000Z."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def precision(value: Decimal) -> tuple[Decimal, Decimal]:
    """Give the ends [low, high) of what a number means by the digits it is written with (search.html#number).

    Half a unit of the last digit each way: 100 is 99.5 to 100.5, 100.00 is 99.995 to 100.005. A number
    written with a positive exponent follows the specification's example, 1e2 is 95 to 105. Raises
    ValueError for what no double can hold, and NaN.
    """
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or abs(value.adjusted()) > _LARGEST_EXPONENT:
        raise ValueError("not a number that can be compared")
    half = Decimal((0, (5,), exponent - 1 if exponent <= 0 else exponent - 2))
    return value - half, value + half


def decimal(text: str) -> Decimal:
    """Read a decimal as R4 writes one, also with an exponent; raises ValueError (datatypes.html#decimal)."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError("not a decimal")
    return Decimal(text)


def normal(text: str) -> str:
    """Give a string as searches compare it: no case, no accents, single spaces (search.html#string)."""
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    plain = "".join(c for c in folded if not unicodedata.combining(c))
    return " ".join(plain.split())
