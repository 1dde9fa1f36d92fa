"""The tables of the SQLite store, their version, and connections to them (docs/adr/0003-sqlite-layout.md)."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

import apsw

from fhir_server.store.port import SchemaTooNew

FIRST: Final = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO meta VALUES('secret', randomblob(32));

CREATE TABLE collection(
  id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, type TEXT NOT NULL, alive INTEGER NOT NULL DEFAULT 0,
  UNIQUE(tenant, type));
CREATE TABLE slot(
  id INTEGER PRIMARY KEY, collection INTEGER NOT NULL, kind TEXT NOT NULL, atom TEXT NOT NULL,
  UNIQUE(collection, kind, atom));

CREATE TABLE resource(
  rid INTEGER PRIMARY KEY, collection INTEGER NOT NULL, target BLOB NOT NULL, id TEXT NOT NULL,
  version INTEGER NOT NULL, updated INTEGER NOT NULL, position INTEGER NOT NULL, method TEXT NOT NULL,
  alive INTEGER NOT NULL, clinical INTEGER NOT NULL, body BLOB, rows BLOB NOT NULL);
CREATE INDEX resource_target ON resource(target);
CREATE INDEX resource_order ON resource(collection, clinical) WHERE alive = 1;
CREATE INDEX resource_updated ON resource(collection, updated, rid, clinical) WHERE alive = 1;

CREATE TABLE change(
  position INTEGER PRIMARY KEY, collection INTEGER NOT NULL, rid INTEGER NOT NULL,
  version INTEGER NOT NULL, updated INTEGER NOT NULL);
CREATE TABLE history(
  position INTEGER PRIMARY KEY, rid INTEGER NOT NULL, version INTEGER NOT NULL, updated INTEGER NOT NULL,
  method TEXT NOT NULL, body BLOB);
CREATE INDEX history_version ON history(rid, version);

CREATE TABLE tok(
  slot INTEGER, code BLOB, clinical INTEGER, rid INTEGER, system BLOB,
  PRIMARY KEY(slot, code, clinical, rid, system)) WITHOUT ROWID;
CREATE TABLE ref(
  slot INTEGER, target BLOB, clinical INTEGER, rid INTEGER,
  PRIMARY KEY(slot, target, clinical, rid)) WITHOUT ROWID;
CREATE TABLE txt(
  slot INTEGER, normal TEXT, clinical INTEGER, rid INTEGER,
  PRIMARY KEY(slot, normal, clinical, rid)) WITHOUT ROWID;
CREATE TABLE dat(
  slot INTEGER, wide INTEGER, low INTEGER, rid INTEGER, high INTEGER, clinical INTEGER,
  PRIMARY KEY(slot, wide, low, rid, high)) WITHOUT ROWID;
CREATE TABLE num(
  slot INTEGER, value INTEGER, rid INTEGER, low INTEGER, high INTEGER, clinical INTEGER,
  PRIMARY KEY(slot, value, rid, low, high)) WITHOUT ROWID;
CREATE TABLE qty(
  slot INTEGER, value INTEGER, rid INTEGER, low INTEGER, high INTEGER, system BLOB, code BLOB,
  clinical INTEGER, PRIMARY KEY(slot, value, rid, low, high, system, code)) WITHOUT ROWID;
CREATE TABLE uri(
  slot INTEGER, value TEXT, clinical INTEGER, rid INTEGER,
  PRIMARY KEY(slot, value, clinical, rid)) WITHOUT ROWID;

CREATE TABLE document(
  tenant TEXT, namespace TEXT, key TEXT, value BLOB NOT NULL, revision INTEGER NOT NULL, expires INTEGER,
  PRIMARY KEY(tenant, namespace, key)) WITHOUT ROWID;
CREATE INDEX document_expires ON document(expires) WHERE expires IS NOT NULL;
"""

PURGED: Final = """
ALTER TABLE resource ADD COLUMN purged INTEGER NOT NULL DEFAULT 0;
"""

TEXTS: Final = """
CREATE VIRTUAL TABLE fulltext USING fts5(
  place, narrative, content, content='', contentless_delete=1, tokenize='ascii');
CREATE VIRTUAL TABLE trigram USING fts5(
  texts, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1');
CREATE TABLE unindexed(
  rid INTEGER PRIMARY KEY, place TEXT NOT NULL, narrative TEXT NOT NULL, content TEXT NOT NULL,
  texts TEXT NOT NULL);
INSERT INTO trigram(rowid, texts)
  SELECT t.rid, group_concat(t.normal, char(10)) || char(10) || char(
    983040 + r.collection % 4096, 983040 + (r.collection >> 12) % 4096, 983040 + (r.collection >> 24) % 4096)
  FROM txt t JOIN resource r ON r.rid = t.rid GROUP BY t.rid;
"""

SPANS: Final = """
DROP TABLE num;
DROP TABLE qty;
CREATE TABLE num(
  slot INTEGER, low INTEGER, rid INTEGER, high INTEGER, clinical INTEGER,
  PRIMARY KEY(slot, low, rid, high)) WITHOUT ROWID;
CREATE TABLE qty(
  slot INTEGER, low INTEGER, rid INTEGER, high INTEGER, system BLOB, code BLOB, clinical INTEGER,
  PRIMARY KEY(slot, low, rid, high, system, code)) WITHOUT ROWID;
CREATE TABLE pos(
  slot INTEGER, z INTEGER, rid INTEGER, x INTEGER, y INTEGER, clinical INTEGER,
  PRIMARY KEY(slot, z, rid, x, y)) WITHOUT ROWID;
UPDATE resource SET rows = jsonb_remove(rows, '$.num', '$.qty')
  WHERE rows ->> '$.num' IS NOT NULL OR rows ->> '$.qty' IS NOT NULL;
"""
"""Numbers as intervals, and places; numbers and quantities are found again once they are indexed anew."""

MIGRATIONS: Final[tuple[str, ...]] = (FIRST, PURGED, TEXTS, SPANS)
"""What leads from each schema version to the next; the first makes an empty file into version 1."""

PAGE_BYTES: Final = 8192
_STATEMENTS: Final = 512
_PATIENCE_MS: Final = 10_000


def connect(path: Path, *, cache_kib: int, writes: bool = False) -> apsw.Connection:
    """Open a connection to the store's file, durable in what it commits.

    What is deleted or replaced is overwritten, so that a purge leaves nothing of it in the file. Plans are
    held to (QPSG): otherwise SQLite prepares a statement anew for other values, which doubles
    the cost of a small read.
    """
    connection = apsw.Connection(str(path), statementcachesize=_STATEMENTS)
    connection.set_busy_timeout(_PATIENCE_MS)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.pragma("page_size", PAGE_BYTES)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("cache_size", -cache_kib)
    connection.pragma("temp_store", "memory")
    connection.wal_autocheckpoint(0)
    connection.pragma("secure_delete" if writes else "query_only", 1)
    return connection


def migrate(connection: apsw.Connection, migrations: tuple[str, ...] = MIGRATIONS) -> int:
    """Bring the schema to the newest version and give the version it had; raises SchemaTooNew."""
    connection.execute("BEGIN IMMEDIATE")
    with ExitStack() as undo:
        undo.callback(connection.execute, "ROLLBACK")
        version = _known_version(connection, len(migrations))
        for step in migrations[version:]:
            connection.execute(step)
        if version < len(migrations):
            connection.pragma("user_version", len(migrations))
        undo.pop_all()
    connection.execute("COMMIT")
    return version


def _known_version(connection: apsw.Connection, newest: int) -> int:
    version = int(connection.pragma("user_version"))
    if version > newest:
        raise SchemaTooNew(f"schema {version} is newer than {newest}, the newest known here")
    return version


def secret(connection: apsw.Connection) -> bytes:
    """Give the key of the database's hashes."""
    return bytes(connection.execute("SELECT value FROM meta WHERE name = 'secret'").get)
