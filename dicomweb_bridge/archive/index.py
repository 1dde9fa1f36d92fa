"""The embedded archive's index in SQLite: what is stored, matched and told without opening a file.

Connections block; `LocalArchive` calls all of this in its threads.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from dicomweb_bridge import attributes
from dicomweb_bridge.archive import query as sql
from dicomweb_bridge.archive import schema
from dicomweb_bridge.archive.port import Instance, Query, Record, SeriesContent, StudyContent, Where
from dicomweb_bridge.attributes import Attributes, Key, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dicomweb_bridge.instance import Facts

_BUSY_MS = 30_000
_DIGITS = 15
_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder()


class IndexTooNew(Exception):
    """The archive's index was written by a newer program; it is not touched."""


def connect(path: Path, *, writable: bool) -> apsw.Connection:
    """Open the index file: WAL, and for the writer every commit on disk before it returns."""
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if writable else 0)
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(_BUSY_MS)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if not writable:
        connection.execute("PRAGMA query_only = ON")
    return connection


def migrate(connection: apsw.Connection) -> None:
    """Make the tables in a new file; raises IndexTooNew."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(_single(connection.execute("PRAGMA user_version")))
        if version > schema.VERSION:
            raise IndexTooNew
        if version == 0:
            connection.execute(schema.TABLES)
    finally:
        connection.execute("COMMIT")


def held(connection: apsw.Connection, tenant: str, instance: str) -> str | None:
    """Give the SHA-256 of an instance that is stored, or None."""
    row = connection.execute(
        "SELECT sha256 FROM instance WHERE tenant = ? AND SOPInstanceUID = ?", (tenant, instance)
    ).fetchone()
    return str(row[0]) if row else None


def patient_of(connection: apsw.Connection, tenant: str, study: str) -> tuple[str, str]:
    """Give the Patient ID and its issuer that a stored study has, "" for what it lacks."""
    row = connection.execute(
        "SELECT PatientID, IssuerOfPatientID FROM study WHERE tenant = ? AND StudyInstanceUID = ?",
        (tenant, study),
    ).fetchone()
    return (str(row[0]), str(row[1])) if row else ("", "")


def add(connection: apsw.Connection, tenant: str, facts: Facts, sha256: str, size: int) -> None:
    """Index a new instance and count the change of its study."""
    _add_study(connection, tenant, facts)
    place = (tenant, facts.study, facts.series)
    _insert(
        connection,
        "INSERT OR IGNORE INTO series",
        {
            **dict(zip(("tenant", "StudyInstanceUID", "SeriesInstanceUID"), place, strict=True)),
            **_row("series", facts.levels["series"]),
        },
    )
    _insert(
        connection,
        "INSERT INTO instance",
        {
            **dict(zip(("tenant", "StudyInstanceUID", "SeriesInstanceUID"), place, strict=True)),
            "SOPInstanceUID": facts.instance,
            "transfer_syntax": facts.transfer_syntax,
            "sha256": sha256,
            "size": size,
            **_row("instance", facts.levels["instance"]),
        },
    )
    connection.execute(
        "INSERT INTO metadata VALUES (?, ?, ?)",
        (tenant, facts.instance, zlib.compress(facts.metadata, 6)),
    )


def _add_study(connection: apsw.Connection, tenant: str, facts: Facts) -> None:
    """Insert a study, or fill in what its earlier instances left empty: the first word stands."""
    row = connection.execute(
        "SELECT attributes, changed, described FROM study WHERE tenant = ? AND StudyInstanceUID = ?",
        (tenant, facts.study),
    ).fetchone()
    earlier: Attributes = _decoder.decode(row[0]) if row else {}
    merged = {**facts.levels["study"], **{k: v for k, v in earlier.items() if v.get("Value")}}
    _insert(
        connection,
        "INSERT OR REPLACE INTO study",
        {
            "tenant": tenant,
            "StudyInstanceUID": facts.study,
            **_row("study", merged),
            "changed": (row[1] if row else 0) + 1,
            "described": row[2] if row else 0,
        },
    )


def _insert(
    connection: apsw.Connection, verb: str, row: dict[str, str | int | bytes | None]
) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"{verb} ({names}) VALUES ({marks})", tuple(row.values()))


def _row(level: Level, found: Attributes) -> dict[str, str | int | bytes | None]:
    row: dict[str, str | int | bytes | None] = {
        key.keyword: _comparable(key, found) for key in schema.columns(level)
    }
    row["attributes"] = _encoder.encode(found)
    return row


def _comparable(key: Key, found: Attributes) -> str | int | None:
    """Give an attribute's value as the index compares it."""
    if key.parent is not None:
        inner = [attributes.text(item, key.tag) for item in attributes.items(found, key.parent)]
        return "\\".join(["", *inner, ""]) if any(inner) else ""
    value = attributes.text(found, key.tag)
    match key.kind:
        case "name":
            return attributes.fold(value)
        case "date":
            return attributes.date_key(value)
        case "time":
            return attributes.time_key(value)
        case "number":
            return int(value) if value.lstrip("-").isdecimal() and len(value) <= _DIGITS else None
        case "uid" | "text" | "list":
            return value


def find(connection: apsw.Connection, tenant: str, query: Query) -> list[Record]:
    """Give the page of a query, with the attributes that are counted live."""
    text, bindings = sql.compiled(tenant, query)
    records = []
    for study, series, instance, *levels in connection.execute(text, bindings):
        found: Attributes = {}
        for level in levels:
            found.update(_decoder.decode(level) if level else {})
        where = Where(study, series, instance)
        _count(connection, tenant, query.level, where, found)
        records.append(Record(where, found))
    return records


def _count(
    connection: apsw.Connection, tenant: str, level: Level, where: Where, found: Attributes
) -> None:
    """Add the counts and modalities of what is there now (PS3.18 10.6.3.3)."""
    if level == "study":
        of_study = (tenant, where.study)
        series = connection.execute(
            "SELECT Modality FROM series WHERE tenant = ? AND StudyInstanceUID = ?", of_study
        ).fetchall()
        modalities = sorted({row[0] for row in series if row[0]})
        found["00080061"] = {"vr": "CS", "Value": modalities} if modalities else {"vr": "CS"}
        found["00201206"] = {"vr": "IS", "Value": [len(series)]}
        found["00201208"] = {"vr": "IS", "Value": [_instances(connection, "", of_study)]}
    elif level == "series":
        of_series = (tenant, where.study, where.series or "")
        count = _instances(connection, " AND SeriesInstanceUID = ?", of_series)
        found["00201209"] = {"vr": "IS", "Value": [count]}


def _instances(connection: apsw.Connection, condition: str, bindings: tuple[str, ...]) -> int:
    select = "SELECT count(*) FROM instance WHERE tenant = ? AND StudyInstanceUID = ?"
    return int(_single(connection.execute(select + condition, bindings)))


def _single(cursor: apsw.Cursor) -> Any:
    """Give the one value of a query that always has one row."""
    return cursor.fetchall()[0][0]


def study(connection: apsw.Connection, tenant: str, uid: str) -> StudyContent | None:
    """Give all that is known of a study, read at one instant."""
    with connection:
        row: Any = connection.execute(
            "SELECT attributes, changed, described FROM study WHERE tenant = ? AND StudyInstanceUID = ?",
            (tenant, uid),
        ).fetchone()
        series = _series(connection, tenant, uid) if row else ()
    return StudyContent(uid, _decoder.decode(row[0]), series, row[1], row[2]) if row else None


def _series(connection: apsw.Connection, tenant: str, uid: str) -> tuple[SeriesContent, ...]:
    rows: list[Any] = connection.execute(
        "SELECT SeriesInstanceUID, attributes FROM series WHERE tenant = ?"
        " AND StudyInstanceUID = ? ORDER BY SeriesNumber, SeriesInstanceUID",
        (tenant, uid),
    ).fetchall()
    return tuple(
        SeriesContent(name, _decoder.decode(found), _members(connection, (tenant, uid, name)))
        for name, found in rows
    )


def _members(
    connection: apsw.Connection, place: tuple[str, str, str]
) -> tuple[tuple[str, str, int | None], ...]:
    rows = connection.execute(
        "SELECT SOPInstanceUID, SOPClassUID, InstanceNumber FROM instance WHERE tenant = ?"
        " AND StudyInstanceUID = ? AND SeriesInstanceUID = ? ORDER BY InstanceNumber, SOPInstanceUID",
        place,
    )
    return tuple((str(uid), str(sop_class), number) for uid, sop_class, number in rows)


def _at(tenant: str, where: Where) -> tuple[str, tuple[str, ...]]:
    """Give the condition that an instance `i` lies there."""
    text, bindings = "i.tenant = ? AND i.StudyInstanceUID = ?", [tenant, where.study]
    for name, uid in (("SeriesInstanceUID", where.series), ("SOPInstanceUID", where.instance)):
        if uid is not None:
            text += f" AND i.{name} = ?"
            bindings.append(uid)
    return text, tuple(bindings)


def instances(connection: apsw.Connection, tenant: str, where: Where) -> list[Instance]:
    """Give the instances of a place, by series and instance number."""
    condition, bindings = _at(tenant, where)
    rows = connection.execute(
        "SELECT i.StudyInstanceUID, i.SeriesInstanceUID, i.SOPInstanceUID, i.SOPClassUID,"  # noqa: S608
        " i.transfer_syntax, i.sha256, i.size FROM instance i"
        " JOIN series e USING (tenant, StudyInstanceUID, SeriesInstanceUID)"
        f" WHERE {condition} ORDER BY e.SeriesNumber, e.SeriesInstanceUID,"
        " i.InstanceNumber, i.SOPInstanceUID",
        bindings,
    )
    return [Instance(*row) for row in rows]


def metadata(connection: apsw.Connection, tenant: str, uids: Sequence[str]) -> Iterator[bytes]:
    """Give the stored JSON of instances in the order asked for; those that are gone are left out."""
    for uid in uids:
        row = connection.execute(
            "SELECT json FROM metadata WHERE tenant = ? AND SOPInstanceUID = ?", (tenant, uid)
        ).fetchone()
        if row:
            yield zlib.decompress(row[0])


def remove(connection: apsw.Connection, tenant: str, where: Where) -> list[str]:
    """Take instances out of the index, and series and studies left empty; gives their files' hashes."""
    condition, bindings = _at(tenant, where)
    found = connection.execute(
        f"SELECT i.SOPInstanceUID, i.sha256 FROM instance i WHERE {condition}",  # noqa: S608 - constants
        bindings,
    ).fetchall()
    for uid, _ in found:
        connection.execute(
            "DELETE FROM metadata WHERE tenant = ? AND SOPInstanceUID = ?", (tenant, uid)
        )
        connection.execute(
            "DELETE FROM instance WHERE tenant = ? AND SOPInstanceUID = ?", (tenant, uid)
        )
    of_study = (tenant, where.study)
    connection.execute(
        "DELETE FROM series AS e WHERE tenant = ? AND StudyInstanceUID = ? AND NOT EXISTS"
        " (SELECT 1 FROM instance i WHERE i.tenant = e.tenant AND i.StudyInstanceUID = e.StudyInstanceUID"
        " AND i.SeriesInstanceUID = e.SeriesInstanceUID)",
        of_study,
    )
    connection.execute(
        "DELETE FROM study AS t WHERE tenant = ? AND StudyInstanceUID = ? AND NOT EXISTS"
        " (SELECT 1 FROM series e WHERE e.tenant = t.tenant AND e.StudyInstanceUID = t.StudyInstanceUID)",
        of_study,
    )
    if found:
        connection.execute(
            "UPDATE study SET changed = changed + 1 WHERE tenant = ? AND StudyInstanceUID = ?",
            of_study,
        )
    return [str(sha256) for _, sha256 in found]
