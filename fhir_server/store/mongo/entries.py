"""Index values as the entries of one array, `index`, which one compound multikey index covers.

An entry has a name `a` and a value `v`; `w` is a token's system or a date's high end. Numbers are doubles, as
`match.py` says; `h` is the high end of one that is an interval. A place has `x` and `y` beside. A repetition
of an element, for composites, has its own entries in `e`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from fhir_server.search.values import DateValue, IndexValues, ReferenceValue
from fhir_server.store.mongo.keys import entry

Entry = dict[str, Any]

WIDTHS: Final = {"d": 86_400_000, "y": 366 * 86_400_000}
"""By letter, the longest interval in milliseconds: a day, a year. Its low end tells about where it lies."""


def of_values(values: IndexValues, type: str) -> list[Entry]:
    """Give the entries of one resource."""
    made: list[Entry] = [
        {"a": entry("t", type, v.atom), "v": v.code, "w": v.system} for v in values.tokens
    ]
    for reference in values.references:
        made += _reference(reference, type)
    for text in values.texts:
        made.append({"a": entry("s", type, text.atom), "v": text.normal})
        if text.exact:
            made.append({"a": entry("x", type, text.atom), "v": text.exact})
    made += [_date(date, type) for date in values.dates]
    made += [{"a": entry("u", type, uri.atom), "v": uri.value} for uri in values.uris]
    made += [_number("n", type, n.atom, n.low, n.high) for n in values.numbers]
    for q in values.quantities:
        made.append({**_number("q", type, q.atom, q.low, q.high), "s": q.system, "q": q.code})
    for p in values.positions:
        made.append({"a": entry("p", type, p.atom), "v": p.z, "x": p.x, "y": p.y})
    for element in values.elements:
        inside = of_values(element.values, type)
        made.append({"a": entry("e", type, element.atom), "e": inside})
    return made


def _reference(value: ReferenceValue, type: str) -> list[Entry]:
    """Give one entry for a resource here; for a canonical with a version also one without it."""
    if value.type or value.id:
        return [{"a": entry("r", type, value.atom), "v": f"{value.type}/{value.id}"}]
    made: list[Entry] = [{"a": entry("l", type, value.atom), "v": value.url}]
    canonical, bar, _ = value.url.partition("|")
    if bar:
        made.append({"a": entry("c", type, value.atom), "v": canonical})
    return made


def _date(value: DateValue, type: str) -> Entry:
    wide = value.high - value.low
    letter = next((name for name, width in WIDTHS.items() if 0 <= wide <= width), "w")
    return {"a": entry(letter, type, value.atom), "v": value.low, "w": value.high}


def _number(letter: str, type: str, atom: str, low: Decimal, high: Decimal) -> Entry:
    least, most = float(low), float(high)
    if least == most:
        return {"a": entry(letter, type, atom), "v": least}
    return {"a": entry(letter.upper(), type, atom), "v": least, "h": most}
