"""The care of a SQLite store: erase, reindex, take over, copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from fhir_server.store.port import Extract, Key, Past, Reindexed
from fhir_server.store.sqlite import schema
from fhir_server.store.sqlite.transaction import Transaction

FILE: Final = "store.sqlite"
_STEP_PAGES: Final = 4_096
_CACHE_KIB: Final = 2_048
_ALIVE: Final = (
    "SELECT r.rid, c.tenant, c.type, r.id, r.body FROM resource r JOIN collection c ON c.id = r.collection"
    " WHERE r.rid > ? AND r.alive = 1 AND (?2 IS NULL OR c.type = ?2) ORDER BY r.rid LIMIT ?3"
)


class Purge(msgspec.Struct, frozen=True):
    """Erase every version of a resource but the current one; its result is how many."""

    key: Key
    weight: int = 1
    keys: Sequence[Key] = ()

    def __call__(self, transaction: Transaction) -> int:
        """Remove them."""
        rid = transaction.number(self.key)
        if rid is None:
            return 0
        connection = transaction.connection
        connection.execute(
            "DELETE FROM change WHERE position IN (SELECT position FROM history WHERE rid = ?)",
            (rid,),
        )
        connection.execute("DELETE FROM history WHERE rid = ?", (rid,))
        gone = connection.changes()
        transaction.texts.settle(rid=rid)
        connection.execute("INSERT OR REPLACE INTO meta VALUES('condense', 1)")
        connection.execute("UPDATE resource SET purged = purged + ? WHERE rid = ?", (gone, rid))
        return gone


class Condense(msgspec.Struct, frozen=True):
    """Rewrite a part of the text indexes without what was removed; its result is whether there is more."""

    first: bool
    weight: int = 0
    keys: Sequence[Key] = ()

    def __call__(self, transaction: Transaction) -> bool:
        """Merge some pages; a restart in between begins anew."""
        more = transaction.texts.condense(first=self.first)
        if not more:
            transaction.connection.execute("DELETE FROM meta WHERE name = 'condense'")
        return more


def uncondensed(connection: apsw.Connection) -> bool:
    """Tell whether a purge was broken off before the text indexes were rewritten."""
    return connection.execute("SELECT 1 FROM meta WHERE name = 'condense'").get is not None


class Reindex(msgspec.Struct, frozen=True):
    """Give some current resources new index rows; its result tells where to go on."""

    extract: Extract
    type: str | None
    after: int
    limit: int
    keys: Sequence[Key] = ()

    @property
    def weight(self) -> int:
        """The number of resources."""
        return self.limit

    def __call__(self, transaction: Transaction) -> Reindexed:
        """Read, extract and gather."""
        transaction.flush()
        rows: list[Any] = transaction.connection.execute(
            _ALIVE, (self.after, self.type, self.limit)
        ).fetchall()
        changed = 0
        for _, tenant, type_, id_, body in rows:
            key = Key(tenant, type_, id_)
            changed += transaction.reindex(key, self.extract(key, body))
        following = rows[-1][0] if len(rows) == self.limit else None
        return Reindexed(len(rows), changed, following)


class Import(msgspec.Struct, frozen=True):
    """Take over versions of another store; its result is how many were new."""

    versions: Sequence[Past]

    @property
    def weight(self) -> int:
        """The number of versions."""
        return len(self.versions)

    @property
    def keys(self) -> Sequence[Key]:
        """The resources that they are versions of."""
        return [past.key for past in self.versions]

    def __call__(self, transaction: Transaction) -> int:
        """Gather them in their order."""
        return sum(transaction.take(past) for past in self.versions)


def backup(path: Path, folder: Path, pinned: Callable[[], None]) -> int:
    """Copy a store's file as it is at one position, while others write; gives the position.

    A read transaction holds the instant; writers go on beside it (SQLite Online Backup API, WAL).
    """
    source = schema.connect(path, cache_kib=_CACHE_KIB)
    copy = apsw.Connection(str(folder / FILE))
    try:
        source.execute("BEGIN")
        position = int(
            source.execute("SELECT coalesce(max(position), 0) FROM change").get
        )  # the first read fixes the instant
        pinned()
        with copy.backup("main", source, "main") as copying:
            while not copying.done:
                copying.step(_STEP_PAGES)
        source.execute("COMMIT")
        copy.pragma("journal_mode", "delete")
    finally:
        copy.close()
        source.close()
    return position
