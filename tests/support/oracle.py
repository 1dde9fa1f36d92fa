"""What search parameters find according to another FHIRPath implementation (fhirpathpy), and to plain rules.

Nothing here uses the code under test: expressions are evaluated by the other engine, and what it gives is
compared with a query by rules written anew (FHIR R4 search.html#ptypes).
"""

from __future__ import annotations

import calendar
import functools
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fhirpathpy
from fhirpathpy.models import models

from resources.definitions import SearchParameter

# The other engine refuses these forms, so they are written in others that mean the same: `as` of several
# items, hasExtension(), and resolve(), which needs a server (the text of the reference tells).
_AS = re.compile(r"\(?([\w.]+) as (\w+)\)?")
_AS_CALL = re.compile(r"\.as\((\w+)\)")
_RESOLVE = re.compile(r"\.where\(resolve\(\) is (\w+)\)")
_HAS_EXTENSION = re.compile(r"hasExtension\(([^)]*)\)")
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

Value = Any


@functools.cache
def _compiled(path: str) -> Callable[[Any], list[Any]]:
    return fhirpathpy.compile(path, models["r4"])  # type: ignore[no-any-return]


def _rewritten(path: str, type_: str) -> str:
    path = _AS_CALL.sub(lambda m: f".ofType({_primitive(m[1])})", path)
    path = _AS.sub(lambda m: f"{m[1]}.ofType({_primitive(m[2])})", path)
    path = _HAS_EXTENSION.sub(r"extension(\1).exists()", path)
    return re.sub(r"\b(Resource|DomainResource)\.", f"{type_}.", path)


def _primitive(name: str) -> str:
    return "dateTime" if name == "DateTime" else name


def values(expression: str, resource: Any) -> list[Value]:
    """Give what an expression gives on a resource."""
    found = []
    for part in _parts(expression):
        wanted = _RESOLVE.search(part)
        path = _rewritten(_RESOLVE.sub("", part), resource["resourceType"])
        kept = _compiled(path)(resource)
        found += [v for v in kept if wanted is None or leads_to(v, wanted[1])]
    return found


def _parts(expression: str) -> Iterator[str]:
    """Split a union outside brackets."""
    depth, start = 0, 0
    for place, letter in enumerate(expression):
        depth += (letter == "(") - (letter == ")")
        if letter == "|" and depth == 0:
            yield expression[start:place].strip()
            start = place + 1
    yield expression[start:].strip()


def leads_to(value: Any, type_: str) -> bool:
    """Tell by its text whether a reference leads to a type."""
    if not isinstance(value, dict) or not isinstance(value.get("reference"), str):
        return isinstance(value, dict) and value.get("type") == type_
    steps = value["reference"].partition("/_history")[0].split("/")
    return len(steps) > 1 and steps[-2] == type_


def elements(held: SearchParameter, resource: Any) -> Iterator[list[list[Value]]]:
    """Give the values of each member of a composite, for each of its elements."""
    for part in _parts(held.expression):
        type_ = part.split(".")[0]
        if type_ != resource["resourceType"]:
            continue
        for number in range(len(_compiled(part)(resource))):
            paths = [f"{part}[{number}].{expression}" for _, expression in held.components]
            yield [
                _member(p, e, resource) for p, (_, e) in zip(paths, held.components, strict=True)
            ]


def _member(path: str, expression: str, resource: Any) -> list[Value]:
    if expression.startswith("%resource"):
        return values(expression.replace("%resource", resource["resourceType"]), resource)
    root = path.removesuffix(expression)
    return [v for part in _parts(expression) for v in values(root + part, resource)]


def asked(kind: str, value: Value) -> str | None:
    """Give a query that the value satisfies; None where it has nothing to ask for."""
    return _ASKED[kind](value)


def holds(kind: str, value: Value, query: str) -> bool:
    """Tell whether a value satisfies a query that `asked` gave."""
    return _HOLDS[kind](value, query)


def escaped(text: str) -> str:
    """Escape what has a meaning in a query."""
    return re.sub(r"([\\,|$])", r"\\\1", text)


def _split(query: str) -> list[str]:
    parts = re.findall(r"(?:[^|\\]|\\.)+|(?<=\|)(?=\||$)|^(?=\|)", query)
    return [re.sub(r"\\(.)", r"\1", part) for part in parts]


# --- token ---


def _tokens(value: Value) -> Iterator[tuple[str | None, str]]:
    """Give system and code; the system is None where the type of the element implies it."""
    if isinstance(value, bool):
        yield None, "true" if value else "false"
    elif isinstance(value, str):
        yield None, value
    elif isinstance(value, dict) and "coding" in value:
        for coding in value["coding"]:
            yield from _tokens(coding)
    elif isinstance(value, dict) and "code" in value and "value" not in value:
        yield value.get("system", ""), value["code"]
    elif isinstance(value, dict) and "use" in value and value.get("system") in _CONTACT:
        yield None, value.get("value", "")
    elif isinstance(value, dict) and "value" in value:
        system = value.get("system", "")
        yield (None if system in _CONTACT else system), value["value"]


_CONTACT = {"phone", "fax", "email", "pager", "url", "sms", "other"}


def _ask_token(value: Value) -> str | None:
    for system, code in _tokens(value):
        if isinstance(code, str) and code:
            return f"{escaped(system)}|{escaped(code)}" if system else escaped(code)
    return None


def _token_holds(value: Value, query: str) -> bool:
    system, code = ([None, *_split(query)])[-2:]
    return any(c == code and (system is None or s == system) for s, c in _tokens(value))


# --- string ---


def _strings(value: Value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name in _TEXTS:
            held = value.get(name)
            yield from (
                text
                for text in (held if isinstance(held, list) else [held])
                if isinstance(text, str)
            )


_TEXTS = ("text", "family", "given", "prefix", "suffix")
_TEXTS += ("line", "city", "district", "state", "postalCode", "country")


def plain(text: str) -> str:
    """Give a text without case, accents and double spaces."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return " ".join("".join(c for c in folded if not unicodedata.combining(c)).split())


def _ask_string(value: Value) -> str | None:
    text = next(_strings(value), "")
    return escaped(plain(text)[:6].strip()) or None


def _string_holds(value: Value, query: str) -> bool:
    start = plain(_split(query)[0])
    return any(plain(text).startswith(start) for text in _strings(value))


# --- date ---

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)


def span(text: str) -> tuple[datetime, datetime]:
    """Give the first instant of a date and the first after it."""
    found = _DATE.fullmatch(text)
    assert found, text
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    whole = f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}"
    start = datetime.fromisoformat(whole + (zone or "+00:00").replace("Z", "+00:00"))
    if fraction:
        start += timedelta(milliseconds=int(float(fraction) * 1000))
        return start, start + timedelta(milliseconds=1)
    if hour:
        return start, start + (timedelta(seconds=1) if second else timedelta(minutes=1))
    if day:
        return start, start + timedelta(days=1)
    if month:
        return start, start + timedelta(days=calendar.monthrange(int(year), int(month))[1])
    return start, start.replace(year=start.year + 1)


def _dates(value: Value) -> tuple[datetime, datetime] | None:
    if isinstance(value, str):
        return span(value) if _DATE.fullmatch(value) else None
    if not isinstance(value, dict):
        return None
    if "start" in value or "end" in value:
        low = span(value["start"])[0] if "start" in value else _EARLIEST
        return low, span(value["end"])[1] if "end" in value else _LATEST
    bounds = value.get("repeat", {}).get("boundsPeriod")
    spans = [span(event) for event in value.get("event", ())]
    spans += [found for found in [_dates(bounds)] if found is not None]
    return (min(s for s, _ in spans), max(e for _, e in spans)) if spans else None


def _ask_date(value: Value) -> str | None:
    if _dates(value) is None:
        return None
    if isinstance(value, str):
        return value
    ends = [value.get("start"), value.get("end"), *value.get("event", ())]
    ends += list(value.get("repeat", {}).get("boundsPeriod", {}).values())
    return "ge" + next(text for text in ends if isinstance(text, str))


def _date_holds(value: Value, query: str) -> bool:
    held = _dates(value)
    if held is None:
        return False
    low, high = span(query.removeprefix("ge"))
    within = low <= held[0] and held[1] <= high
    return within or (query.startswith("ge") and held[1] > high)


# --- number and quantity ---


def _number(value: Value) -> tuple[Decimal, Decimal] | None:
    """Give the ends of a number, of a quantity, or of a range."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal | float):
        return Decimal(str(value)), Decimal(str(value))
    if not isinstance(value, dict):
        return None
    if "low" in value or "high" in value:
        low = value.get("low", {}).get("value", "-Infinity")
        return Decimal(str(low)), Decimal(str(value.get("high", {}).get("value", "Infinity")))
    if "value" not in value or "comparator" in value:
        return None
    return Decimal(str(value["value"])), Decimal(str(value["value"]))


def _ask_number(value: Value) -> str | None:
    ends = _number(value)
    finite = [end for end in ends or () if end.is_finite()]
    prefix = "" if ends and ends[0] == ends[1] else "ge"
    return f"{prefix}{finite[0]}" if finite else None


def _number_holds(value: Value, query: str) -> bool:
    ends = _number(value)
    if ends is None:
        return False
    number = Decimal(query.removeprefix("ge"))
    if query.startswith("ge"):
        return ends[1] >= number
    half = Decimal(5).scaleb(int(number.as_tuple().exponent) - 1)
    return number - half <= ends[0] and ends[1] < number + half


def _unit(value: Value) -> tuple[str, str, str]:
    if "currency" in value:
        return "urn:iso:std:iso:4217", value["currency"], ""
    held = value.get("low") or value.get("high") or value
    return held.get("system", ""), held.get("code", ""), held.get("unit", "")


def _ask_quantity(value: Value) -> str | None:
    number = _ask_number(value)
    if number is None:
        return None
    system, code, unit = _unit(value)
    if system and code:
        return f"{number}|{escaped(system)}|{escaped(code)}"
    return f"{number}||{escaped(unit)}" if unit else number


def _quantity_holds(value: Value, query: str) -> bool:
    number, system, code = ([*_split(query), "", ""])[:3]
    if not isinstance(value, dict) or not _number_holds(value, number):
        return False
    held_system, held_code, unit = _unit(value)
    if system:
        return (held_system, held_code) == (system, code)
    return not code or code in {held_code, unit}


# --- reference and uri ---


def _ask_reference(value: Value) -> str | None:
    text = _target(value)
    return escaped(text) if text and not text.startswith("#") and "?" not in text else None


def _target(value: Value) -> str | None:
    if isinstance(value, str):
        return value
    if "resourceType" in value:
        return f"{value['resourceType']}/{value.get('id')}"
    text = value.get("reference")
    return text.partition("/_history/")[0] if isinstance(text, str) else None


def _reference_holds(value: Value, query: str) -> bool:
    text, wanted = _target(value), re.sub(r"\\(.)", r"\1", query)
    return text is not None and wanted in {text, text.partition("|")[0]}


def _ask_uri(value: Value) -> str | None:
    return escaped(value) if isinstance(value, str) else None


_ASKED: dict[str, Callable[[Value], str | None]] = {
    "token": _ask_token,
    "string": _ask_string,
    "date": _ask_date,
    "number": _ask_number,
    "quantity": _ask_quantity,
    "reference": _ask_reference,
    "uri": _ask_uri,
}
_HOLDS: dict[str, Callable[[Value, str], bool]] = {
    "token": _token_holds,
    "string": _string_holds,
    "date": _date_holds,
    "number": _number_holds,
    "quantity": _quantity_holds,
    "reference": _reference_holds,
    "uri": _reference_holds,
}
