"""A reindex from the command line: counts, a Task, going on after an end in the middle."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from fhir_server import app
from fhir_server.cli import main
from fhir_server.interactions.dispatch import dispatch
from fhir_server.jobs import job as jobs
from fhir_server.jobs import reindexing
from fhir_server.message import FhirRequest
from fhir_server.search.values import no_values
from fhir_server.settings import load


@pytest.fixture
def settings(tmp_path):
    made, _ = load({"data": str(tmp_path / "data"), "mllp_port": "off"}, {}, None)
    return made


async def found(house, url):
    path, _, query = url.partition("?")
    pairs = tuple(tuple(pair.split("=")) for pair in query.split("&"))
    bundle = json.loads(
        (await dispatch(house.ours("default"), FhirRequest("GET", path, pairs))).body
    )
    return [entry["resource"] for entry in bundle.get("entry", [])]


async def spoil(house, count):
    """Write patients and lose all that they can be found by."""
    for n in range(count):
        body = {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": "Roe"}]}
        request = FhirRequest("PUT", f"Patient/p{n}", body=json.dumps(body).encode())
        await dispatch(house.ours("default"), request)
    after = 0
    while after is not None:
        after = (await house.care.reindex(lambda *_: no_values(), after=after)).after
    assert await found(house, "Patient?family=Roe") == []


async def test_what_could_not_be_found_is_found_after_it(settings, capsys):
    async with app.installation(settings, "http://localhost") as house:
        await spoil(house, 120)
    command = ["reindex", "--data", str(settings.data)]
    assert await asyncio.to_thread(main, [*command, "--type", "Observation"]) == 0
    assert capsys.readouterr().out == "Reindexed 0, of which 0 changed\n"
    assert await asyncio.to_thread(main, [*command, "--type", "Patient"]) == 0
    assert capsys.readouterr().out == "Reindexed 120, of which 120 changed\n"
    assert await asyncio.to_thread(main, [*command, "--type", "Nonsense"]) == 1
    async with app.installation(settings, "http://localhost") as house:
        assert len(await found(house, "Patient?family=Roe&_count=1000")) == 120
        told = [
            (task["status"], task["businessStatus"]["text"])
            for task in await found(house, "Task?code=reindex")
        ]
        assert sorted(told) == [
            ("completed", "Reindexed 0 of 0"),
            ("completed", "Reindexed 120 of 120"),
        ]
        assert (await house.services.store.read(key("p0"))).version_id == 1


async def test_servers_that_want_one_at_once_begin_one(settings):
    async with app.installation(settings, "http://localhost") as house:
        await spoil(house, 3)
        begun = await asyncio.gather(*(house.reindexing.start(None) for _ in range(4)))
        assert len({job.id for job in begun}) == 1
        assert len(await house.services.documents.list(jobs.QUEUE_TENANT, jobs.QUEUE)) == 1
        assert len(await found(house, "Task?code=reindex")) == 1
        ended = lambda job: replace(job, state="completed", ended=job.created)  # noqa: E731
        await jobs.amend(house.services.documents, "default", begun[0].id, ended)
        assert (await house.reindexing.start(None)).id != begun[0].id


async def test_a_server_that_finds_by_other_values_indexes_anew_by_itself(settings, monkeypatch):
    async with app.installation(settings, "http://localhost") as house:
        assert await house.reindexing.catch_up() is None
        await spoil(house, 3)
        assert await house.reindexing.catch_up() is None
        monkeypatch.setattr(reindexing, "_VERSION", b"the next")
        job = await house.reindexing.catch_up()
        assert (await house.reindexing.catch_up()).id == job.id
        running = lambda job: replace(job, state="running", attempts=1)  # noqa: E731
        job = await jobs.amend(house.services.documents, "default", job.id, running)
        assert await house.reindexing.work(job, _Silent()) == {"seen": 4, "changed": 3}
        assert len(await found(house, "Patient?family=Roe")) == 3
        assert await house.reindexing.catch_up() is None


def key(id_):
    from fhir_server.store.port import Key

    return Key("default", "Patient", id_)


async def test_it_goes_on_where_it_was_stopped(settings, monkeypatch, capsys):
    monkeypatch.setattr(reindexing, "_TELL_S", -1.0)
    monkeypatch.setattr(reindexing, "_STEP", 10)
    async with app.installation(settings, "http://localhost") as house:
        await spoil(house, 60)
        steps = 0

        class Dies:
            """The store's care, until the third step."""

            async def reindex(self, *given, **more):
                nonlocal steps
                steps += 1
                if steps == 3:
                    raise asyncio.CancelledError
                return await house.care.reindex(*given, **more)

        job = await house.reindexing.start("Patient")
        running = lambda job: replace(job, state="running", attempts=1)  # noqa: E731
        job = await jobs.amend(house.services.documents, "default", job.id, running)
        first = reindexing.Reindexing(Dies(), house.uploaded.extract, house.ours)
        with pytest.raises(asyncio.CancelledError):
            await first.work(job, _Silent())
        kept = await house.services.documents.get("default", "reindex", job.id)
        assert json.loads(kept.value)["seen"] == 20
        assert (await house.reindexing.start("Patient")).id == job.id
    assert (
        await asyncio.to_thread(
            main, ["reindex", "--type", "Patient", "--data", str(settings.data)]
        )
        == 0
    )
    assert capsys.readouterr().out == "Reindexed 60, of which 60 changed\n"


class _Silent:
    async def __call__(self, percent):
        assert 0 <= percent <= 100

    async def settle(self):
        raise AssertionError
