"""HL7 v2 TS, DTM and DT as FHIR date and dateTime (HL7 v2.5.1 §2.A.22; FHIR R4 datatypes.html#dateTime).

A time without a zone takes the sender's configured zone, else that of MSH-7, which the standard makes
the message's default; where there is none it keeps the precision of a date.
"""

import re
from datetime import UTC, date, datetime, time, tzinfo
from zoneinfo import ZoneInfo

_DTM = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(\.\d{1,4})?)?)?)?)?)?([+-]\d{4})?",
    re.ASCII,
)


class Zone:
    """How times without a zone are read: by a zone's IANA name or offset (+01:00), by MSH-7's, or not."""

    def __init__(self, name: str | None = None, message_time: str = "") -> None:
        self._zone = _zone(name) if name else None
        found = _DTM.fullmatch(message_time)
        self._offset = _offset(found[8]) if found and found[8] else ""

    def at(self, moment: datetime) -> str:
        """Give the offset at a local time as FHIR writes it, or nothing where no zone is known."""
        if self._zone is None:
            return self._offset
        offset = moment.replace(tzinfo=self._zone).strftime("%z")
        return _offset(offset[:5])


def date_time(value: str, zone: Zone) -> str | None:
    """Give a FHIR dateTime with the precision that was sent, or None if it is no date.

    Minutes are completed by zero seconds, as FHIR asks; an hour without minutes stays a date.
    """
    found = _DTM.fullmatch(value.strip())
    if found is None:
        return None
    day = _date(found)
    if day is None or found[5] is None:
        return day
    hour, minute, second = int(found[4]), int(found[5]), int(found[6] or 0)
    try:
        moment = datetime.combine(date.fromisoformat(day), time(hour, minute, min(second, 59)))
    except ValueError:
        return None
    offset = _offset(found[8]) if found[8] else zone.at(moment)
    if second > 60:
        return None
    clock = f"{hour:02}:{minute:02}:{second:02}{found[7] or ''}"
    return f"{day}T{clock}{offset}" if offset else day


def day(value: str) -> str | None:
    """Give a FHIR date: the day, month or year of a time as it was written, or None if it is no date."""
    found = _DTM.fullmatch(value.strip())
    return _date(found) if found else None


def instant(value: str, zone: Zone) -> int | None:
    """Give milliseconds since 1970 UTC of a complete time with a known zone, or None."""
    text = date_time(value, zone)
    if text is None or "T" not in text:
        return None
    return int(
        datetime.fromisoformat(text.replace(":60", ":59")).astimezone(UTC).timestamp() * 1000
    )


def _zone(name: str) -> tzinfo | None:
    """Give the zone of an IANA name or an offset; raises ValueError or ZoneInfoNotFoundError."""
    return datetime.strptime(name, "%z").tzinfo if name[0] in "+-" else ZoneInfo(name)


def _date(found: re.Match[str]) -> str | None:
    """Give year, month and day as far as they go, if there is such a day."""
    year, month, day_of_month = found[1], found[2], found[3]
    try:
        date(int(year), int(month or 1), int(day_of_month or 1))
    except ValueError:
        return None
    return "-".join(part for part in (year, month, day_of_month) if part)


def _offset(text: str) -> str:
    """Give an offset as FHIR writes it, or nothing if there is no such offset."""
    hours, minutes = int(text[1:3]), int(text[3:5])
    inside = (hours < 14 and minutes < 60) or (hours == 14 and minutes == 0)
    return f"{text[:3]}:{text[3:5]}" if inside else ""
