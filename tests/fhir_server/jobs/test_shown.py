"""The Task of a job tells the truth, and nobody turns it back."""

import asyncio

from job_world import BASE, job_id
from msgspec.structs import replace

from fhir_server.jobs import job as jobs
from fhir_server.jobs import shown
from fhir_server.jobs.job import Job, Owner
from resources.authored.task import CODES

JOB = Job(
    id="j1",
    tenant="default",
    kind="infer",
    input={
        "display": "Run a model",
        "focus": "ImagingStudy/s1",
        "patient": "Patient/p1",
        "based_on": ["ServiceRequest/o1"],
        "told": [["model", "iq-classical"]],
    },
    owner=Owner("test"),
    request="",
    created=4_000_000_000_000,
    requester="Practitioner/d1",
)
ENDED = replace(
    JOB,
    state="completed",
    progress=100,
    started=4_000_000_001_000,
    ended=4_000_000_002_000,
    output={"device": "Device/m", "written": [["Observation", "Observation/1"]]},
)


async def change(world, wanted):
    await jobs.amend(world.documents, "default", "j1", lambda _: wanted)


async def test_a_started_job_is_answered_with_its_place_and_its_task(world):
    response = await shown.start(world.context, JOB)
    assert response.status == 202
    assert response.headers["Content-Location"] == f"{BASE}/_async/j1"
    assert job_id(response) == "j1"
    task = await world.give("GET", "Task/j1")
    assert task["status"] == "requested"
    assert task["code"]["coding"][0] == {
        "system": CODES,
        "code": "infer",
        "display": "Run a model",
    }
    assert task["focus"]["reference"] == "ImagingStudy/s1"
    assert task["for"]["reference"] == "Patient/p1"
    assert task["basedOn"] == [{"reference": "ServiceRequest/o1"}]
    assert task["requester"]["reference"] == "Practitioner/d1"
    assert task["input"] == [{"type": {"text": "model"}, "valueString": "iq-classical"}]
    assert task["authoredOn"] == task["lastModified"] == "2096-10-02T07:06:40.000Z"
    assert "owner" not in task
    assert "executionPeriod" not in task


async def test_a_completed_job_names_who_did_it_when_and_what_came_of_it(world):
    await jobs.enqueue(world.documents, JOB)
    await change(world, ENDED)
    await shown.show(world.context, ENDED)
    task = await world.give("GET", "Task/j1")
    assert task["status"] == "completed"
    assert task["owner"]["reference"] == "Device/m"
    assert task["output"] == [
        {"type": {"text": "Observation"}, "valueReference": {"reference": "Observation/1"}}
    ]
    assert task["executionPeriod"] == {
        "start": "2096-10-02T07:06:41.000Z",
        "end": "2096-10-02T07:06:42.000Z",
    }
    assert task["lastModified"] == "2096-10-02T07:06:42.000Z"


async def test_a_failed_job_says_why(world):
    failed = replace(JOB, state="failed", problem="No such series", ended=JOB.created)
    await jobs.enqueue(world.documents, failed)
    await shown.show(world.context, failed)
    assert (await world.give("GET", "Task/j1"))["statusReason"] == {"text": "No such series"}


async def test_an_unchanged_job_makes_no_version(world):
    await shown.start(world.context, JOB)
    await shown.show(world.context, JOB)
    await shown.show(world.context, JOB)
    assert len(await world.versions("Task/j1")) == 1


async def test_who_shows_an_old_state_shows_the_new_one(world):
    await shown.start(world.context, JOB)
    await change(world, ENDED)
    await shown.show(world.context, JOB)
    assert (await world.give("GET", "Task/j1"))["status"] == "completed"


async def test_racing_shows_end_with_the_job_s_own_state(world):
    await shown.start(world.context, JOB)
    running = replace(JOB, state="running", started=JOB.created)

    async def move():
        for state in (running, ENDED):
            await asyncio.sleep(0)
            await change(world, state)
            await shown.show(world.context, state)

    await asyncio.gather(move(), *(shown.show(world.context, JOB) for _ in range(8)))
    versions = await world.versions("Task/j1")
    found = [version["status"] for version in versions]
    assert found[0] == "requested"
    assert found[-1] == "completed"
    assert found == sorted(found, key=["requested", "in-progress", "completed"].index)


async def test_what_somebody_wrote_over_the_task_or_deleted_is_told_anew(world):
    await shown.start(world.context, JOB)
    task = await world.give("GET", "Task/j1")
    await world.put({**task, "status": "rejected"})
    await shown.show(world.context, JOB)
    assert (await world.give("GET", "Task/j1"))["status"] == "requested"
    await world.call("DELETE", "Task/j1")
    await shown.show(world.context, JOB)
    assert (await world.give("GET", "Task/j1"))["status"] == "requested"


async def test_a_job_whose_task_is_refused_is_not_started(world):
    wrong = replace(JOB, input={**JOB.input, "based_on": [""]})
    refused = None
    try:
        await shown.start(world.context, wrong)
    except shown.FhirError as error:
        refused = error
    assert refused is not None
    assert refused.status in {400, 422}
    assert await world.job("j1") is None
    assert await world.places() == []
