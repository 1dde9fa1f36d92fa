"""Runs queued jobs: claim, heartbeat, retry, cancel; at least once, so work is idempotent."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from msgspec.structs import replace

from fhir_server.jobs import job as jobs
from fhir_server.jobs.job import ENDED, Job
from fhir_server.jobs.kind import Cancelled, Kind
from fhir_server.jobs.queue import Held, Queue
from fhir_server.store.port import Documents, StoreUnavailable
from resources.outcome import FhirError

log = structlog.get_logger()

ATTEMPTS = 3
_POLL_S = 0.5
_BEAT_S = 1.0
_BEATS_A_WORD = 5
_BACKOFF = 500
_PASSING = frozenset({409, 412, 500, 503})

Told = Callable[[Job], Awaitable[object]]
"""Shows a job's new state, as a Task."""


class Runner:
    """Claims and runs jobs of the kinds it is given, of each kind as many at once as the kind says."""

    def __init__(
        self,
        documents: Documents,
        kinds: Mapping[str, Kind],
        told: Told,
        clock: Callable[[], int],
        *,
        name: str,
    ) -> None:
        self._documents = documents
        self._queue = Queue(documents, clock, name)
        self._kinds = kinds
        self._told = told
        self._clock = clock
        self._woken = asyncio.Event()
        self._running: dict[asyncio.Task[None], str] = {}

    def wake(self) -> None:
        """Look at the queue now: something changed there."""
        self._woken.set()

    async def run(self) -> None:
        """Run jobs until cancelled; what a worker of this name held before it died is free at once."""
        await self._queue.free()
        try:
            while True:
                self._woken.clear()
                held = await self._queue.claim(self._free())
                if held is None:
                    await self._idle()
                else:
                    task = asyncio.create_task(self._do(held))
                    self._running[task] = held.place.kind
                    task.add_done_callback(self._finished)
        finally:
            running = list(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _free(self) -> list[str]:
        """Give the kinds of which another job may run."""
        busy = Counter(self._running.values())
        return [name for name, kind in self._kinds.items() if busy[name] < kind.parallel]

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._woken.set()
        fault = None if task.cancelled() else task.exception()
        if fault is not None:  # e.g. the store went away; its lease ends, and it is tried again
            log.warning("job left", fault=type(fault).__name__)

    async def _idle(self) -> None:
        with contextlib.suppress(TimeoutError):  # wait_for of 3.11 may swallow a cancellation
            async with asyncio.timeout(_POLL_S):
                await self._woken.wait()

    async def _do(self, held: Held) -> None:
        """Run the job of a place, and close it; one that is to be tried again keeps its place."""
        started = await self._begun(held)
        if started is not None:
            changes = await self._attempted(held, started)
            if changes is None:
                await self._queue.release(held, _BACKOFF * 4**started.attempts)
                return
            await _change(self._documents, started, **changes)
        await self._close(held)

    async def _attempted(self, held: Held, started: Job) -> dict[str, Any] | None:
        """Tell that a job runs, and do its work; where this worker is stopped the attempt does not count."""
        try:
            await self._tell(started)
            return await self._worked(held, started)
        except asyncio.CancelledError:
            await self._put_back(held, started)
            raise

    async def _put_back(self, held: Held, started: Job) -> None:
        """Queue a job again as if this attempt had not been."""
        before = started.attempts - 1
        await _change(self._documents, started, state="queued", attempts=before)
        await self._queue.release(held)

    async def _begun(self, held: Held) -> Job | None:
        """Begin an attempt; a worker that is stopped meanwhile first learns what it has to put back."""
        beginning = asyncio.ensure_future(self._started(held))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            started = await beginning
            if started is not None:
                await self._put_back(held, started)
            raise

    async def _started(self, held: Held) -> Job | None:
        """Begin an attempt; None where the job has ended. Attempts that all ended in a crash are enough."""
        now = self._clock()

        def begun(job: Job) -> Job | None:
            if job.state in ENDED:
                return None
            if job.attempts >= ATTEMPTS:
                problem = f"It was begun {ATTEMPTS} times and never came to an end"
                return replace(job, state="failed", problem=problem, refusal=500, ended=now)
            count = job.attempts + 1
            return replace(job, state="running", attempts=count, settled=False, started=now)

        place = held.place
        job = await jobs.amend(self._documents, place.tenant, place.job, begun)
        return None if job is None or job.state in ENDED else job

    async def _worked(self, held: Held, job: Job) -> dict[str, Any] | None:
        """Do the work under a heartbeat; gives how the job ends, None where it is to be tried again.

        Where it is not this worker's any more there is nothing to change.
        """
        work = asyncio.create_task(self._outcome(job))
        beat = asyncio.create_task(self._beat(held, job, work))
        try:
            await asyncio.wait({work})
        finally:
            work.cancel()
            beat.cancel()
            await asyncio.gather(work, beat, return_exceptions=True)
        return {} if work.cancelled() else work.result()

    async def _outcome(self, job: Job) -> dict[str, Any] | None:
        """Do the work; a fault, or what may pass, is tried again up to ATTEMPTS times."""
        again = job.attempts < ATTEMPTS
        try:
            output = await self._kinds[job.kind].work(job, _Attempt(self._documents, job))
        except Cancelled:
            return {}
        except FhirError as refused:
            if again and refused.status in _PASSING:
                return None
            return self._failed(str(refused), refused.status)
        except Exception as fault:  # the job runner: told, tried again, then failed
            log.exception("job", job=job.id, kind=job.kind, fault=type(fault).__name__)
            if again:
                return None
            return self._failed(f"It failed {ATTEMPTS} times: {type(fault).__name__}", 500)
        done = {"state": "completed", "progress": 100, "output": output}
        return done | {"ended": self._clock()}

    def _failed(self, problem: str, status: int) -> dict[str, Any]:
        return {"state": "failed", "problem": problem, "refusal": status, "ended": self._clock()}

    async def _beat(self, held: Held, job: Job, work: asyncio.Task[Any]) -> None:
        """Hold the place while the work runs; stop the work once the job is not this worker's any more."""
        beats = 0
        while True:
            await asyncio.sleep(_BEAT_S)
            beats += 1
            current = await jobs.find(self._documents, job.tenant, job.id)
            lost = beats % _BEATS_A_WORD == 0 and not await self._queue.extend(held)
            if lost or current is None or not _same_attempt(current, job):
                work.cancel()
                return

    async def _close(self, held: Held) -> None:
        """Tell how the job of a place ended, tidy up after it, and take the place away."""
        place = held.place
        job = await jobs.find(self._documents, place.tenant, place.job)
        if job is not None and job.state not in ENDED:
            return  # another worker took it over
        if job is not None:
            forget = self._kinds[job.kind].forget
            if forget is not None and job.state != "completed":
                await forget(job)
            await self._tell(job)
        await self._queue.drop(held)

    async def _tell(self, job: Job) -> None:
        """Show the job's state; where that fails the job goes on, and its status URL still tells it."""
        try:
            await self._told(job)
        except (FhirError, StoreUnavailable) as fault:
            log.warning("job not shown", job=job.id, fault=type(fault).__name__)


class _Attempt:
    """The progress of one attempt, kept in the job; satisfies Progress."""

    def __init__(self, documents: Documents, job: Job) -> None:
        self._documents = documents
        self._job = job

    async def __call__(self, percent: int) -> None:
        """Keep how far the job is."""
        await self._keep(progress=percent)

    async def settle(self) -> None:
        """Make it too late to cancel."""
        await self._keep(settled=True)

    async def _keep(self, **changes: Any) -> None:
        if await _change(self._documents, self._job, **changes) is None:
            raise Cancelled


def _same_attempt(current: Job, job: Job) -> bool:
    """Tell whether a job still runs in the attempt that `job` is of."""
    return current.state == "running" and current.attempts == job.attempts


async def _change(documents: Documents, job: Job, **changes: Any) -> Job | None:
    """Change a job, if it still is in this attempt; gives what was written."""

    def changed(current: Job) -> Job | None:
        return replace(current, **changes) if _same_attempt(current, job) else None

    return await jobs.amend(documents, job.tenant, job.id, changed)
