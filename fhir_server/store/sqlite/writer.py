"""The one thread that writes: work that is queued meanwhile shares a durable transaction (group commit).

Nobody waits for a group to fill: a lone piece of work is written at once. If a group cannot be written, each
piece is tried again alone, so that one caller's fault is not another's.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import apsw
import structlog

from fhir_server.store.port import MatchConflict, OutOfOrder, StoreUnavailable, VersionConflict
from fhir_server.store.sqlite.texts import MOST, STRAIGHT
from fhir_server.store.sqlite.transaction import Transaction

MOST_CHANGES: Final = 400
CHECKPOINT_PAGES: Final = 2_000
MOST_PAGES: Final = 16_000
_PATIENCE_S: Final = 5.0

_log = structlog.get_logger(__name__)

_Result = TypeVar("_Result", covariant=True)  # noqa: PLC0105 - the result of a piece of work
_R = TypeVar("_R")
_REFUSALS: Final = (VersionConflict, MatchConflict)
_FAULTS: Final = (
    apsw.Error,
    OutOfOrder,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class Work(Protocol[_Result]):
    """A piece of work: how many changes it makes, and how it makes them."""

    @property
    def weight(self) -> int:
        """The number of changes."""

    def __call__(self, transaction: Transaction) -> _Result:
        """Do it within a transaction; raises VersionConflict or MatchConflict before it writes."""


class _Queued:
    __slots__ = ("future", "loop", "outcome", "work")

    def __init__(self, work: Work[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.outcome: Any = None


class Writer:
    """A queue, the thread that empties it, and the thread that copies the log into the file.

    `committed` is called on an event loop after commits that it was told of.
    """

    def __init__(
        self,
        transaction: Transaction,
        checkpoints: apsw.Connection,
        committed: Callable[[], None],
    ) -> None:
        self._transaction = transaction
        self._committed = committed
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._closing = False
        self._lock = threading.Lock()
        self._log = _Log(transaction.connection, checkpoints)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self._log.start()
        self._thread.start()

    def submit(self, work: Work[_R]) -> asyncio.Future[_R]:
        """Queue a piece of work; the future has its result once it is durable. Raises StoreUnavailable."""
        queued = _Queued(work, asyncio.get_running_loop())
        with self._lock:
            if self._closing:
                raise StoreUnavailable("the store is closing")
            self._queue.put(queued)
        return queued.future

    def stop(self) -> None:
        """Write what is queued and end the threads; to be called off the event loop."""
        self._refuse()
        self._queue.put(None)
        self._thread.join()
        self._log.stop()

    def _refuse(self) -> None:
        with self._lock:
            self._closing = True

    def _run(self) -> None:
        group: list[_Queued] = []
        try:
            while group := self._next():
                self._serve(group)
        finally:  # whatever ended the thread, nobody is left waiting
            self._refuse()
            self._abandon(group)

    def _next(self) -> list[_Queued]:
        """Give what is queued up to MOST_CHANGES, waiting for the first; nothing at the end."""
        first = self._queue.get()
        group = []
        weight = 0
        while first is not None:
            group.append(first)
            weight += first.work.weight
            if weight >= MOST_CHANGES:
                break
            try:
                first = self._queue.get_nowait()
            except queue.Empty:
                break
        else:
            if group:
                self._queue.put(None)
        return group

    def _serve(self, group: list[_Queued]) -> None:
        fault = self._attempt(group)
        if fault is not None and len(group) > 1:
            for one in group:
                alone = self._attempt([one])
                if alone is not None:
                    one.outcome = alone
        elif fault is not None:
            group[0].outcome = fault
        self._deliver(group)
        self._settle()
        self._log.written()

    def _settle(self) -> None:
        """Put texts that wait into their indexes, if nobody waits to write or if they are many."""
        waiting = self._transaction.texts.waiting
        if waiting < (STRAIGHT if self._queue.empty() else MOST):
            return
        transaction = self._transaction
        try:
            transaction.begin()
            transaction.texts.settle()
            transaction.commit()
        except apsw.Error as fault:  # they are found as they are; the next write tries again
            transaction.roll_back()
            _log.warning("texts_wait", fault=type(fault).__name__)

    def _attempt(self, group: list[_Queued]) -> Exception | None:
        """Do the group's work in one transaction; gives what prevented it."""
        transaction = self._transaction
        try:
            transaction.begin()
            for one in group:
                try:
                    one.outcome = one.work(transaction)
                except _REFUSALS as refusal:
                    one.outcome = refusal
            transaction.commit()
        except _FAULTS as fault:
            transaction.roll_back()
            if not isinstance(fault, apsw.Error):
                return fault
            _log.warning("write_failed", fault=type(fault).__name__, together=len(group))
            unavailable = StoreUnavailable(f"the store cannot write: {type(fault).__name__}")
            unavailable.__cause__ = fault
            return unavailable
        return None

    def _abandon(self, group: list[_Queued]) -> None:
        left = list(group)
        while not self._queue.empty():
            one = self._queue.get()
            if one is not None:
                left.append(one)
        for one in left:
            one.outcome = StoreUnavailable("the store has stopped writing")
        self._deliver(left)

    def _deliver(self, group: Sequence[_Queued]) -> None:
        """Answer the callers, waking each of their event loops once."""
        loops = {one.loop for one in group}
        for loop in loops:
            mine = [one for one in group if one.loop is loop]
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._answer, mine)

    def _answer(self, group: Sequence[_Queued]) -> None:
        for one in group:
            if one.future.done():  # its caller was cancelled; what is written stays written
                continue
            if isinstance(one.outcome, BaseException):
                one.future.set_exception(one.outcome)
            else:
                one.future.set_result(one.outcome)
        self._committed()


class _Log:
    """The write-ahead log: a thread of its own copies it into the file, the writer its rest between groups.

    Only the writer can end a copy while writes go on; what the thread has left to it is little. Past
    MOST_PAGES the writer waits for the thread, so that the log does not grow without bound.
    """

    def __init__(self, writes: apsw.Connection, checkpoints: apsw.Connection) -> None:
        self._writes = writes
        self._checkpoints = checkpoints
        self._pages = 0
        self._wanted = threading.Event()
        self._copied = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="store-checkpoint", daemon=True)
        writes.set_wal_hook(self._grown)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()

    def written(self) -> None:
        """Take note, on the writer's thread, that a group was written."""
        if self._pages < CHECKPOINT_PAGES:
            return
        self._wanted.set()
        if self._pages >= MOST_PAGES:
            self._copied.wait(_PATIENCE_S)
        if self._copied.is_set():
            _copy(self._writes)
            self._pages = 0
            self._copied.clear()

    def _grown(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._pages = pages
        return 0

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()  # before looking whether to stop: what is asked for later is not lost
            if self._stopping:
                return
            if not self._copied.is_set():
                _copy(self._checkpoints)
                self._copied.set()


def _copy(connection: apsw.Connection) -> None:
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    except apsw.BusyError:  # another process is copying
        return
    except (
        apsw.Error
    ) as fault:  # the log only stays longer; a write would meet the same fault and tell it
        _log.warning("checkpoint_failed", fault=type(fault).__name__)
