"""What PyMongo raises, told in the port's words: StoreUnavailable for a passing state, TooCostly for time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
)

from fhir_server.store.port import OutcomeUnknown, StoreUnavailable
from resources.outcome import TooCostly, TooLarge

_TOO_LARGE: Final = {257, 388, 10334}
"""TransactionTooLarge, TransactionTooLargeForCache and BSONObjectTooLarge."""
_PASSING: Final = (ConnectionFailure, InvalidOperation, WaitQueueTimeoutError)
TRANSIENT: Final = "TransientTransactionError"
UNKNOWN: Final = "UnknownTransactionCommitResult"

_LABELS: Final = (TRANSIENT, "RetryableWriteError")
_GONE: Final = {225, 239, 246}
"""TransactionTooOld, SnapshotTooOld and SnapshotUnavailable."""


@contextmanager
def told() -> Iterator[None]:
    """Tell the faults of reads and of single writes; what is a defect here is raised as it is."""
    try:
        with cancellable():
            yield
    except PyMongoError as fault:
        meaning = of(fault)
        if meaning is fault:
            raise
        raise meaning from fault


@contextmanager
def cancellable() -> Iterator[None]:
    """Cancel the task if it was to be cancelled within: the driver may lose that.

    It awaits `asyncio.wait_for`, which up to Python 3.11 forgets a cancellation that comes as it is done.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


def of(fault: PyMongoError) -> Exception:
    """Give what the port raises for a fault; the fault itself where it is a defect here."""
    if isinstance(fault, ExecutionTimeout):
        return TooCostly("The search takes too long: narrow what it asks for")
    if _codes(fault) & _TOO_LARGE:
        return too_large()
    return unavailable(fault) if passing(fault) else fault


def too_large() -> TooLarge:
    """Give what the port raises for a change that has no room in the server's cache or in a document."""
    return TooLarge("MongoDB, as it is set up, cannot take this much in one change")


def _codes(fault: PyMongoError) -> set[int]:
    """Give the codes of a fault, those of the single writes of a bulk among them."""
    if isinstance(fault, BulkWriteError):
        return {int(one.get("code", 0)) for one in (fault.details or {}).get("writeErrors", ())}
    return {fault.code or 0} if isinstance(fault, OperationFailure) else set()


def passing(fault: PyMongoError) -> bool:
    """Tell whether a fault is a state of the server or the network, which a later try may not meet."""
    if any(fault.has_error_label(label) for label in (*_LABELS, UNKNOWN)):
        return True
    if isinstance(fault, OperationFailure):
        return fault.code in _GONE
    return isinstance(fault, _PASSING)


def unavailable(fault: PyMongoError) -> StoreUnavailable:
    """Give what the port raises for a fault; names the kind only, for messages may hold what was stored."""
    if fault.has_error_label(UNKNOWN):
        return OutcomeUnknown("the store was lost in a commit: it is not known whether it was done")
    return StoreUnavailable(f"the store cannot be reached: {type(fault).__name__}")
