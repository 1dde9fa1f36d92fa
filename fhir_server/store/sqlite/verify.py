"""The integrity of a store's file: what must hold between its tables, and each fault as a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import apsw

from fhir_server.store.sqlite.rows import COLUMNS
from fhir_server.store.sqlite.texts import INDEXES

_COUNTED: Final = (
    (
        "resources whose current version is not in the log of changes",
        (
            "SELECT count(*) FROM resource r LEFT JOIN change c ON c.position = r.position"
            " AND c.rid = r.rid AND c.version = r.version AND c.updated = r.updated WHERE c.rid IS NULL"
        ),
    ),
    (
        "older versions that are not in the log of changes",
        (
            "SELECT count(*) FROM history h LEFT JOIN change c ON c.position = h.position"
            " AND c.rid = h.rid AND c.version = h.version WHERE c.rid IS NULL"
        ),
    ),
    (
        "changes whose version is gone",
        (
            "SELECT (SELECT count(*) FROM change) - (SELECT count(*) FROM resource)"
            " - (SELECT count(*) FROM history)"
        ),
    ),
    (
        "resources without one of their versions",
        (
            "SELECT count(*) FROM resource r WHERE r.version <>"
            " 1 + r.purged + (SELECT count(*) FROM history h WHERE h.rid = r.rid)"
        ),
    ),
    (
        "resources whose body and state disagree",
        (
            "SELECT count(*) FROM resource WHERE (body IS NOT NULL) <> alive"
            " OR (method = 'DELETE') = alive"
        ),
    ),
    (
        "resources whose text is in no index",
        (
            "SELECT count(*) FROM resource r WHERE r.alive = 1"
            " AND json_extract(r.rows, '$.full') IS NOT NULL"
            " AND NOT EXISTS(SELECT 1 FROM unindexed u WHERE u.rid = r.rid)"
            " AND NOT EXISTS(SELECT 1 FROM fulltext_docsize d WHERE d.id = r.rid)"
        ),
    ),
    (
        "texts of no resource",
        (
            "SELECT count(*) FROM (SELECT id FROM fulltext_docsize UNION SELECT id FROM trigram_docsize) d"
            " WHERE NOT EXISTS(SELECT 1 FROM unindexed u WHERE u.rid = d.id)"
            " AND NOT EXISTS(SELECT 1 FROM resource r WHERE r.rid = d.id AND r.alive = 1)"
        ),
    ),
    (
        "collections that count their resources wrongly",
        (
            "SELECT count(*) FROM collection c WHERE c.alive <>"
            " (SELECT count(*) FROM resource r WHERE r.collection = c.id AND r.alive = 1)"
        ),
    ),
)


def faults(connection: apsw.Connection) -> Iterator[str]:
    """Give a sentence for each fault in the file."""
    for index in INDEXES:  # a query makes FTS5 look at what others wrote; its own check does not
        connection.execute(
            f"SELECT rowid FROM {index} WHERE {index} MATCH 'abc' LIMIT 1"
        ).fetchall()
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"The file is damaged: {line}."
    for what, sql in _COUNTED:
        count = connection.execute(sql).get
        if count:
            yield f"There are {count} {what}."
    for table in COLUMNS:
        yield from _index_faults(connection, table)


def _index_faults(connection: apsw.Connection, table: str) -> Iterator[str]:
    """Compare an index table with the rows that are kept beside the resources."""
    lost = connection.execute(
        f"SELECT count(*) FROM {table} t LEFT JOIN resource r"
        " ON r.rid = t.rid AND r.alive = 1 AND r.clinical = t.clinical WHERE r.rid IS NULL"
    ).get
    if lost:
        yield f"The index {table} has {lost} rows that belong to no resource."
    kept = connection.execute(
        f"SELECT coalesce(sum(json_array_length(rows, '$.{table}')), 0) FROM resource"
    ).get
    held = connection.execute(f"SELECT count(*) FROM {table}").get
    if kept != held:
        yield f"The index {table} has {held} rows where there should be {kept}."
