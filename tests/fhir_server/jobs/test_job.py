"""A job changes by compare-and-set, so that a cancel, a progress and an end never undo each other."""

import asyncio

import pytest
from job_world import limited
from msgspec.structs import replace

from fhir_server.access import everything
from fhir_server.jobs import job as jobs
from fhir_server.jobs.job import Job, Owner


def made(id_="j1", **more):
    given = {"kind": "count", "input": {}, "owner": Owner("a"), "request": "", "created": 1}
    return Job(id=id_, tenant="default", **given | more)


async def test_a_job_is_kept_and_has_a_place_in_the_queue(world):
    await jobs.enqueue(world.documents, made(input={"n": 3}))
    assert await world.job("j1") == made(input={"n": 3})
    (place,) = await world.places()
    assert place.key == made().place


async def test_the_queue_is_in_the_order_of_creation(world):
    for id_, created in (("c", 30), ("a", 100), ("b", 4)):
        await jobs.enqueue(world.documents, made(id_, created=created))
    assert [place.key[-1] for place in await world.places()] == ["b", "c", "a"]


async def test_racing_changes_of_a_job_are_all_kept(world):
    await jobs.enqueue(world.documents, made())

    def counted(job):
        return replace(job, progress=job.progress + 1)

    await asyncio.gather(
        *(jobs.amend(world.documents, "default", "j1", counted) for _ in range(20))
    )
    assert (await world.job("j1")).progress == 20


async def test_a_job_of_another_tenant_is_not_there(world):
    await jobs.enqueue(world.documents, made())
    assert await jobs.find(world.documents, "other", "j1") is None
    assert await jobs.amend(world.documents, "other", "j1", lambda job: job) is None


async def test_a_cancelled_job_loses_its_place_and_stays_cancelled(world):
    await jobs.enqueue(world.documents, made())
    now = world.clock()
    cancelled = await jobs.cancel(world.documents, made(), now)
    assert (cancelled.state, cancelled.ended) == ("cancelled", now)
    assert await world.places() == []
    assert await jobs.cancel(world.documents, made(), now + 1) is None
    assert (await world.job("j1")).ended == now


@pytest.mark.parametrize("state", sorted(jobs.ENDED))
async def test_what_has_ended_is_not_cancelled(world, state):
    ended = made(state=state, ended=world.clock())
    await jobs.enqueue(world.documents, ended)
    assert await jobs.cancel(world.documents, ended, 5) is None
    assert (await world.job("j1")).state == state


async def test_a_job_that_writes_its_results_is_not_cancelled(world):
    settled = made(state="running", settled=True)
    await jobs.enqueue(world.documents, settled)
    assert await jobs.cancel(world.documents, settled, 5) is None
    assert (await world.job("j1")).state == "running"


async def test_an_ended_job_expires_and_a_running_one_never(world):
    now = world.clock()
    for id_, end in (("done", now), ("busy", None)):
        await jobs.enqueue(world.documents, made(id_))
        change = {"state": "completed" if end else "running", "ended": end}
        await jobs.amend(
            world.documents, "default", id_, lambda job, change=change: replace(job, **change)
        )
    world.clock.ahead = jobs.KEPT - 60_000
    assert await world.job("done") is not None
    world.clock.ahead = jobs.KEPT + 60_000
    assert await world.job("done") is None
    assert await world.job("busy") is not None


def test_a_job_is_its_owner_s_and_of_callers_without_limits():
    mine = limited(("Patient", "r"), patient="p1", subject="me")
    job = made(owner=jobs.owner(mine))
    assert jobs.may(job, mine, "r")
    assert jobs.may(job, everything("operator"), "d")
    for other in (
        limited(("Patient", "r"), patient="p2", subject="me"),
        limited(("Task", "cruds"), patient="p1", subject="you"),
        limited(("Observation", "cruds"), subject="service"),
    ):
        assert not jobs.may(job, other, "r")
    reader = limited(("Task", "rs"), subject="operator")
    assert (jobs.may(job, reader, "r"), jobs.may(job, reader, "d")) == (True, False)
