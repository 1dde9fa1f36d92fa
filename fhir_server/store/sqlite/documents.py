"""Documents in SQLite: small values outside FHIR, written through the same transactions as resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from fhir_server.store.port import Document, Key
from fhir_server.store.sqlite.transaction import Transaction

_LIVE = "(expires IS NULL OR expires > ?)"


class Put(msgspec.Struct, frozen=True):
    """Write a document; its result is the new revision, or None."""

    tenant: str
    namespace: str
    key: str
    value: bytes
    expires: int | None
    revision: int | None
    now: int
    weight: int = 1
    keys: Sequence[Key] = ()

    def __call__(self, transaction: Transaction) -> int | None:
        """Compare the revision and write."""
        connection = transaction.connection
        current = connection.execute(
            f"SELECT revision FROM document WHERE tenant = ? AND namespace = ? AND key = ? AND {_LIVE}",
            (self.tenant, self.namespace, self.key, self.now),
        ).get
        current = 0 if current is None else int(current)
        if self.revision is not None and self.revision != current:
            return None
        connection.execute(
            "INSERT OR REPLACE INTO document VALUES(?, ?, ?, ?, ?, ?)",
            (self.tenant, self.namespace, self.key, self.value, current + 1, self.expires),
        )
        return current + 1


class Delete(msgspec.Struct, frozen=True):
    """Remove a document; its result tells whether there was one that had not expired."""

    tenant: str
    namespace: str
    key: str
    now: int
    weight: int = 1
    keys: Sequence[Key] = ()

    def __call__(self, transaction: Transaction) -> bool:
        """Remove it."""
        found: list[tuple[Any, ...]] = transaction.connection.execute(
            "DELETE FROM document WHERE tenant = ? AND namespace = ? AND key = ? RETURNING expires",
            (self.tenant, self.namespace, self.key),
        ).fetchall()
        return any(expires is None or expires > self.now for (expires,) in found)


class Sweep(msgspec.Struct, frozen=True):
    """Remove what has expired; its result is how many documents."""

    now: int
    weight: int = 1
    keys: Sequence[Key] = ()

    def __call__(self, transaction: Transaction) -> int:
        """Remove it."""
        connection = transaction.connection
        connection.execute("DELETE FROM document WHERE expires <= ?", (self.now,))
        return connection.changes()


def get(
    connection: apsw.Connection, tenant: str, namespace: str, key: str, now: int
) -> Document | None:
    """Give a document that has not expired."""
    found = connection.execute(
        "SELECT key, value, revision, expires FROM document"
        f" WHERE tenant = ? AND namespace = ? AND key = ? AND {_LIVE}",
        (tenant, namespace, key, now),
    ).fetchone()
    return None if found is None else Document(*found)


def page(
    connection: apsw.Connection, place: tuple[str, str, str], limit: int, now: int
) -> Sequence[Document]:
    """Give the documents past a place (tenant, namespace, key)."""
    found = connection.execute(
        "SELECT key, value, revision, expires FROM document"
        f" WHERE tenant = ? AND namespace = ? AND key > ? AND {_LIVE} ORDER BY key LIMIT ?",
        (*place, now, limit),
    )
    return [Document(*row) for row in found]
