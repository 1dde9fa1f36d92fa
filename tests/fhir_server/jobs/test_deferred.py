"""Prefer: respond-async: kept, run under the caller's own access, answered by the status."""

import asyncio
import contextlib
import json
from urllib.parse import parse_qsl

import pytest

from fhir_server import app
from fhir_server.access import LETTERS, Access, Grant, everything
from fhir_server.interactions import answer
from fhir_server.interactions.dispatch import dispatch
from fhir_server.jobs import deferred
from fhir_server.message import FhirRequest
from fhir_server.settings import load
from resources.outcome import FhirError

LATER = {"prefer": "respond-async"}
ALL = frozenset(LETTERS)


def patient(id_, **more):
    return {"resourceType": "Patient", "id": id_, **more}


class Caller:
    """Calls the interactions of an installation as one caller, and follows what is answered later."""

    def __init__(self, house, access=None):
        self.house = house
        self.context = house.context("default", access or everything("test"))

    async def call(self, method, url, body=None, **headers):
        path, _, query = url.partition("?")
        raw = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        try:
            return await dispatch(self.context, FhirRequest(method, path, pairs, sent, raw))
        except FhirError as error:
            return answer.failed(error)

    async def later(self, method, url, body=None, **headers):
        accepted = await self.call(method, url, body, **{**LATER, **headers})
        assert accepted.status == 202, accepted.body
        return accepted.headers["Content-Location"].removeprefix(self.context.base + "/")

    async def poll(self, place):
        async with asyncio.timeout(30):
            while (polled := await self.call("GET", place)).status == 202:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return polled

    async def answered(self, place):
        """Give the one entry of the answer."""
        polled = await self.poll(place)
        assert polled.status == 200, polled.body
        told = json.loads(polled.body)
        assert (told["type"], len(told["entry"])) == ("batch-response", 1)
        return told["entry"][0]


@contextlib.asynccontextmanager
async def opened(folder, *, working=True):
    settings, _ = load({"data": str(folder), "auth": "open"}, {}, None)
    async with app.installation(settings, "http://x") as house:
        task = asyncio.create_task(house.runner.run()) if working else None
        yield house
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def caller(tmp_path):
    async with opened(tmp_path) as house:
        caller = Caller(house)
        for name in "ab":
            await caller.call("PUT", f"Patient/{name}", patient(name, gender="female"))
        yield caller


async def test_a_search_answered_later_gives_what_it_gives_at_once(caller):
    place = await caller.later("GET", "Patient?gender=female&_sort=_id")
    at_once = json.loads((await caller.call("GET", "Patient?gender=female&_sort=_id")).body)
    entry = await caller.answered(place)
    assert entry["response"]["status"] == "200"
    assert entry["resource"] == at_once
    assert [e["resource"]["id"] for e in at_once["entry"]] == ["a", "b"]


async def test_a_search_by_post_a_history_and_a_read_are_answered_later(caller):
    form = {"content-type": "application/x-www-form-urlencoded"}
    places = [
        await caller.later("POST", "Patient/_search", b"_id=a", **form),
        await caller.later("GET", "Patient/a/_history"),
        await caller.later("GET", "Patient/a"),
    ]
    found, history, read = [await caller.answered(place) for place in places]
    assert found["resource"]["total"] == len(history["resource"]["entry"]) == 1
    assert read["resource"]["id"] == "a"
    assert read["response"]["etag"] == 'W/"1"'


async def test_a_transaction_is_carried_out_once_and_its_response_bundle_given(caller):
    entry = {"request": {"method": "POST", "url": "Patient"}, "resource": patient("x")}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    answered = await caller.answered(await caller.later("POST", "", bundle))
    assert answered["resource"]["type"] == "transaction-response"
    location = answered["resource"]["entry"][0]["response"]["location"]
    made = await caller.call("GET", location.removeprefix(caller.context.base + "/"))
    assert made.status == 200


async def test_a_refusal_is_the_answer_with_its_outcome(caller):
    entry = await caller.answered(await caller.later("GET", "Patient?nonsense=1"))
    assert entry["response"]["status"] == "400"
    assert entry["response"]["outcome"]["issue"][0]["code"] == "not-supported"


async def test_it_runs_under_the_access_of_its_caller(caller):
    own = Caller(caller.house, Access("app", (Grant("*", ALL, patient="a"),), patient="a"))
    entry = await own.answered(await own.later("GET", "Patient"))
    assert [e["resource"]["id"] for e in entry["resource"]["entry"]] == ["a"]


async def test_a_token_that_covers_less_does_not_get_the_answer(caller):
    wide = Caller(caller.house, Access("app", (Grant("*", ALL),)))
    narrow = Caller(caller.house, Access("app", (Grant("Patient", ALL),)))
    other = Caller(caller.house, Access("else", (Grant("Patient", ALL),)))
    place = await wide.later("GET", "Patient")
    await wide.answered(place)
    assert (await narrow.poll(place)).status == 403
    assert (await other.call("GET", place)).status == 404


async def test_a_task_tells_of_it_without_the_values_that_were_searched(caller):
    place = await caller.later("GET", "Patient?family=Secretperson")
    await caller.answered(place)
    task = await caller.call("GET", "Task/" + place.rpartition("/")[2])
    assert b"Secretperson" not in task.body
    assert json.loads(task.body)["input"][0]["valueString"] == "GET Patient"


async def test_delete_cancels_and_what_was_kept_is_removed(tmp_path):
    async with opened(tmp_path, working=False) as house:
        caller = Caller(house)
        bundle = {"resourceType": "Bundle", "type": "batch"}
        place = await caller.later("POST", "", bundle)
        assert list((tmp_path / "requests").rglob("asked"))
        assert (await caller.call("DELETE", place)).status == 202
        assert (await caller.call("GET", place)).status == 404
        job = place.rpartition("/")[2]
        assert json.loads((await caller.call("GET", f"Task/{job}")).body)["status"] == "cancelled"


async def test_what_was_accepted_is_answered_after_a_restart(tmp_path):
    async with opened(tmp_path, working=False) as house:
        place = await Caller(house).later("GET", "Patient?_id=none")
    async with opened(tmp_path) as house:
        entry = await Caller(house).answered(place)
    assert entry["resource"]["total"] == 0


async def test_a_bundle_that_a_crash_cut_short_is_not_sent_again(tmp_path):
    async with opened(tmp_path, working=False) as house:
        bundle = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [{"request": {"method": "POST", "url": "Basic"}, "resource": {}}],
        }
        place = await Caller(house).later("POST", "", bundle)
        kept = tmp_path / "requests" / "default" / place.rpartition("/")[2]
        (kept / "begun").touch()
    async with opened(tmp_path) as house:
        polled = await Caller(house).poll(place)
        assert polled.status == 422
        assert b"was being carried out" in polled.body
        async with asyncio.timeout(
            30
        ):  # a failed job keeps nothing, once its worker is done with it
            while kept.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_it_is_refused_where_it_is_not_offered_unless_handling_is_lenient(caller):
    refused = await caller.call("PUT", "Patient/c", patient("c"), **LATER)
    assert refused.status == 400
    lenient = {"prefer": "respond-async, handling=lenient"}
    assert (await caller.call("PUT", "Patient/c", patient("c"), **lenient)).status == 201
    assert (await caller.call("GET", "metadata", **LATER)).status == 200


async def test_folders_of_forgotten_jobs_are_swept_when_they_are_old(tmp_path, monkeypatch):
    async with opened(tmp_path, working=False) as house:
        place = await Caller(house).later("POST", "", {"resourceType": "Bundle", "type": "batch"})
        kept = tmp_path / "requests" / "default" / place.rpartition("/")[2]
        orphan = tmp_path / "requests" / "default" / "gone"
        orphan.mkdir()
        await house.deferred.sweep()
        assert orphan.exists(), "its job may be still on its way"
        monkeypatch.setattr(deferred, "_YOUNG_S", -60)
        await house.deferred.sweep()
        assert not orphan.exists()
        assert kept.exists()
