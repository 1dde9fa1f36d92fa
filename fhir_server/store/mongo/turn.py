"""Whose turn it is to write, among the processes that share a database.

Every transaction writes the document of `head` first, so that of two that overlap the later one is refused at
once. It then waits in the server, by a write of that document outside a transaction, which is done as soon as
the other transaction has ended; who has just had a turn and sees that somebody waits lets others go first.

A process that dies within its transaction would keep the others out for as long as the server lets one live:
a minute. So each gives a sign of life beside the name of its session, and whoever has waited for long ends
the sessions of those that no longer do.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final, TypeVar

import structlog
from pymongo import AsyncMongoClient, ReturnDocument, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from fhir_server.store.mongo.faults import TRANSIENT, UNKNOWN, cancellable, too_large
from fhir_server.store.mongo.keys import HEAD, Filter
from fhir_server.store.mongo.view import Database, Document

ACKNOWLEDGED: Final = WriteConcern(w="majority", j=True)

_PATIENCE_S: Final = 120.0
_SIGN_S: Final = 1.0
_DEAD_MS: Final = 4_000
_LONG_MS: Final = 2_000
DEAD: Final = {"$lt": ["$beat", {"$subtract": ["$$NOW", _DEAD_MS]}]}
"""What holds of a writer without a sign of life."""
_WRITE_CONFLICT: Final = 112
_MANY: Final = 1_000
_CROWDED: Final = 3
"""Whoever has the turn conflicts with nobody, but a server whose cache is full of one transaction may say so.
A transaction of MANY versions that this befell so often is taken for too large."""
_PAUSE_S: Final = 0.25
_OTHERS_S: Final = 0.005

_log = structlog.get_logger(__name__)
_R = TypeVar("_R")
Attempt = Callable[[AsyncClientSession, Document], Awaitable[_R]]
"""What is done in a turn, given the session and the document of `head` after positions were taken."""


class Turn:
    """The writing session of one process; transactions run in it one after another."""

    def __init__(self, database: Database) -> None:
        name = uuid.uuid4().hex
        self._client: AsyncMongoClient[Document] = database.client
        self._writers = database["writers"].with_options(write_concern=WriteConcern(w=1))
        self._head = database["head"]
        self._bell = self._head.with_options(write_concern=WriteConcern(w=1))
        self._rung = 0
        self._later = 0.0
        self._had = False
        self.me: Filter = {"_id": name, "tenant": "", "id": name}
        """The document of `writers` with the signs of life."""
        self._session = self._client.start_session()

    async def open(self) -> None:
        """Give the first sign of life and go on giving them; remove what dead writers left."""
        await self._give_sign()
        await self._end_the_dead()
        self._task = asyncio.create_task(self._give_signs(), name="store-writer-sign")

    async def close(self) -> None:
        """Give no more signs and end the session."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._session.end_session()
        try:
            await self._writers.delete_one(self.me)
        except PyMongoError as fault:  # whoever comes next removes it
            _log.warning("writer_left_behind", fault=type(fault).__name__)

    async def transact(self, most: int, now: int, attempt: Attempt[_R]) -> _R:
        """Run a transaction that takes up to `most` positions, again from its beginning where need be.

        That is where another got in between or a primary was lost. A commit whose result is unknown is asked
        for again, which changes nothing if it was done. Raises what the driver raised last, after two minutes
        or at once where a new attempt cannot help, and TooLarge.
        """
        begun, crowded = time.monotonic(), 0
        await asyncio.sleep(max(0.0, self._later - begun))
        while True:
            try:
                return await self._once(most, now, attempt, begun)
            except PyMongoError as fault:
                late = time.monotonic() - begun > _PATIENCE_S
                if late or not fault.has_error_label(TRANSIENT):
                    raise
                if not isinstance(fault, OperationFailure) or fault.code != _WRITE_CONFLICT:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                crowded += self._had
                if most >= _MANY and crowded >= _CROWDED:
                    raise too_large() from fault
                await self._wait()

    async def _once(self, most: int, now: int, attempt: Attempt[_R], begun: float) -> _R:
        session, self._had = self._session, False
        await session.start_transaction(ReadConcern("snapshot"), ACKNOWLEDGED)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(_undone, session)
            head = await self._take(most, now)
            self._had = True
            result = await attempt(session, head)
            undo.pop_all()
        await self._commit(begun)
        rung = head.get("bell", 0)
        self._later = time.monotonic() + _OTHERS_S if rung != self._rung else 0.0
        self._rung = rung
        return result

    async def _take(self, most: int, now: int) -> Document:
        """Take the turn, and positions for as many versions as there may be."""
        head = await self._head.find_one_and_update(
            HEAD,
            {"$inc": {"position": most}, "$max": {"updated": now}},
            return_document=ReturnDocument.AFTER,
            session=self._session,
        )
        if head is None:
            raise LookupError("the document of head is gone")
        return head

    async def _commit(self, begun: float) -> None:
        while True:
            try:
                await self._session.commit_transaction()
            except PyMongoError as fault:
                unknown = fault.has_error_label(UNKNOWN)
                if not unknown or time.monotonic() - begun > _PATIENCE_S:
                    raise
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    async def _wait(self) -> None:
        """Wait until the transaction that is in the way has ended; end it if nobody lives behind it."""
        try:
            await self._bell.find_one_and_update(HEAD, {"$inc": {"bell": 1}}, maxTimeMS=_LONG_MS)
        except ExecutionTimeout:
            await self._end_the_dead()
        except PyMongoError:
            await asyncio.sleep(_PAUSE_S)

    async def _end_the_dead(self) -> None:
        """End the sessions of writers without a sign of life, which ends their transactions."""
        try:
            for one in await self._writers.find({"$expr": DEAD}).to_list():
                await self._client.admin.command("killSessions", [one["session"]])
                gone = {name: one[name] for name in ("_id", "tenant", "id", "beat")}
                await self._writers.delete_one(gone)
                _log.warning("dead_writer_ended", writer=one["id"])
        except PyMongoError as fault:  # the server ends what is left by itself, after a minute
            _log.warning("dead_writer_left", fault=type(fault).__name__)
            await asyncio.sleep(_PAUSE_S)

    async def _give_sign(self) -> None:
        await self._writers.update_one(
            self.me,
            {"$set": {"session": self._session.session_id}, "$currentDate": {"beat": True}},
            upsert=True,
        )

    async def _give_signs(self) -> None:
        while True:
            await asyncio.sleep(_SIGN_S)
            try:
                with cancellable():
                    await self._give_sign()
            except PyMongoError as fault:  # there is no primary now; the next sign may reach one
                _log.warning("sign_not_given", fault=type(fault).__name__)


async def _undone(session: AsyncClientSession) -> None:
    if session.in_transaction:
        await session.abort_transaction()
