"""Dates, dateTimes and times of partial precision: read, compared, added to (FHIRPath N1 4, 6.2, 6.6.7)."""

import re
from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

Kind = Literal["Date", "DateTime", "Time"]
Part = int | Decimal

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?"
    r"(?P<t>T(?:(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?(Z|[+-]\d\d:\d\d)?)?)?",
    re.ASCII,
)
_TIME = re.compile(r"T?(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?", re.ASCII)

YEAR, MONTH, DAY, HOUR, MINUTE, SECOND = range(6)
WITH_TIME = HOUR + 1
_FIRST = (1, 1, 1, 0, 0, 0)
_HIGHEST = (9999, 12, 31, 24, 59, 60)
_UNKNOWN_ZONE = 14 * 60 * 60


@dataclass(frozen=True, slots=True)
class Temporal:
    """A point in time as precise as its parts: year to second, or hour to second for a Time.

    `offset` is the zone in minutes east of UTC, None where there is none.
    """

    kind: Kind
    parts: tuple[Part, ...]
    offset: int | None = None

    def __str__(self) -> str:
        if self.kind == "Time":
            return _clock(self.parts)
        date = "-".join(f"{p:0{4 if i == 0 else 2}d}" for i, p in enumerate(self.parts[:HOUR]))
        if len(self.parts) <= HOUR:
            return date
        return f"{date}T{_clock(self.parts[HOUR:])}{_zone(self.offset)}"


def _clock(parts: tuple[Part, ...]) -> str:
    whole = ":".join(f"{int(part):02d}" for part in parts)
    fraction = str(parts[-1]).partition(".")[2] if isinstance(parts[-1], Decimal) else ""
    return f"{whole}.{fraction}" if fraction else whole


def _zone(offset: int | None) -> str:
    if offset is None:
        return ""
    if offset == 0:
        return "Z"
    hours, minutes = divmod(abs(offset), 60)
    return f"{'+' if offset > 0 else '-'}{hours:02d}:{minutes:02d}"


def date(text: str) -> Temporal | None:
    """Read YYYY, YYYY-MM or YYYY-MM-DD; None for anything else."""
    found = date_time(text)
    if found is None or "T" in text:
        return None
    return replace(found, kind="Date")


def date_time(text: str) -> Temporal | None:
    """Read a date with or without a time and zone; None for anything else."""
    found = _DATE.fullmatch(text)
    if found is None or (found[5] and not found[3]):
        return None
    parts = _numbers(found[1], found[2], found[3], found[5], found[6], found[7])
    if not _possible(parts, 0) or (len(parts) > DAY and parts[DAY] > _last_day(parts)):
        return None
    return Temporal("DateTime", parts, _minutes(found[8]))


def time(text: str) -> Temporal | None:
    """Read hh, hh:mm or hh:mm:ss with a fraction, with or without T before it; None for anything else."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    parts = _numbers(*found.groups())
    return Temporal("Time", parts) if _possible(parts, HOUR) else None


def _numbers(*groups: str | None) -> tuple[Part, ...]:
    return tuple(Decimal(g) if "." in g else int(g) for g in groups if g is not None)


def _possible(parts: tuple[Part, ...], first: int) -> bool:
    limits = zip(parts, _FIRST[first:], _HIGHEST[first:], strict=False)
    return all(low <= part <= high for part, low, high in limits)


def _last_day(parts: tuple[Part, ...]) -> int:
    return monthrange(int(parts[YEAR]), int(parts[MONTH]))[1]


def _minutes(zone: str | None) -> int | None:
    if zone is None:
        return None
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return -minutes if zone[0] == "-" else minutes


def seconds(value: Temporal) -> Decimal:
    """Give a dateTime as seconds of its own clock since year 1, missing parts being the lowest."""
    parts = (*value.parts, *_FIRST[len(value.parts) :])
    days = datetime(int(parts[0]), int(parts[1]), int(parts[2])).toordinal()  # noqa: DTZ001 - no zone
    clock = (int(parts[HOUR]) * 60 + int(parts[MINUTE])) * 60 + Decimal(parts[SECOND])
    return days * 86_400 + clock


def compare(left: Temporal, right: Temporal) -> int | None:
    """Give -1, 0 or 1, or None where the precision or the missing zone of one leaves it open.

    Seconds and their fractions are one precision. Raises TypeError for a Time against a date.
    """
    if (left.kind == "Time") != (right.kind == "Time"):
        raise TypeError("a Time is not compared to a date")
    timed = min(len(left.parts), len(right.parts)) >= WITH_TIME and left.kind != "Time"
    if timed and (left.offset is None) != (right.offset is None):
        return _apart(left, right)
    if timed and left.offset != right.offset:
        left, right = in_utc(left), in_utc(right)
    for a, b in zip(left.parts, right.parts, strict=False):
        if a != b:
            return -1 if a < b else 1
    return 0 if len(left.parts) == len(right.parts) else None


def _apart(left: Temporal, right: Temporal) -> int | None:
    """Compare where only one has a zone: decided if they are further apart than any zone can be."""
    gap = (seconds(left) - (left.offset or 0) * 60) - (seconds(right) - (right.offset or 0) * 60)
    if abs(gap) <= _UNKNOWN_ZONE:
        return None
    return -1 if gap < 0 else 1


def in_utc(value: Temporal) -> Temporal:
    """Give the same instant in UTC with the same precision; what has no zone or time stays."""
    if value.offset is None or len(value.parts) < WITH_TIME:
        return value
    parts = _moved(value.parts, timedelta(minutes=-value.offset))
    return value if parts is None else Temporal(value.kind, parts, 0)


def _moved(parts: tuple[Part, ...], by: timedelta) -> tuple[Part, ...] | None:
    """Give the parts of a dateTime moved, with their precision; None outside the years 1 to 9999."""
    whole = (*(int(part) for part in parts), *_FIRST[len(parts) :])
    fraction = parts[SECOND] % 1 if len(parts) > SECOND else 0
    year, month, day, hour, minute, second = whole
    try:
        moved = datetime(year, month, day, hour % 24, minute, min(second, 59)) + by  # noqa: DTZ001
    except OverflowError:
        return None
    found: tuple[Part, ...] = moved.timetuple()[:6]
    if fraction or (len(parts) > SECOND and isinstance(parts[SECOND], Decimal)):
        found = (*found[:SECOND], Decimal(found[SECOND]) + fraction)
    return found[: len(parts)]


def plus(value: Temporal, amount: Decimal, unit: str) -> Temporal | None:
    """Add an amount of a calendar unit (year … millisecond); None where no date can hold the result.

    An amount of more than seconds is cut to a whole number, one finer than the precision is converted to
    it. What is past the end of a month becomes its last day. Raises ValueError for a date's unit on a Time.
    """
    if value.kind == "Time":
        return _time_plus(value, amount, unit)
    if unit in {"year", "month"}:
        return _months_plus(value, int(amount) * (12 if unit == "year" else 1))
    precise = len(value.parts)
    moved = _exactly(amount, unit)
    if precise <= MONTH + 1:
        months = int(moved / 86_400) // 30 if moved >= 0 else -(-int(moved / 86_400) // 30)
        return _months_plus(value, months)
    return _seconds_plus(value, moved)


_SECONDS: dict[str, Part] = {
    "week": 604_800,
    "day": 86_400,
    "hour": 3600,
    "minute": 60,
    "second": 1,
    "millisecond": Decimal("0.001"),
}


def _exactly(amount: Decimal, unit: str) -> Decimal:
    whole = amount if unit in {"second", "millisecond"} else Decimal(int(amount))
    return whole * _SECONDS[unit]


def _months_plus(value: Temporal, months: int) -> Temporal | None:
    if len(value.parts) == MONTH:
        months = int(months / 12) * 12
    year, month = divmod(int(value.parts[YEAR]) * 12 + _month(value) - 1 + months, 12)
    if not 1 <= year <= _HIGHEST[YEAR]:
        return None
    parts: tuple[Part, ...] = (year, month + 1, *value.parts[DAY:])
    if len(parts) > DAY:
        last = monthrange(year, month + 1)[1]
        parts = (year, month + 1, min(int(parts[DAY]), last), *parts[HOUR:])
    return replace(value, parts=parts[: len(value.parts)])


def _month(value: Temporal) -> int:
    return int(value.parts[MONTH]) if len(value.parts) > MONTH else 1


def _seconds_plus(value: Temporal, amount: Decimal) -> Temporal | None:
    """Add seconds to what is at least as precise as a day, in whole units of its precision."""
    unit = {DAY: 86_400, HOUR: 3600, MINUTE: 60}.get(len(value.parts) - 1, 0)
    if unit:
        amount = Decimal(int(amount / unit) * unit)
    if abs(amount) > 86_400 * 366 * _HIGHEST[YEAR]:
        return None
    parts = value.parts
    if len(parts) > SECOND:
        total = parts[SECOND] + amount
        amount = Decimal(total // 1)
        left = total - amount
        parts = (*parts[:SECOND], left if left or isinstance(parts[SECOND], Decimal) else 0)
    moved = _moved(parts, timedelta(seconds=int(amount)))
    return None if moved is None else replace(value, parts=moved)


def _time_plus(value: Temporal, amount: Decimal, unit: str) -> Temporal:
    if unit not in {"hour", "minute", "second", "millisecond"}:
        raise ValueError("a Time takes hours and less")
    day = Temporal("DateTime", (2000, 1, 15, *value.parts))
    moved = _seconds_plus(day, _exactly(amount, unit) % 86_400)
    return value if moved is None else Temporal("Time", moved.parts[HOUR:])
