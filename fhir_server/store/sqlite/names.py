"""Small numbers for what index keys begin with: a tenant's collection of one type, and its atoms by kind.

Numbers are given once and never change, so what a connection has seen it may remember.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw


class Names:
    """The numbers as one connection knows them."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._collections: dict[tuple[str, str], int] = {}
        self._labels: dict[int, tuple[str, str]] = {}
        self._slots: dict[tuple[int, str, str], int] = {}

    def collection(self, tenant: str, type: str) -> int | None:
        """Give the number of a tenant's type, None where nothing was ever stored of it."""
        known = self._collections.get((tenant, type))
        if known is None:
            known = self._connection.execute(
                "SELECT id FROM collection WHERE tenant = ? AND type = ?", (tenant, type)
            ).get
            if known is not None:
                self._collections[tenant, type] = known
        return known

    def of(self, tenant: str, types: Sequence[str]) -> dict[str, int]:
        """Give the numbers of those types of a tenant of which something was ever stored."""
        found = {type_: self._collections.get((tenant, type_)) for type_ in types}
        if None in found.values():
            sql = "SELECT type, id FROM collection WHERE tenant = ?"
            for type_, number in self._connection.execute(sql, (tenant,)):
                self._collections[tenant, type_] = number
                if type_ in found:
                    found[type_] = number
        return {type_: number for type_, number in found.items() if number is not None}

    def collections(self, tenant: str) -> list[int]:
        """Give the numbers of all types of a tenant."""
        found = self._connection.execute("SELECT id FROM collection WHERE tenant = ?", (tenant,))
        return [number for (number,) in found]

    def label(self, collection: int) -> tuple[str, str]:
        """Give the tenant and type of a number that was given."""
        known = self._labels.get(collection)
        if known is None:
            tenant, type_ = self._connection.execute(
                "SELECT tenant, type FROM collection WHERE id = ?", (collection,)
            ).get
            known = self._labels[collection] = (tenant, type_)
        return known

    def slot(self, collection: int, kind: str, atom: str) -> int | None:
        """Give the number of an atom of a kind, None where no resource ever had a value of it."""
        known = self._slots.get((collection, kind, atom))
        if known is None:
            known = self._connection.execute(
                "SELECT id FROM slot WHERE collection = ? AND kind = ? AND atom = ?",
                (collection, kind, atom),
            ).get
            if known is not None:
                self._slots[collection, kind, atom] = known
        return known

    def give_collection(self, tenant: str, type: str) -> int:
        """Give the number of a tenant's type, a new one if need be; only within a write transaction."""
        known = self.collection(tenant, type)
        if known is None:
            self._connection.execute(
                "INSERT INTO collection(tenant, type) VALUES(?, ?)", (tenant, type)
            )
            known = self._collections[tenant, type] = self._connection.last_insert_rowid()
        return known

    def give_slot(self, collection: int, kind: str, atom: str) -> int:
        """Give the number of an atom of a kind, a new one if need be; only within a write transaction."""
        known = self.slot(collection, kind, atom)
        if known is None:
            self._connection.execute(
                "INSERT INTO slot(collection, kind, atom) VALUES(?, ?, ?)", (collection, kind, atom)
            )
            known = self._slots[collection, kind, atom] = self._connection.last_insert_rowid()
        return known

    def forget(self) -> None:
        """Forget everything: after a rollback, when numbers may not have been given after all."""
        self._collections.clear()
        self._labels.clear()
        self._slots.clear()
