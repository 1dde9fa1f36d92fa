"""What SQLite raises, told in the port's words: a state of the store, or damage to its file."""

from __future__ import annotations

from typing import Final

import apsw

from fhir_server.store.port import StoreDamaged, StoreUnavailable

_DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError)


def of(fault: apsw.Error, told: str) -> StoreUnavailable:
    """Give what the port raises for a fault; `told` says what could not be done."""
    kind = StoreDamaged if isinstance(fault, _DAMAGE) else StoreUnavailable
    meaning = kind(f"{told}: {type(fault).__name__}")
    meaning.__cause__ = fault
    return meaning
