"""DICOM dates and times to FHIR dateTime (PS3.5 6.2 DA and TM, PS3.3 C.12.1.1 Timezone Offset From UTC)."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from dicomweb_bridge import attributes

if TYPE_CHECKING:
    from datetime import tzinfo

_TIME = re.compile(r"(\d{2})(\d{2})(\d{2})?(?:\.(\d{1,6}))?", re.ASCII)
_OFFSET = re.compile(r"([+-])(0\d|1[0-4])([0-5]\d)", re.ASCII)


def date_time(day: str, time: str, offset: str, zone: tzinfo | None) -> str | None:
    """Give a dateTime as precise as is known: a date alone without time or zone, None without a date.

    `offset` is the file's own (+0100), and goes before `zone`, that of where the file came from.
    """
    digits = attributes.date_key(day)
    try:
        known = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None
    clock = _TIME.fullmatch(time.replace(":", "").strip())
    if clock is None:
        return known.isoformat()
    hour, minute, second, fraction = clock.groups()
    moment = f"{hour}:{minute}:{second or '00'}"
    try:
        local = datetime.fromisoformat(f"{known}T{moment}")
    except ValueError:
        return known.isoformat()
    east = _file_offset(offset) or _zone_offset(local, zone)
    if not east:
        return known.isoformat()
    return f"{known}T{moment}{f'.{fraction}' if fraction else ''}{east}"


def _file_offset(offset: str) -> str:
    """Give +0100 as +01:00, "" for what is no offset."""
    found = _OFFSET.fullmatch(offset.strip())
    return f"{found[1]}{found[2]}:{found[3]}" if found else ""


def _zone_offset(local: datetime, zone: tzinfo | None) -> str:
    """Give a zone's offset at a local time, "" without a zone."""
    east = local.replace(tzinfo=zone).utcoffset() if zone is not None else None
    if east is None:
        return ""
    sign = "-" if east < timedelta(0) else "+"
    hours, minutes = divmod(abs(east) // timedelta(minutes=1), 60)
    return f"{sign}{hours:02d}:{minutes:02d}"
