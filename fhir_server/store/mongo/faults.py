"""What PyMongo raises, told in the port's words: StoreUnavailable for a passing state, TooCostly for time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
)

from fhir_server.store.port import StoreUnavailable
from resources.outcome import TooCostly

_PASSING: Final = (ConnectionFailure, InvalidOperation, WaitQueueTimeoutError)
TRANSIENT: Final = "TransientTransactionError"
UNKNOWN: Final = "UnknownTransactionCommitResult"

_LABELS: Final = (TRANSIENT, "RetryableWriteError")
_SNAPSHOT_GONE: Final = {239, 246}
"""SnapshotTooOld and SnapshotUnavailable."""


@contextmanager
def told() -> Iterator[None]:
    """Tell the faults of reads and of single writes; what is a defect here is raised as it is."""
    try:
        yield
    except PyMongoError as fault:
        meaning = of(fault)
        if meaning is fault:
            raise
        raise meaning from fault


def of(fault: PyMongoError) -> Exception:
    """Give what the port raises for a fault; the fault itself where it is a defect here."""
    if isinstance(fault, ExecutionTimeout):
        return TooCostly("The search takes too long: narrow what it asks for")
    return unavailable(fault) if passing(fault) else fault


def passing(fault: PyMongoError) -> bool:
    """Tell whether a fault is a state of the server or the network, which a later try may not meet."""
    if any(fault.has_error_label(label) for label in (*_LABELS, UNKNOWN)):
        return True
    if isinstance(fault, OperationFailure):
        return fault.code in _SNAPSHOT_GONE
    return isinstance(fault, _PASSING)


def unavailable(fault: PyMongoError) -> StoreUnavailable:
    """Give what the port raises for a fault; names the kind only, for messages may hold what was stored."""
    if fault.has_error_label(UNKNOWN):
        return StoreUnavailable(
            "the store was lost in a commit: it is not known whether it was done"
        )
    return StoreUnavailable(f"the store cannot be reached: {type(fault).__name__}")
