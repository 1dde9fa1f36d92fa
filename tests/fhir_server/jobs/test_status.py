"""The status URL of a job: polls, cancels and files, for whom they are (FHIR R4 async.html)."""

import asyncio
import json
from email.utils import parsedate_to_datetime

import pytest
from job_world import eventually, limited, outcome_of
from msgspec.structs import replace

from fhir_server.access import everything
from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown
from fhir_server.jobs.job import KEPT, Job
from fhir_server.jobs.kind import Kind
from fhir_server.message import FhirResponse

PLACE = "_async/j1"


class Files:
    """A kind of job with one file."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.settle = False
        self.forgotten = []

    async def work(self, job, progress):
        await progress(40)
        if self.settle:
            await progress.settle()
        await self.gate.wait()
        return {}

    async def file(self, context, job, name):
        return FhirResponse(200, name.encode(), {}, "text/plain")

    async def forget(self, job):
        self.forgotten.append(job.id)

    def kind(self):
        return Kind(self.work, shown.given, self.file, self.forget)


@pytest.fixture
def files(world):
    made = Files()
    world.kinds["count"] = made.kind()
    return made


async def start(world, **more):
    job = Job(
        id="j1",
        tenant="default",
        kind="count",
        input={},
        owner=jobs.owner(world.access),
        request="",
        created=world.clock(),
        **more,
    )
    await shown.start(world.context, job)
    return job


async def amended(world, **changes):
    await jobs.amend(world.documents, "default", "j1", lambda job: replace(job, **changes))


async def test_a_poll_tells_how_far_it_is_and_when_to_ask_again(world, files):
    await start(world)
    response = await world.call("GET", PLACE)
    assert response.status == 202
    assert response.headers == {"X-Progress": "queued, 0 %", "Retry-After": "1"}
    async with world.working():

        async def begun():
            return (await world.job("j1")).progress == 40

        await eventually(begun)
        polled = await world.call("GET", PLACE)
        assert polled.headers["X-Progress"] == "running, 40 %"


async def test_a_poll_of_what_is_done_gives_its_answer_and_until_when(world, files):
    await start(world)
    files.gate.set()
    async with world.working():
        done = await world.closed("j1")
    response = await world.call("GET", PLACE)
    assert response.status == 200
    assert json.loads(response.body)["status"] == "completed"
    until = parsedate_to_datetime(response.headers["Expires"]).timestamp()
    assert until == (done.ended + KEPT) // 1000
    assert (await world.call("HEAD", PLACE)).status == 200


async def test_the_poll_of_what_is_done_never_gives_an_older_task(world, files):
    await start(world)
    await amended(world, state="completed", ended=world.clock())
    assert json.loads((await world.call("GET", PLACE)).body)["status"] == "completed"


@pytest.mark.parametrize(("refusal", "status"), [(422, 422), (404, 422), (500, 500)])
async def test_the_poll_of_what_failed_is_an_outcome(world, files, refusal, status):
    await start(world)
    failed = {"state": "failed", "problem": "No images", "refusal": refusal}
    await amended(world, **failed, ended=world.clock())
    assert outcome_of(await world.call("GET", PLACE)) == (status, "processing", "No images")


async def test_a_cancel_while_queued_is_told_at_once_and_polls_are_404(world, files):
    await start(world)
    assert (await world.call("DELETE", PLACE)).status == 202
    assert (await world.give("GET", "Task/j1"))["status"] == "cancelled"
    assert (await world.call("GET", PLACE)).status == 404
    assert await world.places() == []


async def test_a_cancel_while_running_stops_it(world, files):
    await start(world)
    async with world.working():
        await world.until("j1", "running")
        assert (await world.call("DELETE", PLACE)).status == 202
        await world.closed("j1")
    assert files.forgotten == ["j1"]
    statuses = [version["status"] for version in await world.versions("Task/j1")]
    assert statuses[0] == "requested"
    assert statuses[-1] == "cancelled"


async def test_a_cancel_while_results_are_written_is_refused_and_the_job_completes(world, files):
    files.settle = True
    await start(world)
    async with world.working():

        async def settled():
            return (await world.job("j1")).settled

        await eventually(settled)
        assert outcome_of(await world.call("DELETE", PLACE))[:2] == (409, "conflict")
        files.gate.set()
        assert (await world.closed("j1")).state == "completed"


async def test_deleting_what_has_ended_forgets_it_with_its_files(world, files):
    await start(world)
    files.gate.set()
    async with world.working():
        await world.closed("j1")
    assert (await world.call("GET", f"{PLACE}/a.txt")).body == b"a.txt"
    assert (await world.call("DELETE", PLACE)).status == 202
    assert files.forgotten == ["j1"]
    for method, place in (("GET", PLACE), ("GET", f"{PLACE}/a.txt"), ("DELETE", PLACE)):
        assert (await world.call(method, place)).status == 404
    assert (await world.give("GET", "Task/j1"))["status"] == "completed"


async def test_files_are_there_once_it_is_done_and_only_of_kinds_that_have_some(world, files):
    await start(world)
    assert (await world.call("GET", f"{PLACE}/a.txt")).status == 404
    world.kinds["count"] = Kind(files.work, shown.given)
    await amended(world, state="completed", ended=world.clock())
    assert (await world.call("GET", f"{PLACE}/a.txt")).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
async def test_others_jobs_are_not_there(world, files, method):
    mine = limited(("Task", "cruds"), patient="p1", subject="me")
    await start(world.as_(mine))
    for other in (
        limited(("*", "cruds"), patient="p2", subject="me"),
        limited(("Observation", "cruds"), subject="you"),
    ):
        for place in (PLACE, f"{PLACE}/a.txt"):
            assert (await world.as_(other).call(method, place)).status == 404
    assert (await world.job("j1")).state == "queued"
    assert (await world.as_(mine).call("GET", PLACE)).status == 202


async def test_an_operator_sees_every_job_and_only_one_that_may_delete_tasks_cancels(world, files):
    await start(world.as_(limited(("Task", "c"), subject="me")))
    reader = world.as_(limited(("Task", "rs"), subject="operator"))
    assert (await reader.call("GET", PLACE)).status == 202
    assert (await reader.call("DELETE", PLACE)).status == 404
    assert (await world.as_(everything("root")).call("DELETE", PLACE)).status == 202


@pytest.mark.parametrize(
    ("method", "place", "status"),
    [
        ("PUT", PLACE, 405),
        ("POST", PLACE, 405),
        ("DELETE", f"{PLACE}/a.txt", 405),
        ("GET", "_async", 404),
        ("GET", "_async/nothing", 404),
        ("GET", "_async//j1", 404),
        ("GET", "_async/../j1", 404),
    ],
)
async def test_other_places_and_methods_are_refused(world, files, method, place, status):
    await start(world)
    assert (await world.call(method, place)).status == status
