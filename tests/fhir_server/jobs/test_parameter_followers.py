"""Several processes bring an upload into use, one of them late: what a later version decided stays."""

import asyncio
import json

import job_world
import msgspec
import pytest
from bodies import search_parameter

from fhir_server.context import Context
from fhir_server.jobs import job as jobs
from fhir_server.jobs.job import Job
from fhir_server.jobs.parameter_index import KIND, ParameterIndex
from fhir_server.jobs.uploaded import Uploaded
from fhir_server.search.expression import Branch, Plan, Token
from fhir_server.store.port import Key

EYES = Key("default", "SearchParameter", "eyes")


class Late:
    """Documents whose next write, once `held`, waits until it is let go."""

    def __init__(self, documents):
        self._documents = documents
        self.held = False
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name):
        return getattr(self._documents, name)

    async def put(self, *args, **more):
        if self.held:
            self.held = False
            self.asked.set()
            await self.let_go.wait()
        return await self._documents.put(*args, **more)


class Process:
    """What one process has of uploaded search parameters, over the store of a world."""

    def __init__(self, world):
        self.world = world
        self.documents = Late(world.documents)
        self.uploaded = Uploaded(self.documents, job_world.DEFINITIONS, job_world.PARAMETERS)
        self.index = ParameterIndex(world.store, self.uploaded, self.ours, grace=0)

    def ours(self, _tenant) -> Context:
        services = msgspec.structs.replace(self.world.context.services, documents=self.documents)
        return msgspec.structs.replace(self.world.context, services=services, keep_unchanged=True)

    async def take(self, *versions):
        for version in versions:
            await self.index.take(version)

    async def work(self, job):
        """Do a job as this process, which claimed it, would."""

        async def progress(_percent):
            return

        running = msgspec.structs.replace(job, state="running", attempts=1)
        await jobs.amend(self.world.documents, "default", job.id, lambda _: running)
        await self.index.work(running, progress)
        ended = msgspec.structs.replace(running, state="completed", ended=self.world.clock())
        await jobs.amend(self.world.documents, "default", job.id, lambda _: ended)

    async def state(self, id_="eyes"):
        """Give code, expression and "indexed" or "waiting", as this process tells; None where not in use."""
        await self.uploaded.look()
        record = self.uploaded.record("default", id_)
        if record is None:
            return None
        held = record.definition
        return held.code, held.expression, "waiting" if record.task else "indexed"


def parameter(expression="Patient.gender", id_="eyes", **more):
    return search_parameter(id_, expression, **more)


@pytest.fixture(params=["memory", "sqlite", "mongo"])
async def world(request, tmp_path):
    """A world whose store several processes share."""
    kind = request.param
    if kind == "mongo":
        kind = request.getfixturevalue("mongo_database").emptied()
    async with job_world.opened(kind, tmp_path) as made:
        yield made


@pytest.fixture
def two(world):
    return Process(world), Process(world)


async def put(world, *resources):
    """Put resources, and give the versions that this made."""
    after = await world.store.position()
    await world.put(*resources)
    return await since(world, after)


async def delete(world, reference):
    after = await world.store.position()
    await world.give("DELETE", reference)
    return await since(world, after)


async def since(world, after):
    end, found = await world.store.position(), []
    feed = world.store.changes(after)
    while not found or found[-1].position < end:
        found.append(await anext(feed))
    await feed.aclose()
    return found


async def kept_jobs(world):
    found = await world.documents.list("default", jobs.JOBS)
    return [msgspec.json.decode(one.value, type=Job) for one in found]


async def tasks(world):
    return {one["id"]: one["status"] for one in await world.all("Task")}


async def test_a_follower_that_is_late_puts_no_older_version_back(world, two):
    ahead, late = two
    first = await put(world, parameter())
    await ahead.take(*first)
    second = await put(world, parameter("Patient.active"))
    await ahead.take(*second)
    for job in await kept_jobs(world):
        await ahead.work(job)
    before = await kept_jobs(world)
    assert len(before) == 2
    for version in (*first, *second):
        await late.take(version)
        assert await ahead.state() == ("eyes", "Patient.active", "indexed")
    assert await late.state() == ("eyes", "Patient.active", "indexed")
    assert await kept_jobs(world) == before
    assert len(await tasks(world)) == 2


async def test_a_follower_that_dies_half_way_leaves_the_newest_in_use(world, two):
    ahead, late = two
    first = await put(world, parameter())
    second = await put(world, parameter("Patient.active"))
    await ahead.take(*first, *second)
    await late.take(*first)
    assert await ahead.state() == ("eyes", "Patient.active", "waiting")
    assert len(await kept_jobs(world)) == 1


async def test_a_deleted_parameter_is_not_known_again(world, two):
    ahead, late = two
    first = await put(world, parameter())
    await ahead.take(*first)
    gone = await delete(world, "SearchParameter/eyes")
    await ahead.take(*gone)
    await late.take(*first)
    assert await ahead.state() is None
    again = await put(world, parameter())
    await ahead.take(*again)
    await late.take(*gone)
    assert await ahead.state() == ("eyes", "Patient.gender", "waiting")
    await late.take(*again)
    assert len(await kept_jobs(world)) == 2


async def test_one_that_was_not_active_meanwhile_is_indexed_anew(world, two):
    ahead, late = two
    versions = []
    for status, state in (("active", "indexed"), ("draft", None), ("active", "waiting")):
        new = await put(world, parameter(status=status))
        versions += new
        await ahead.take(*new)
        if state == "indexed":
            await ahead.work((await kept_jobs(world))[0])
        told = await ahead.state()
        assert (told and told[2]) == state
    await late.take(*versions)
    assert await ahead.state() == ("eyes", "Patient.gender", "waiting")
    assert len(await kept_jobs(world)) == 2


async def test_two_who_take_one_upload_at_once_start_one_job(world, two):
    ahead, late = two
    versions = await put(world, parameter())
    await asyncio.gather(ahead.take(*versions), late.take(*versions))
    (job,) = await kept_jobs(world)
    assert await tasks(world) == {job.id: "requested"}
    assert len(await world.places()) == 1


async def test_who_was_overtaken_while_deciding_decides_again(world, two):
    ahead, late = two
    first = await put(world, parameter())
    late.documents.held = True
    taking = asyncio.create_task(late.take(*first))
    await late.documents.asked.wait()
    second = await put(world, parameter("Patient.active"))
    await ahead.take(*second)
    late.documents.let_go.set()
    await taking
    assert await late.state() == await ahead.state() == ("eyes", "Patient.active", "waiting")
    (job,) = await kept_jobs(world)
    assert await tasks(world) == {job.id: "requested"}


async def test_who_died_before_the_job_was_queued_is_followed_by_another(world, two):
    ahead, late = two
    versions = await put(world, parameter())

    async def dies(_record):
        raise asyncio.CancelledError

    ahead.index._start = dies
    with pytest.raises(asyncio.CancelledError):
        await ahead.take(*versions)
    assert await kept_jobs(world) == []
    world.clock.ahead = 3_600_000
    await late.take(*versions)
    (job,) = await kept_jobs(world)
    assert job.id == ahead.uploaded.record("default", "eyes").task
    assert len(await world.places()) == 1


async def test_a_job_that_is_queued_once_more_stays_as_it_is(world, two):
    """Who is late has seen that there is no job yet, and queues it when it runs already."""
    ahead, _ = two
    await ahead.take(*await put(world, parameter()))
    (job,) = await kept_jobs(world)
    running = msgspec.structs.replace(job, state="running", attempts=1)
    await jobs.amend(world.documents, "default", job.id, lambda _: running)
    await jobs.enqueue(world.documents, job, world.clock() + 5)
    assert await kept_jobs(world) == [running]
    assert len(await world.places()) == 1


async def test_a_worker_that_has_not_looked_for_long_indexes_what_it_claims(world, two):
    ahead, late = two
    await world.put({"resourceType": "Patient", "id": "p", "active": True})
    await ahead.take(*await put(world, parameter("Patient.active", code="lively")))
    await late.work((await kept_jobs(world))[0])
    assert await late.state() == ("lively", "Patient.active", "indexed")
    (atom,) = late.uploaded.of("default").get("Patient", "lively").atoms
    found = await world.store.search(
        Plan("default", (Branch("Patient", Token(atom.name, None, "true")),))
    )
    assert [match.version.key.id for match in found] == ["p"]


async def test_a_change_of_its_words_while_it_is_indexed_needs_no_new_index(world, two):
    ahead, late = two
    await ahead.take(*await put(world, parameter()))
    words = await put(world, parameter(description="Something else"))
    await late.take(*words)
    (job,) = await kept_jobs(world)
    await ahead.work(job)
    await ahead.take(*words)
    assert await late.state() == ("eyes", "Patient.gender", "indexed")
    assert len(await kept_jobs(world)) == 1


async def test_a_code_belongs_to_who_had_it_last(world, two):
    """A transaction swaps the codes of two, and who is late takes the old versions."""
    ahead, late = two
    old = await put(world, parameter(id_="a"), parameter(id_="b"))
    await ahead.take(*old)
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"SearchParameter/{one['id']}"}}
        for one in (parameter(id_="a", code="b"), parameter(id_="b", code="a"))
    ]
    after = await world.store.position()
    await world.give(
        "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    )
    new = await since(world, after)
    await ahead.take(new[0])
    assert ((await ahead.state("a"))[0], await ahead.state("b")) == ("b", None)
    await ahead.take(new[1])
    await late.take(*old, *new)
    for process in two:
        assert [(await process.state(id_))[0] for id_ in "ab"] == ["b", "a"]
    assert len(await kept_jobs(world)) == 4


async def test_the_place_in_the_feed_only_rises(world, two):
    ahead, late = two
    await ahead.index._reached(40)
    await late.index._reached(7)
    assert (await world.documents.get("default", "feeds", KIND)).value == b"40"


async def test_a_record_from_before_positions_were_kept_is_read(world, two):
    ahead, _ = two
    definition = {
        "url": "http://example.org/SearchParameter/eyes",
        "code": "eyes",
        "type": "token",
        "base": ["Patient"],
        "expression": "Patient.gender",
    }
    old = {"tenant": "default", "id": "eyes", "definition": definition, "task": ""}
    await world.documents.put("*", "search-parameters", "default/eyes", json.dumps(old).encode())
    assert await ahead.state() == ("eyes", "Patient.gender", "indexed")
    await ahead.take(*await put(world, parameter()))
    assert await ahead.state() == ("eyes", "Patient.gender", "indexed")
    assert await kept_jobs(world) == []
