"""QIDO-RS: query text to a query, found records to DICOM JSON (PS3.18 8.3.4, 10.6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from dicomweb_bridge import attributes
from dicomweb_bridge.archive.port import Match, Query, Record, Where
from dicomweb_bridge.attributes import BY_KEYWORD, BY_TAG, Attributes, Key, Level
from resources import outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT_LIMIT = 100
MOST = 1000
"""More results than these are never given at once; a Warning header tells that there are more."""

_ABOVE: dict[Level, tuple[Level, ...]] = {
    "study": ("study",),
    "series": ("study", "series"),
    "instance": ("study", "series", "instance"),
}


def _tags(text: str) -> frozenset[str]:
    return frozenset(text.split())


_RETURNED: dict[Level, frozenset[str]] = {
    "study": _tags(
        "00080005 00080020 00080030 00080050 00080051 00080056 00080061 00080090 00080201 00081030 00081190"
        " 00100010 00100020 00100021 00100030 00100040 0020000D 00200010 00201206 00201208"
    ),
    "series": _tags(
        "00080005 00080056 00080060 00080201 0008103E 00081190 00180015 0020000E 00200011 00201209 00400244"
        " 00400245 00400275"
    ),
    "instance": _tags(
        "00080005 00080016 00080018 00080056 00080201 00081190 00200013 00280008 00280010 00280011 00280100"
    ),
}
"""What a search at each level returns without being asked (PS3.18 tables 10.6.3-3 to 10.6.3-5)."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_DATE = re.compile(r"\d{8}|\d{8}-|-\d{8}|\d{8}-\d{8}", re.ASCII)
_TIME = re.compile(
    r"(?=.*\d)(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?(-(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?)?",
    re.ASCII,
)
_CONTROLS = frozenset({"limit", "offset", "fuzzymatching", "includefield", "accept", "charset"})


class Asked(Struct, frozen=True):
    """A parsed search: the query, the tags to return beyond the usual ones (None: all), the warnings."""

    query: Query
    include: frozenset[str] | None
    warnings: tuple[str, ...]


def parse(level: Level, within: Where | None, pairs: Sequence[tuple[str, str]]) -> Asked:
    """Give a search's query from its decoded pairs; `within` limits it. Raises Invalid."""
    matches = list(_limits(within))
    warnings: list[str] = []
    limit, offset = _paging(pairs)
    if limit > MOST:
        limit = MOST
        warnings.append(f"At most {MOST} results are given at once")
    if any(name == "fuzzymatching" and value.lower() == "true" for name, value in pairs):
        warnings.append("Fuzzy matching is not supported; only literal matching has been performed")
    for name, value in pairs:
        if name.lower() in _CONTROLS or not value.strip("*"):
            continue
        key = _key(name)
        if key is None or key.level not in _ABOVE[level]:
            warnings.append(
                f"The matching key {_canonical(name)} is not supported here and was ignored"
            )
        else:
            matches.append(Match(key.keyword, _values(key, value)))
    query = Query(level, tuple(matches), limit, offset)
    return Asked(query, _include(pairs), tuple(warnings))


def _limits(within: Where | None) -> Iterable[Match]:
    if within is not None:
        yield Match("StudyInstanceUID", (within.study,))
        if within.series is not None:
            yield Match("SeriesInstanceUID", (within.series,))


def _paging(pairs: Sequence[tuple[str, str]]) -> tuple[int, int]:
    found = {"limit": DEFAULT_LIMIT, "offset": 0}
    for name, value in pairs:
        if name in found:
            if not (value.isascii() and value.isdigit()) or len(value) > len("999999999"):
                raise outcome.Invalid(f"{name} must be a whole number from 0")
            found[name] = int(value)
    return found["limit"], found["offset"]


def _key(name: str) -> Key | None:
    """Give the key that a keyword, a tag or a path into a sequence names, None if it is not matched here."""
    last = name.rpartition(".")[2]
    key = BY_KEYWORD.get(last) or BY_TAG.get(last.upper())
    if key is None or ("." in name) != (key.parent is not None):
        return None
    parent = name.rpartition(".")[0]
    return key if key.parent in {None, _tag(parent) if parent else None} else None


def _tag(name: str) -> str:
    """Give the tag that a keyword or tag text names; raises Invalid for neither."""
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 - heavy, only when a search names others

    if _TAG.fullmatch(name):
        return name.upper()
    tag = tag_for_keyword(name) if name.isascii() and name.isalpha() else None
    if tag is None:
        raise outcome.Invalid(
            "A query parameter is neither a DICOM keyword, a tag nor a known control"
        )
    return f"{tag:08X}"


def _canonical(name: str) -> str:
    """Give a parameter's name as tags, so that a warning never repeats a client's own text."""
    return ".".join(_tag(step) for step in name.split("."))


def _values(key: Key, text: str) -> tuple[str, ...]:
    """Give the values to match, checked by kind; a list of UIDs is one of them (PS3.4 C.2.2.2.2)."""
    if key.kind == "uid":
        found = tuple(value.strip() for value in text.replace("\\", ",").split(","))
        _require(key, all(attributes.is_uid(value) for value in found), "a list of UIDs")
        return found
    if key.kind == "date":
        _require(key, _DATE.fullmatch(text) is not None, "YYYYMMDD or a range of it")
    elif key.kind == "time":
        _require(key, text != "-" and _TIME.fullmatch(text) is not None, "HHMMSS or a range of it")
    elif key.kind == "number":
        _require(
            key, text.lstrip("-").isdecimal() and len(text) <= len("-99999999999"), "a whole number"
        )
    _require(key, len(text) <= len("x" * 256), "at most 256 characters")
    return (text,)


def _require(key: Key, holds: bool, form: str) -> None:  # noqa: FBT001 - a claim
    if not holds:
        raise outcome.Invalid(f"The value of {key.keyword} must be {form}")


def _include(pairs: Sequence[tuple[str, str]]) -> frozenset[str] | None:
    names = [
        name.strip()
        for key, value in pairs
        if key == "includefield"
        for name in value.split(",")
        if name.strip()
    ]
    if "all" in names:
        return None
    return frozenset(_tag(name.partition(".")[0]) for name in names)


def result(
    record: Record, level: Level, include: frozenset[str] | None, address: str
) -> Attributes:
    """Give one search result, with where it is retrieved and that it is online (PS3.18 10.6.3.3)."""
    found: dict[str, Any] = dict(record.attributes)
    for tag, uid in zip(
        ("0020000D", "0020000E", "00080018"),
        (record.where.study, record.where.series, record.where.instance),
        strict=True,
    ):
        if uid is not None:
            found[tag] = {"vr": "UI", "Value": [uid]}
    found["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    found["00080056"] = {"vr": "CS", "Value": ["ONLINE"]}
    found["00081190"] = {"vr": "UR", "Value": [address + path(record.where)]}
    if include is not None:
        returned = frozenset().union(*(_RETURNED[above] for above in _ABOVE[level]), include)
        found = {tag: element for tag, element in found.items() if tag in returned}
    return dict(sorted(found.items()))


def path(where: Where) -> str:
    """Give the path of a study, series or instance below the service's base."""
    text = f"/studies/{where.study}"
    if where.series is not None:
        text += f"/series/{where.series}"
    return text if where.instance is None else f"{text}/instances/{where.instance}"
