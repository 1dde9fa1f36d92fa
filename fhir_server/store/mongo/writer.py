"""The one task that writes: work that is queued meanwhile shares a durable transaction (group commit).

A lone caller's work is done at once. Where many write, those who were answered just now get a moment to come
back, or they and those who waited meanwhile would each fill half of every other group. If a group cannot be
written, each piece is tried again alone, so that one caller's fault is not another's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from fhir_server.search.match import Clinical
from fhir_server.store.mongo import faults
from fhir_server.store.mongo.keys import Filter
from fhir_server.store.mongo.searches import Searches
from fhir_server.store.mongo.transaction import Done, Lost, Taken, Transaction, Work
from fhir_server.store.mongo.turn import Turn
from fhir_server.store.mongo.view import Database, Document, View
from fhir_server.store.port import Key, StoreUnavailable
from resources.outcome import FhirError

MOST_CHANGES: Final = 400

_FAULTS: Final = (
    ArithmeticError,
    AttributeError,
    FhirError,
    LookupError,
    Lost,
    PyMongoError,
    TypeError,
    ValueError,
)

_log = structlog.get_logger(__name__)


class _Queued:
    __slots__ = ("future", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def answer(self, outcome: Any) -> None:
        """Tell the caller, unless it was cancelled; what is written stays written."""
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Writer:
    """A queue and the task that empties it; `committed` is told of every transaction."""

    def __init__(
        self,
        database: Database,
        clinical: Clinical,
        searches: Searches,
        clock: Callable[[], int],
        committed: Callable[[Done], None],
    ) -> None:
        self._database = database
        self._clinical = clinical
        self._searches = searches
        self._clock = clock
        self._committed = committed
        self._queue: asyncio.Queue[_Queued | None] = asyncio.Queue()
        self._closing = False
        self._crowd = 1
        self._wanted = 0
        self._enough = asyncio.Event()
        self._ended = self._took = 0.0
        self._turn = Turn(database)

    @property
    def me(self) -> Filter:
        """The filter of this process's document in `writers`."""
        return self._turn.me

    async def start(self) -> None:
        """Start the task."""
        await self._turn.open()
        self._task = asyncio.create_task(self._run(), name="store-writer")

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Queue a piece of work; the future has its result once it is durable. Raises StoreUnavailable."""
        if self._closing:
            raise StoreUnavailable("the store is closing")
        queued = _Queued(work)
        self._queue.put_nowait(queued)
        if self._queue.qsize() >= self._wanted:
            self._enough.set()
        return queued.future

    async def stop(self) -> None:
        """Write what is queued and end the task."""
        self._closing = True
        self._queue.put_nowait(None)
        self._enough.set()
        await self._task
        await self._turn.close()

    async def _run(self) -> None:
        group: list[_Queued] = []
        try:
            while group := await self._next():
                begun = time.monotonic()
                await self._serve(group)
                self._ended = time.monotonic()
                self._took = self._ended - begun
                self._crowd = len(group) + self._queue.qsize()
        finally:  # whatever ended the task, nobody is left waiting
            self._closing = True
            while not self._queue.empty():
                group += [one for one in [self._queue.get_nowait()] if one is not None]
            for one in group:
                one.answer(StoreUnavailable("the store has stopped writing"))

    async def _next(self) -> list[_Queued]:
        """Give what is queued up to MOST_CHANGES, waiting for the first; nothing at the end."""
        group: list[_Queued] = []
        weight = 0
        one = await self._queue.get()
        if one is not None:
            await self._gather()
        while one is not None:
            group.append(one)
            weight += max(1, one.work.weight)
            if weight >= MOST_CHANGES or self._queue.empty():
                return group
            one = self._queue.get_nowait()
        if group:
            self._queue.put_nowait(None)
        return group

    async def _gather(self) -> None:
        """Let those come who were answered just now: half a group costs as much as a whole one.

        Not longer than a third of the time that the last transaction took.
        """
        self._wanted = self._crowd - 1  # one is in hand
        left = self._ended + self._took / 3 - time.monotonic()
        if self._queue.qsize() >= self._wanted or left <= 0:
            return
        self._enough.clear()
        try:
            async with asyncio.timeout(left):
                await self._enough.wait()
        except TimeoutError:
            return

    async def _serve(self, group: Sequence[_Queued]) -> None:
        fault = await self._attempt(group)
        if fault is None:
            return
        if len(group) == 1 or isinstance(fault, StoreUnavailable):
            for one in group:
                one.answer(fault)
            return
        for one in group:
            alone = await self._attempt([one])
            if alone is not None:
                one.answer(alone)

    async def _attempt(self, group: Sequence[_Queued]) -> Exception | None:
        """Write the group in one transaction and answer its callers; gives what prevented it."""
        try:
            done = await self._transact([one.work for one in group])
        except _FAULTS as fault:
            if not isinstance(fault, PyMongoError):
                return fault
            _log.warning("write_failed", fault=type(fault).__name__, together=len(group))
            meaning = faults.of(fault)
            meaning.__cause__ = None if meaning is fault else fault
            return meaning
        for one, outcome in zip(group, done.outcomes, strict=True):
            one.answer(outcome)
        self._committed(done)
        return None

    async def _transact(self, group: Sequence[Work]) -> Done:
        """Do the work in one transaction; every attempt at it begins from nothing but the work.

        What is taken for new is looked up first only where a first attempt found that it is not.
        """
        doubted: frozenset[Key] = frozenset()

        async def attempt(session: AsyncClientSession, head: Document) -> Done:
            view = View(self._database, session)
            transaction = Transaction(view, self._clinical, self._searches, head)
            return await transaction.run(group, doubted)

        most = sum(one.weight for one in group)
        while True:
            try:
                return await self._turn.transact(most, self._clock(), attempt)
            except Taken as taken:
                if taken.keys <= doubted:
                    raise Lost("a resource that was not there is there") from taken
                doubted |= taken.keys
