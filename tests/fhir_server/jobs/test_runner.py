"""The worker: each job comes to one end, whatever is cancelled, fails, is stopped or dies on the way."""

import asyncio
import contextlib

import msgspec
from job_world import eventually

from fhir_server.jobs import job as jobs
from fhir_server.jobs import queue, shown
from fhir_server.jobs.job import Job, Owner
from fhir_server.jobs.kind import Kind
from fhir_server.jobs.runner import ATTEMPTS, Runner
from resources.outcome import Conflict, Unprocessable


class Work:
    """A kind of job that a test steers: what it does at each attempt, and what it was told to forget."""

    def __init__(self, act=None, parallel=1):
        self.act = act
        self.begun = []
        self.forgotten = []
        self.most = self.busy = 0
        self.kind = Kind(self.work, None, forget=self.forget, parallel=parallel)

    async def work(self, job, progress):
        self.begun.append((job.id, job.attempts))
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            return await self.act(job, progress) if self.act else {"n": job.attempts}
        finally:
            self.busy -= 1

    async def forget(self, job):
        self.forgotten.append(job.id)


def job_of(world, id_="j1", kind="count", **more):
    given = {"input": {"display": "Count"}, "owner": Owner("test"), "request": ""}
    return Job(id=id_, tenant="default", kind=kind, created=world.clock(), **given | more)


async def start(world, work=None, **more):
    """Queue a job of the kind `count`."""
    world.kinds["count"] = (work or Work()).kind
    job = job_of(world, **more)
    await shown.start(world.context, job)
    return job


async def states(world, id_="j1"):
    return [task["status"] for task in await world.versions(f"Task/{id_}")]


async def test_a_job_is_done_and_its_states_are_versions_of_its_task(world):
    await start(world)
    async with world.working():
        done = await world.closed("j1")
    assert (done.state, done.progress, done.output, done.attempts) == (
        "completed",
        100,
        {"n": 1},
        1,
    )
    assert done.created <= done.started <= done.ended
    assert await states(world) == ["requested", "in-progress", "completed"]
    assert await world.places() == []


async def test_a_fault_is_tried_again(world):
    async def act(job, progress):
        if job.attempts < ATTEMPTS:
            raise RuntimeError("not yet")
        return {}

    work = Work(act)
    await start(world, work)
    async with world.working():
        done = await world.closed("j1")
    assert (done.state, done.attempts) == ("completed", ATTEMPTS)
    assert [attempt for _, attempt in work.begun] == list(range(1, ATTEMPTS + 1))


async def test_a_fault_that_stays_fails_the_job_without_telling_what_it_held(world):
    async def act(job, progress):
        raise RuntimeError("Jane Roe, 1970-01-01")

    work = Work(act)
    await start(world, work)
    async with world.working():
        failed = await world.closed("j1")
    assert (failed.state, failed.attempts, failed.refusal) == ("failed", ATTEMPTS, 500)
    assert "Roe" not in failed.problem
    task = await world.give("GET", "Task/j1")
    assert task["statusReason"]["text"] == failed.problem
    assert work.forgotten == ["j1"]


async def test_a_refusal_is_final_and_its_sentence_is_told(world):
    async def act(job, progress):
        raise Unprocessable("The study has no such series")

    work = Work(act)
    await start(world, work)
    async with world.working():
        failed = await world.closed("j1")
    assert (failed.attempts, failed.refusal) == (1, 422)
    assert await states(world) == ["requested", "in-progress", "failed"]
    task = await world.give("GET", "Task/j1")
    assert task["statusReason"]["text"] == "The study has no such series"


async def test_a_refusal_that_may_pass_is_tried_again(world):
    async def act(job, progress):
        if job.attempts == 1:
            raise Conflict("racing")
        return {}

    await start(world, Work(act))
    async with world.working():
        assert (await world.closed("j1")).attempts == 2


async def test_a_job_that_is_cancelled_while_it_runs_stops_and_leaves_nothing(world):
    stopped = asyncio.Event()

    async def act(job, progress):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.set()
            raise
        return {"half": True}

    work = Work(act)
    job = await start(world, work)
    async with world.working():
        await world.until("j1", "running")
        assert await jobs.cancel(world.documents, job, world.clock()) is not None
        cancelled = await world.closed("j1")
    assert stopped.is_set()
    assert (cancelled.state, cancelled.output) == ("cancelled", {})
    assert (await states(world))[-1] == "cancelled"
    assert work.forgotten == ["j1"]
    assert await world.places() == []


async def test_progress_never_undoes_a_cancel(world):
    noticed = asyncio.Event()

    async def act(job, progress):
        try:
            while True:
                await progress(50)
                await asyncio.sleep(0)
        finally:
            noticed.set()

    job = await start(world, Work(act))
    async with world.working():
        await world.until("j1", "running")
        await jobs.cancel(world.documents, job, world.clock())
        await asyncio.wait_for(noticed.wait(), 10)
        assert (await world.closed("j1")).state == "cancelled"


async def test_a_job_cancelled_in_the_queue_is_never_begun(world):
    work = Work()
    job = await start(world, work)
    await jobs.cancel(world.documents, job, world.clock())
    await start(world, work, id_="j2")
    async with world.working():
        await world.closed("j2")
    assert work.begun == [("j2", 1)]
    assert (await world.job("j1")).state == "cancelled"


async def test_what_a_dead_worker_of_this_name_held_goes_on_at_once(world):
    await _as_a_dead_worker_left_it(world, worker="test")
    async with world.working():
        done = await world.closed("j1")
    assert (done.state, done.attempts) == ("completed", 2)


async def test_what_another_worker_held_goes_on_when_its_lease_ends(world):
    work = await _as_a_dead_worker_left_it(world, worker="elsewhere")
    async with world.working():
        await start(world, work, id_="j2")
        await world.closed("j2")
        assert work.begun == [("j2", 1)]
        world.clock.ahead += queue.LEASE + 1
        world.runner.wake()
        assert (await world.closed("j1")).attempts == 2


async def _as_a_dead_worker_left_it(world, worker):
    """Leave a job running, its place held by a worker that is no more."""
    work = Work()
    job = await start(world, work)
    await jobs.amend(
        world.documents,
        "default",
        job.id,
        lambda j: msgspec.structs.replace(j, state="running", attempts=1, started=j.created),
    )
    (document,) = await world.places()
    held = {**msgspec.json.decode(document.value), "worker": worker}
    held["held_until"] = world.clock() + queue.LEASE
    await world.documents.put(
        jobs.QUEUE_TENANT, jobs.QUEUE, document.key, msgspec.json.encode(held)
    )
    return work


async def test_a_job_that_ends_its_worker_each_time_fails_at_last(world):
    work = await _as_a_dead_worker_left_it(world, worker="test")
    await jobs.amend(
        world.documents, "default", "j1", lambda j: msgspec.structs.replace(j, attempts=ATTEMPTS)
    )
    async with world.working():
        failed = await world.closed("j1")
    assert (failed.state, failed.refusal) == ("failed", 500)
    assert work.begun == []
    assert (await states(world))[-1] == "failed"


async def test_a_death_between_the_end_and_its_task_is_made_good(world):
    await _as_a_dead_worker_left_it(world, worker="test")
    ended = {"state": "completed", "ended": world.clock(), "output": {"n": 9}}
    await jobs.amend(
        world.documents, "default", "j1", lambda j: msgspec.structs.replace(j, **ended)
    )
    async with world.working():
        done = await world.closed("j1")
    assert done.output == {"n": 9}
    assert (await states(world))[-1] == "completed"


async def test_a_worker_that_is_stopped_puts_its_job_back(world):
    async def act(job, progress):
        await asyncio.sleep(60)

    work = Work(act)
    await start(world, work)
    async with world.working():
        await world.until("j1", "running")
    back = await world.job("j1")
    assert (back.state, back.attempts) == ("queued", 0)
    work.act = None
    async with world.working():
        done = await world.closed("j1")
    assert (done.state, done.attempts) == ("completed", 1)


class SlowToAnswer:
    """Documents whose writes are done, and then not answered before `answering` is set."""

    def __init__(self, documents):
        self._documents = documents
        self.answering = asyncio.Event()
        self.unanswered = asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._documents, name)

    async def put(self, tenant, namespace, *given, **more):
        written = await self._documents.put(tenant, namespace, *given, **more)
        if namespace == jobs.JOBS and not self.answering.is_set():
            self.unanswered.set()
            await self.answering.wait()
        return written


async def test_a_worker_that_is_stopped_while_a_job_begins_puts_it_back(world):
    work = Work()
    await start(world, work)
    slow = SlowToAnswer(world.documents)
    running = asyncio.create_task(_runner(world, "stopped", slow).run())
    await slow.unanswered.wait()
    running.cancel()
    await asyncio.wait({running}, timeout=0.05)
    slow.answering.set()
    await asyncio.gather(running, return_exceptions=True)
    back = await world.job("j1")
    (place,) = await world.places()
    assert (back.state, back.attempts) == ("queued", 0)
    assert msgspec.json.decode(place.value)["held_until"] == 0
    assert work.begun == []


async def test_many_workers_do_each_job_once(world, size):
    count, work = size(12, 200), Work(parallel=4)
    for n in range(count):
        await start(world, work, id_=f"j{n}")
    workers = [_runner(world, f"w{n}") for n in range(3)]
    async with _all(workers):
        for n in range(count):
            assert (await world.closed(f"j{n}")).state == "completed"
    assert sorted(work.begun) == sorted((f"j{n}", 1) for n in range(count))


async def test_a_worker_that_lost_its_place_stops_and_the_other_s_end_counts(world):
    async def act(job, progress):
        if job.attempts == 1:
            await asyncio.sleep(60)
        return {"attempt": job.attempts}

    work = Work(act)
    await start(world, work)
    slow, other = _runner(world, "slow"), _runner(world, "other")
    async with _all([slow]):
        await world.until("j1", "running")
        (document,) = await world.places()
        free = {**msgspec.json.decode(document.value), "held_until": 0}
        await world.documents.put(
            jobs.QUEUE_TENANT, jobs.QUEUE, document.key, msgspec.json.encode(free)
        )

        async def idle():
            return not work.busy

        await eventually(idle)
        async with _all([other]):
            done = await world.closed("j1")
    assert done.output == {"attempt": 2}


def _runner(world, name, documents=None):
    async def told(job):
        await shown.show(world.context, job)

    return Runner(documents or world.documents, world.kinds, told, world.clock, name=name)


@contextlib.asynccontextmanager
async def _all(runners):
    tasks = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_place_whose_job_never_came_is_dropped_in_time(world):
    lost = job_of(world)
    place = jobs.Queued("default", lost.id, "count", lost.created)
    await world.documents.put(jobs.QUEUE_TENANT, jobs.QUEUE, lost.place, msgspec.json.encode(place))
    async with world.working():
        await start(world, id_="j2")
        await world.closed("j2")
        assert len(await world.places()) == 1
        world.clock.ahead += queue.LEASE + 1
        world.runner.wake()

        async def empty():
            return not await world.places()

        await eventually(empty)
    assert (await world.call("GET", "Task/j1")).status == 404


async def test_a_task_that_cannot_be_shown_holds_no_job_up(world):
    async def told(job):
        raise Unprocessable("refused")

    work = Work()
    world.kinds["count"] = work.kind
    await jobs.enqueue(world.documents, job_of(world))
    async with _all([Runner(world.documents, world.kinds, told, world.clock, name="x")]):
        assert (await world.closed("j1")).state == "completed"


async def test_of_a_kind_no_more_run_at_once_than_it_says_and_others_do_not_wait(world):
    gate = asyncio.Event()

    async def wait(job, progress):
        await gate.wait()
        return {}

    slow, quick = Work(wait, parallel=2), Work()
    world.kinds |= {"slow": slow.kind, "quick": quick.kind}
    for n in range(4):
        await jobs.enqueue(world.documents, job_of(world, id_=f"s{n}", kind="slow"))
    await jobs.enqueue(world.documents, job_of(world, id_="q", kind="quick"))
    async with world.working():
        assert (await world.closed("q")).state == "completed"
        assert slow.busy == 2
        gate.set()
        for n in range(4):
            await world.closed(f"s{n}")
    assert slow.most == 2
