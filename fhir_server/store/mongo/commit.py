"""What one caller wants committed, as a piece of work within a transaction."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fhir_server.store.marks import TYPE
from fhir_server.store.mongo.transaction import Transaction
from fhir_server.store.port import Change, Key, Precondition, Version, VersionIs


class Commit(msgspec.Struct, frozen=True):
    """Write what one caller wants committed; its result is the versions."""

    changes: Sequence[Change]
    preconditions: Sequence[Precondition]

    @property
    def weight(self) -> int:
        """The number of changes."""
        return len(self.changes)

    @property
    def keys(self) -> Sequence[Key]:
        """What is changed or must have a version; what is created under an id of ours is new."""
        required = (p.key for p in self.preconditions if isinstance(p, VersionIs))
        return [*(c.key for c in self.changes if c.method != "POST"), *required]

    async def __call__(self, transaction: Transaction) -> list[Version]:
        """Check the preconditions, then gather the changes."""
        for index, precondition in enumerate(self.preconditions):
            await transaction.require(index, precondition)
        named = ((c.key, c.body.tail) for c in self.changes if c.body and c.key.type == TYPE)
        await transaction.holds(named)
        return [transaction.change(change) for change in self.changes]
