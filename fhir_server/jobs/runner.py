"""Runs queued jobs: claim by lease, heartbeat, retry, cancel; at least once, so work is idempotent."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec
import structlog

from fhir_server.jobs import job as jobs
from fhir_server.jobs.job import ENDED, QUEUE, QUEUE_TENANT, Job, Queued
from fhir_server.store.port import Document, Documents
from resources.outcome import FhirError

log = structlog.get_logger()

LEASE = 15_000
ATTEMPTS = 3
_POLL = 0.5


class Cancelled(Exception):
    """The job was cancelled while it ran."""


class Progress(Protocol):
    """Tells how far a job is (0 to 100); raises Cancelled where it was cancelled meanwhile."""

    async def __call__(self, percent: int) -> None:
        """Keep the progress."""


Work = Callable[[Job, Progress], Awaitable[dict[str, Any]]]
"""Does a job and gives its output; may run again after a crash, so it must not double what it wrote."""
Told = Callable[[Job], Awaitable[None]]
"""Shows a job's new state, as a Task."""


class Runner:
    """Claims and runs jobs of the kinds it has work for, `parallel` at a time."""

    def __init__(
        self,
        documents: Documents,
        work: Mapping[str, Work],
        told: Told,
        clock: Callable[[], int],
        *,
        name: str,
        parallel: int = 1,
    ) -> None:
        self._documents = documents
        self._work = work
        self._told = told
        self._clock = clock
        self._name = name
        self._free = asyncio.Semaphore(parallel)
        self._woken = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look at the queue now: a job was just put there."""
        self._woken.set()

    async def run(self) -> None:
        """Run jobs until cancelled; what this worker held before it died is free at once."""
        await self._release()
        try:
            while True:
                await self._free.acquire()
                claimed = await self._claim()
                if claimed is None:
                    self._free.release()
                    await self._idle()
                    continue
                task = asyncio.create_task(self._do(*claimed))
                self._running.add(task)
                task.add_done_callback(self._finished)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _release(self) -> None:
        for document in await self._documents.list(QUEUE_TENANT, QUEUE):
            place = msgspec.json.decode(document.value, type=Queued)
            if place.worker == self._name and place.held_until:
                free = msgspec.json.encode(msgspec.structs.replace(place, held_until=0))
                await self._documents.put(
                    QUEUE_TENANT, QUEUE, document.key, free, revision=document.revision
                )

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._free.release()
        self._woken.set()

    async def _idle(self) -> None:
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), _POLL)

    async def _claim(self) -> tuple[str, Job] | None:
        """Take the oldest job that nobody holds, by compare-and-set on its place in the queue."""
        now = self._clock()
        for document in await self._documents.list(QUEUE_TENANT, QUEUE):
            place = msgspec.json.decode(document.value, type=Queued)
            if place.kind not in self._work or place.held_until > now:
                continue
            if await self._hold(document, place):
                found = await jobs.find(self._documents, place.tenant, place.job)
                if found is not None and found.state not in ENDED:
                    return document.key, found
                await self._documents.delete(QUEUE_TENANT, QUEUE, document.key)
        return None

    async def _hold(self, document: Document, place: Queued) -> bool:
        held = msgspec.structs.replace(place, worker=self._name, held_until=self._clock() + LEASE)
        revision = await self._documents.put(
            QUEUE_TENANT, QUEUE, document.key, msgspec.json.encode(held), revision=document.revision
        )
        return revision is not None

    async def _do(self, place: str, claimed: Job) -> None:
        """Run one job under a heartbeat, and keep how it ended."""
        started = msgspec.structs.replace(
            claimed, state="running", attempts=claimed.attempts + 1, started=self._clock()
        )
        await self._keep(started)
        beat = asyncio.create_task(self._heartbeat(place))
        try:
            ended = await self._outcome(started)
        finally:
            beat.cancel()
        if ended is None:
            return
        await self._keep(ended)
        await self._documents.delete(QUEUE_TENANT, QUEUE, place)

    async def _outcome(self, started: Job) -> Job | None:
        """Do the work; None leaves a failed job to its lease, to be tried again up to ATTEMPTS times."""
        try:
            output = await self._work[started.kind](started, self._progress(started))
        except Cancelled:
            return msgspec.structs.replace(started, state="cancelled", ended=self._clock())
        except FhirError as refused:
            return self._failed(started, str(refused))
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # the job runner: told, tried again, then failed
            log.exception("job", job=started.id, kind=started.kind, fault=type(fault).__name__)
            if started.attempts < ATTEMPTS:
                return None
            return self._failed(started, f"It failed {ATTEMPTS} times: {type(fault).__name__}")
        return msgspec.structs.replace(
            started, state="completed", progress=100, output=output, ended=self._clock()
        )

    def _failed(self, job: Job, problem: str) -> Job:
        return msgspec.structs.replace(job, state="failed", problem=problem, ended=self._clock())

    async def _heartbeat(self, key: str) -> None:
        while True:
            await asyncio.sleep(LEASE / 3000)
            document = await self._documents.get(QUEUE_TENANT, QUEUE, key)
            if document is not None:
                await self._hold(document, msgspec.json.decode(document.value, type=Queued))

    def _progress(self, job: Job) -> Progress:
        async def progress(percent: int) -> None:
            current = await jobs.find(self._documents, job.tenant, job.id)
            if current is not None and current.state == "cancelled":
                raise Cancelled
            await jobs.keep(self._documents, msgspec.structs.replace(job, progress=percent))

        return progress

    async def _keep(self, job: Job) -> None:
        current = await jobs.find(self._documents, job.tenant, job.id)
        if current is None or current.state != "cancelled":
            await jobs.keep(self._documents, job)
            await self._told(job)
