"""A QIDO-RS query compiled to SQL over the index (PS3.4 C.2.2.2 attribute matching)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dicomweb_bridge import attributes
from dicomweb_bridge.archive import schema

if TYPE_CHECKING:
    from dicomweb_bridge.archive.port import Match, Query
    from dicomweb_bridge.attributes import Key, Level

Sql = tuple[str, list[str | int]]
"""SQL text with its bindings."""

_FROM: dict[Level, str] = {
    "study": "SELECT t.StudyInstanceUID, NULL, NULL, t.attributes, NULL, NULL FROM study t",
    "series": (
        "SELECT t.StudyInstanceUID, e.SeriesInstanceUID, NULL, t.attributes, e.attributes, NULL"
        " FROM study t JOIN series e USING (tenant, StudyInstanceUID)"
    ),
    "instance": (
        "SELECT t.StudyInstanceUID, e.SeriesInstanceUID, i.SOPInstanceUID,"
        " t.attributes, e.attributes, i.attributes FROM study t"
        " JOIN series e USING (tenant, StudyInstanceUID)"
        " JOIN instance i USING (tenant, StudyInstanceUID, SeriesInstanceUID)"
    ),
}
_ORDER: dict[Level, str] = {
    "study": "t.StudyDate DESC, t.StudyInstanceUID",
    "series": "t.StudyDate DESC, t.StudyInstanceUID, e.SeriesNumber, e.SeriesInstanceUID",
    "instance": (
        "t.StudyDate DESC, t.StudyInstanceUID, e.SeriesNumber, e.SeriesInstanceUID,"
        " i.InstanceNumber, i.SOPInstanceUID"
    ),
}


def compiled(tenant: str, query: Query) -> Sql:
    """Give the SELECT of a query's page: the three UIDs and the three levels' attributes."""
    text, bindings = f"{_FROM[query.level]} WHERE t.tenant = ?", [tenant]
    parts = [text]
    found: list[str | int] = [*bindings]
    if query.studies is not None:
        parts.append("t.StudyInstanceUID IN (SELECT value FROM json_each(?))")
        found.append(msgspec.json.encode(sorted(query.studies)).decode())
    for match in query.matches:
        condition, values = _condition(match)
        parts.append(condition)
        found.extend(values)
    where = " AND ".join(parts)
    return f"{where} ORDER BY {_ORDER[query.level]} LIMIT ? OFFSET ?", [
        *found,
        query.limit,
        query.offset,
    ]


def _condition(match: Match) -> Sql:
    key = attributes.BY_KEYWORD[match.keyword]
    if key.keyword == "ModalitiesInStudy":
        inner, values = _any("m.Modality", key, match.values)
        place = "m.tenant = t.tenant AND m.StudyInstanceUID = t.StudyInstanceUID"
        return f"EXISTS (SELECT 1 FROM series m WHERE {place} AND {inner})", values  # noqa: S608 - constants
    return _any(schema.column(key), key, match.values)


def _any(column: str, key: Key, values: tuple[str, ...]) -> Sql:
    """Give a condition that one of the values matches."""
    conditions, bindings = [], list[str | int]()
    for value in values:
        condition, bound = _one(column, key, value)
        conditions.append(condition)
        bindings.extend(bound)
    return f"({' OR '.join(conditions)})", bindings


def _one(column: str, key: Key, value: str) -> Sql:
    match key.kind:
        case "date" | "time":
            return _range(column, key, value)
        case "number" | "uid":
            return f"{column} = ?", [int(value) if key.kind == "number" else value]
        case "name":
            return f"('=' || {column} || '=') GLOB ?", [f"*={pattern(attributes.fold(value))}=*"]
        case "list":
            return f"{column} GLOB ?", [f"*\\{pattern(value)}\\*"]
        case "text":
            wild = "*" in value or "?" in value
            return (f"{column} GLOB ?", [pattern(value)]) if wild else (f"{column} = ?", [value])


def pattern(value: str) -> str:
    """Give a GLOB pattern for DICOM wildcards: * and ? are the same, [ stands for itself."""
    return value.replace("[", "[[]")


def _range(column: str, key: Key, value: str) -> Sql:
    """Match a date or time exactly, or within a range that may be open at one end (PS3.4 C.2.2.2.5)."""
    first, dash, last = value.partition("-")
    if not dash:
        return f"{column} = ?", [_ordered(key, first)]
    conditions, bindings = [f"{column} <> ''"], list[str | int]()
    if first:
        conditions.append(f"{column} >= ?")
        bindings.append(_ordered(key, first))
    if last:
        conditions.append(f"{column} <= ?")
        bindings.append(_ordered(key, last) if key.kind == "date" else _latest(last))
    return f"({' AND '.join(conditions)})", bindings


def _ordered(key: Key, value: str) -> str:
    return attributes.date_key(value) if key.kind == "date" else attributes.time_key(value)


def _latest(time: str) -> str:
    """Give the last instant that a TM of less precision covers."""
    digits, _, fraction = time.partition(".")
    return f"{digits + '235959'[len(digits) :]}.{fraction:9<6}"
