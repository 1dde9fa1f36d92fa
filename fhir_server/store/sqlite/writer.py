"""The one thread that writes: work that is queued meanwhile shares a durable transaction (group commit).

Nobody waits for a group to fill: a lone piece of work is written at once. What many callers bring in the same
turns of an event loop comes to the thread together, as a transaction costs ten times what one more resource
adds to it. If a group cannot be written, each piece is tried again alone, so that one caller's fault is not
another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import apsw
import structlog

from fhir_server.store.port import Key, MatchConflict, OutOfOrder, StoreUnavailable, VersionConflict
from fhir_server.store.sqlite import faults
from fhir_server.store.sqlite.texts import STEP, STRAIGHT
from fhir_server.store.sqlite.transaction import Transaction

MOST_CHANGES: Final = 400
TOGETHER: Final = 32
"""So many pieces of work from one event loop are handed to the thread without waiting for more."""
QUIET_S: Final = 0.1
"""After so long without a write texts that wait are put into their indexes."""
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
    """A piece of work: how many changes it makes, the resources that it looks at, and how it makes them."""

    @property
    def weight(self) -> int:
        """The number of changes."""

    @property
    def keys(self) -> Sequence[Key]:
        """The resources whose current versions it asks for, as far as it can tell."""

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
        self._submitted: dict[asyncio.AbstractEventLoop, list[_Queued]] = {}
        self._queue: queue.SimpleQueue[list[_Queued] | None] = queue.SimpleQueue()
        self._waiting: deque[_Queued] = deque()
        self._closing = self._ended = False
        self._lock = threading.Lock()
        self._log = _Log(transaction.connection, checkpoints)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self._log.start()
        self._thread.start()

    def submit(self, work: Work[_R]) -> asyncio.Future[_R]:
        """Queue a piece of work; the future has its result once it is durable. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        queued = _Queued(work, loop)
        with self._lock:
            if self._closing:
                raise StoreUnavailable("the store is closing")
            waiting = self._submitted.get(loop)
            if waiting is None:
                self._submitted[loop] = [queued]
                loop.call_soon(self._gather, loop, 0)
            else:
                waiting.append(queued)
        return queued.future

    def _gather(self, loop: asyncio.AbstractEventLoop, known: int) -> None:
        """Hand over once a turn of an event loop brings nothing more: what comes together is written so."""
        with self._lock:
            waiting = len(self._submitted.get(loop, ()))
        if known < waiting < TOGETHER:
            loop.call_soon(self._gather, loop, waiting)
        else:
            self._hand_over(loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the thread what was submitted on an event loop."""
        with self._lock:
            submitted = self._submitted.pop(loop, None)
            if submitted is not None:
                self._queue.put(submitted)

    def stop(self) -> None:
        """Write what is queued and end the threads; to be called off the event loop."""
        self._refuse()
        for loop in list(self._submitted):
            self._hand_over(loop)
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
        """Give what waits, up to MOST_CHANGES, waiting for the first; nothing at the end."""
        if not self._waiting and not self._ended:
            self._take(self._first())
        with contextlib.suppress(queue.Empty):
            while not self._ended:
                self._take(self._queue.get_nowait())
        group: list[_Queued] = []
        weight = 0
        while self._waiting and weight < MOST_CHANGES:
            one = self._waiting.popleft()
            group.append(one)
            weight += one.work.weight
        return group

    def _take(self, submitted: list[_Queued] | None) -> None:
        self._waiting.extend(submitted or ())
        self._ended = submitted is None

    def _first(self) -> list[_Queued] | None:
        """Wait for work; meanwhile texts that wait are put into their indexes."""
        while self._transaction.texts.waiting >= STRAIGHT:
            try:
                return self._queue.get(timeout=QUIET_S)
            except queue.Empty:
                if not self._settle():
                    break
        return self._queue.get()

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
        if self._transaction.texts.waiting >= STEP:
            self._settle()
        self._log.written()

    def _settle(self) -> bool:
        """Put some of the texts that wait into their indexes; tells whether that could be done."""
        transaction = self._transaction
        try:
            transaction.begin()
            transaction.texts.settle()
            transaction.commit()
        except apsw.Error as fault:  # they are found as they are; the next write tries again
            transaction.roll_back()
            _log.warning("texts_wait", fault=type(fault).__name__)
            return False
        return True

    def _attempt(self, group: list[_Queued]) -> Exception | None:
        """Do the group's work in one transaction; gives what prevented it."""
        transaction = self._transaction
        try:
            transaction.begin([key for one in group for key in one.work.keys])
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
            return faults.of(fault, "the store cannot write")
        return None

    def _abandon(self, group: list[_Queued]) -> None:
        for loop in list(self._submitted):
            self._hand_over(loop)
        while not self._queue.empty():
            self._waiting.extend(self._queue.get() or ())
        left = [*group, *self._waiting]
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
