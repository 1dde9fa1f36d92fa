"""One durable transaction that several commits share: preconditions, versions, rows, bodies.

Rows are gathered and written table by table; they are written earlier where a later step must see them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, cast

import apsw
import msgspec
from msgspec.structs import replace

from fhir_server.search.full_text_values import UNREAD
from fhir_server.search.match import UNDATED, Clinical, clinical_key
from fhir_server.search.values import IndexValues, no_values
from fhir_server.store.port import (
    Change,
    Key,
    MatchConflict,
    OutOfOrder,
    Past,
    Precondition,
    Version,
    VersionConflict,
    VersionIs,
)
from fhir_server.store.sqlite.keys import Hashes
from fhir_server.store.sqlite.reader import Reader
from fhir_server.store.sqlite.rows import COLUMNS, Builder, Row, Rows, of_json
from fhir_server.store.sqlite.texts import Texts, text
from fhir_server.store.sqlite.turn import Turn

MOST_FOUND: Final = 3
"""How many matches a failed NoMatch looks for: enough to tell one from several, apart from one excepted."""

_TYPES: Final = 256
_SEVERAL: Final = 2
_HEADED: Final = (
    "r.target, r.id, r.collection, r.rid, r.version, r.updated, r.position, r.method, r.clinical,"
    " json(r.rows)"
)
_HEAD: Final = f"SELECT {_HEADED} FROM resource r WHERE r.target = ?"
_HEADS: Final = f"SELECT {_HEADED} FROM carray(?) a CROSS JOIN resource r ON r.target = a.value"
_LAST: Final = (
    "SELECT position, updated, (SELECT max(rid) FROM resource) FROM change"
    " ORDER BY position DESC LIMIT 1"
)
_LAST_OF_NONE: Final = "SELECT 0, 0, coalesce(max(rid), 0) FROM resource"
_HISTORY: Final = (
    "INSERT INTO history(position, rid, version, updated, method, body)"
    " SELECT position, rid, version, updated, method, body FROM resource WHERE rid = ?"
)
_NEW: Final = (
    "INSERT INTO resource(version, updated, position, method, alive, clinical, body, rows, collection,"
    " target, id, rid) VALUES(?, ?, ?, ?, ?, ?, ?, jsonb(?), ?, ?, ?, ?)"
)
_CHANGED: Final = (
    "UPDATE resource SET version = ?, updated = ?, position = ?, method = ?, alive = ?, clinical = ?,"
    " body = ?, rows = jsonb(?) WHERE rid = ?"
)
_LOGGED: Final = (
    "INSERT INTO change(position, collection, rid, version, updated) VALUES(?, ?, ?, ?, ?)"
)
_REINDEXED: Final = "UPDATE resource SET clinical = ?, rows = jsonb(?) WHERE rid = ?"
_MISSING: Final = "UPDATE resource SET purged = purged + ? WHERE rid = ?"
_ALIVE: Final = "UPDATE collection SET alive = alive + ? WHERE id = ?"


def _insert(table: str, columns: Sequence[str]) -> str:
    names = (*columns, "clinical", "rid")
    return f"INSERT INTO {table}({', '.join(names)}) VALUES({', '.join('?' * len(names))})"


def _delete(table: str, columns: Sequence[str]) -> str:
    names = (*columns, "clinical", "rid")
    return f"DELETE FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in names)}"


_INSERTS: Final = {table: _insert(table, columns) for table, columns in COLUMNS.items()}
_DELETES: Final = {table: _delete(table, columns) for table, columns in COLUMNS.items()}


class _Head(msgspec.Struct):
    """The current version of a resource as the transaction has it; `fresh` while it is not written yet."""

    rid: int
    version: Version
    clinical: int
    rows: Rows | str
    fresh: bool = False

    @property
    def known(self) -> Rows:
        """The index rows, read from their JSON when they are first asked for."""
        if isinstance(self.rows, str):
            self.rows = of_json(self.rows)
        return self.rows


class Transaction:
    """The write transaction of one connection, begun and ended many times."""

    def __init__(
        self,
        connection: apsw.Connection,
        hashes: Hashes,
        clinical: Clinical,
        clock: Callable[[], int],
        turn: Turn,
    ) -> None:
        self.connection = connection
        self._turn = turn
        self._hashes = hashes
        self._clinical = lru_cache(_TYPES)(clinical)
        self._clock = clock
        self._reader = Reader(connection, hashes, clinical)
        self._builder = Builder(self._reader.names, hashes)
        self.texts = Texts(connection)
        self._updated = self._latest = self._position = self._rid = 0
        self._clear()

    def begin(self, keys: Iterable[Key] = ()) -> None:
        """Begin, learn where other processes left off, and look up the resources that will be needed."""
        self._turn.take()
        run = self.connection.execute
        run("BEGIN IMMEDIATE")
        self._clear()
        last: Row = run(_LAST).get or run(_LAST_OF_NONE).get
        self._position, self._latest, self._rid = last
        self._updated = max(self._clock(), self._latest)
        self._learn(keys)

    def commit(self) -> None:
        """Write what is gathered and make it durable."""
        self.flush()
        self.connection.executemany(
            _ALIVE, [(delta, number) for number, delta in self._alive.items() if delta]
        )
        self.connection.execute("COMMIT")
        self._turn.give()

    def roll_back(self) -> None:
        """Undo everything since begin."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._turn.give()
        self._clear()
        self._reader.names.forget()
        self._builder.forget()

    def apply(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition]
    ) -> list[Version]:
        """Check the preconditions, then gather the changes; raises VersionConflict or MatchConflict."""
        for index, precondition in enumerate(preconditions):
            self._require(index, precondition)
        return [self._change(change) for change in changes]

    def take(self, past: Past) -> bool:
        """Gather a version as another store had it; tells whether it is new here. Raises OutOfOrder."""
        head = self._head(past.key)
        current = 0 if head is None else head.version.version_id
        if past.version_id <= current:
            return False
        if past.updated < self._latest:
            raise OutOfOrder
        if head is not None and head.fresh:
            self.flush()
        self._position += 1
        self._latest = past.updated
        version = Version(
            past.key, past.version_id, past.updated, past.method, past.body, self._position
        )
        self._place(version, past.values, head)
        if past.version_id > current + 1:
            rid = cast("_Head", self._heads[past.key]).rid
            self._missing.append((past.version_id - current - 1, rid))
        return True

    def reindex(self, key: Key, values: IndexValues) -> bool:
        """Gather the index rows of a current version anew; tells whether they were others."""
        head = self._head(key)
        if head is None or head.version.method == "DELETE":
            return False
        if head.fresh:
            self.flush()
        collection = self._reader.names.give_collection(key.tenant, key.type)
        rows, clinical = (
            self._builder.build(values, key.tenant, collection),
            self._dated(key, values),
        )
        if clinical == head.clinical and rows == head.known:
            return False
        new = _Head(head.rid, head.version, clinical, rows)
        self._differ(head, new)
        self._write_text(head, new, collection, values)
        self._reindexed.append((clinical, rows.json(), head.rid))
        self._heads[key] = new
        return True

    def number(self, key: Key) -> int | None:
        """Give the number of a resource, with all of its versions written; None where there is none."""
        self.flush()
        head = self._head(key)
        return None if head is None else head.rid

    def flush(self) -> None:
        """Write what is gathered."""
        run = self.connection.executemany
        for sql, rows in (
            (_HISTORY, self._superseded),
            (_CHANGED, self._changed),
            (_NEW, self._new),
            (_LOGGED, self._logged),
            (_REINDEXED, self._reindexed),
            (_MISSING, self._missing),
        ):
            if rows:
                run(sql, rows)
                rows.clear()
        for statements, tables in ((_DELETES, self._deleted), (_INSERTS, self._inserted)):
            for table, entries in tables.items():
                if entries:
                    entries.sort()
                    run(statements[table], entries)
                    entries.clear()
        self.texts.flush()
        for head in self._heads.values():
            if head is not None:
                head.fresh = False

    def _clear(self) -> None:
        self.texts.forget()
        self._heads: dict[Key, _Head | None] = {}
        self._superseded: list[Row] = []
        self._changed: list[Row] = []
        self._new: list[Row] = []
        self._logged: list[Row] = []
        self._reindexed: list[Row] = []
        self._missing: list[Row] = []
        self._deleted: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        self._inserted: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        self._alive: defaultdict[int, int] = defaultdict(int)

    def _require(self, index: int, precondition: Precondition) -> None:
        if isinstance(precondition, VersionIs):
            head = self._head(precondition.key)
            alive = head is not None and head.version.method != "DELETE"
            current = head.version.version_id if head is not None and alive else None
            if current != precondition.version_id:
                raise VersionConflict(precondition.key, current)
            return
        self.flush()
        plan = replace(precondition.plan, limit=MOST_FOUND, after=None)
        found = [match.version.key for match in self._reader.search(plan)]
        others = tuple(key for key in found if key != precondition.apart_from)
        if others:
            raise MatchConflict(index, others)

    def _head(self, key: Key) -> _Head | None:
        if key not in self._heads:
            self._heads[key] = self._stored(key)
        return self._heads[key]

    def _learn(self, keys: Iterable[Key]) -> None:
        """Look up many current versions at once; what no hash leads to is new."""
        wanted = {self._target(key): key for key in keys}
        if len(wanted) < _SEVERAL:
            return
        self._heads.update(dict.fromkeys(wanted.values()))
        found: list[Row] = self.connection.execute(_HEADS, (apsw.carray(tuple(wanted)),)).fetchall()
        for row in found:
            key = wanted[row[0]]
            self._heads[key] = self._headed(key, row) or self._heads[key]

    def _target(self, key: Key) -> bytes:
        target: bytes = self._hashes.target(key.tenant, key.type, key.id)
        return target

    def _stored(self, key: Key) -> _Head | None:
        for row in self.connection.execute(_HEAD, (self._target(key),)).fetchall():
            head = self._headed(key, row)
            if head is not None:
                return head
        return None

    def _headed(self, key: Key, row: Row) -> _Head | None:
        """Give what a row says of a key, None if only the hash is the same."""
        _, id_, collection, rid, number, updated, position, method, clinical, kept = row
        if id_ != key.id or self._reader.names.label(collection) != (key.tenant, key.type):
            return None
        return _Head(rid, Version(key, number, updated, method, None, position), clinical, kept)

    def _change(self, change: Change) -> Version:
        """Gather one change, and give the version that it makes."""
        key, head = change.key, self._head(change.key)
        was_alive = head is not None and head.version.method != "DELETE"
        if change.body is None and not was_alive:
            return Version(key, 0, 0, "DELETE", None, 0) if head is None else head.version
        if head is not None and head.fresh:
            self.flush()
        self._position += 1
        self._latest = self._updated
        number = 1 if head is None else head.version.version_id + 1
        body = None if change.body is None else change.body.at(number, self._updated)
        version = Version(key, number, self._updated, change.method, body, self._position)
        self._place(version, change.values, head)
        return version

    def _place(self, version: Version, values: IndexValues, old: _Head | None) -> None:
        """Gather a version that is to be the current one."""
        key = version.key
        was_alive = old is not None and old.version.method != "DELETE"
        collection = self._reader.names.give_collection(key.tenant, key.type)
        self._alive[collection] += (version.body is not None) - was_alive
        if version.body is None:
            values = no_values()
        self._heads[key] = self._gather(version, collection, values, old)

    def _gather(
        self, version: Version, collection: int, values: IndexValues, old: _Head | None
    ) -> _Head:
        key = version.key
        rows = self._builder.build(values, key.tenant, collection)
        clinical = self._dated(key, values)
        columns = (
            version.version_id,
            version.updated,
            version.position,
            version.method,
            int(version.body is not None),
            clinical,
            version.body,
            rows.json(),
        )
        if old is None:
            self._rid += 1
            rid = self._rid
            target = self._target(key)
            self._new.append((*columns, collection, target, key.id, rid))
        else:
            rid = old.rid
            self._superseded.append((rid,))
            self._changed.append((*columns, rid))
        self._logged.append(
            (version.position, collection, rid, version.version_id, version.updated)
        )
        head = _Head(rid, version, clinical, rows, fresh=True)
        self._differ(old, head)
        self._write_text(old, head, collection, values)
        return head

    def _write_text(
        self, old: _Head | None, new: _Head, collection: int, values: IndexValues
    ) -> None:
        """Gather what is written in a resource, if that is not what it was."""
        after = new.known
        if old is None:
            if (after.full or after.txt) and new.version.key.type not in UNREAD:
                self.texts.gather(text(new.rid, collection, values), fresh=True)
            return
        before = old.known
        if before.full == after.full and _strings(before) == _strings(after):
            return
        fresh = not before.full and not before.txt
        self.texts.gather(text(new.rid, collection, values), fresh=fresh)

    def _dated(self, key: Key, values: IndexValues) -> int:
        dated = clinical_key(self._clinical(key.type), values)
        return UNDATED if dated is None else dated

    def _differ(self, old: _Head | None, new: _Head) -> None:
        """Gather the rows that one version has and the other has not."""
        tail = (new.clinical, new.rid)
        if old is None:
            for table, inserted in self._inserted.items():
                if getattr(new.known, table):
                    inserted += [row + tail for row in new.known.of(table)]
            return
        same = old.clinical == new.clinical
        gone = (old.clinical, old.rid)
        for table in COLUMNS:
            before, after = old.known.of(table), new.known.of(table)
            self._deleted[table] += [row + gone for row in (before - after if same else before)]
            self._inserted[table] += [row + tail for row in (after - before if same else after)]


def _strings(rows: Rows) -> set[str]:
    return {normal for _, normal in rows.txt}
