"""Uploaded search parameters: indexed by a Task that counts, refused until then, then like R4's own."""

import asyncio
import contextlib
import json
from urllib.parse import parse_qsl

import pytest
from bodies import search_parameter

from fhir_server import app
from fhir_server.access import everything
from fhir_server.interactions import answer
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import load
from fhir_server.store.port import Key, Page, Scope
from resources.outcome import FhirError

EYES = "http://example.org/eyes"


def eyed(id_, colour, **more):
    extension = [{"url": EYES, "valueCode": colour}]
    return {"resourceType": "Patient", "id": id_, "extension": extension, **more}


def parameter(id_="eyes", **more):
    div = '<div xmlns="http://www.w3.org/1999/xhtml">Eyes</div>'
    expression = f"Patient.extension.where(url = '{EYES}').value"
    text = {"status": "generated", "div": div}
    return search_parameter(id_, **{"text": text, "expression": expression} | more)


class Caller:
    """Calls the interactions in a tenant of an installation."""

    def __init__(self, house, tenant="default"):
        self.house = house
        self.tenant = tenant

    async def call(self, method, url, body=None, **headers):
        path, _, query = url.partition("?")
        raw = b"" if body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        context = self.house.context(self.tenant, everything("test"))
        try:
            return await dispatch(context, FhirRequest(method, path, pairs, sent, raw))
        except FhirError as error:
            return answer.failed(error)

    async def put(self, resource, **headers):
        place = f"{resource['resourceType']}/{resource['id']}"
        answered = await self.call("PUT", place, resource, **headers)
        assert answered.status in {200, 201}, answered.body
        return answered

    async def ids(self, url):
        answered = await self.call("GET", url)
        assert answered.status == 200, answered.body
        entries = json.loads(answered.body).get("entry", [])
        return sorted(e["resource"]["id"] for e in entries if e["search"]["mode"] == "match")

    async def until(self, url, status=200):
        """Ask until the status is answered."""
        async with asyncio.timeout(30):
            while (answered := await self.call("GET", url)).status != status:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return json.loads(answered.body)

    async def task(self, id_="eyes", *, apart_from=None):
        """Give the newest Task of a parameter, once there is one that is completed."""
        async with asyncio.timeout(30):
            while True:
                found = await self.call(
                    "GET", f"Task?focus=SearchParameter/{id_}&_sort=-_lastUpdated"
                )
                entries = json.loads(found.body).get("entry", [])
                newest = entries[0]["resource"] if entries else {}
                if newest.get("status") == "completed" and newest["id"] != apart_from:
                    return newest
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def opened(folder, *, working=True, following=True, grace=0.0):
    settings, _ = load({"data": str(folder), "auth": "open"}, {}, None)
    async with app.installation(settings, "http://x") as house:
        house.index._grace = grace
        runs = [house.runner.run] * working + [house.index.follow] * following
        tasks = [asyncio.create_task(run()) for run in runs]
        yield house
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def known(house):
    """Wait until the parameter is known, indexed or not."""
    async with asyncio.timeout(30):
        while house.uploaded.record("default", "eyes") is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
async def caller(tmp_path):
    async with opened(tmp_path) as house:
        caller = Caller(house)
        for id_, colour in (("a", "blue"), ("b", "green"), ("c", "blue")):
            await caller.put(eyed(id_, colour))
        yield caller


async def test_what_was_there_and_what_comes_later_is_found(caller):
    await caller.put(parameter())
    await caller.until("Patient?eyes=blue")
    await caller.put(eyed("d", "blue"))
    await caller.put(eyed("a", "brown"))
    assert await caller.ids("Patient?eyes=blue") == ["c", "d"]
    assert await caller.ids("Patient?eyes:not=blue") == ["a", "b"]
    assert await caller.ids("Patient?_sort=eyes&eyes:missing=false") == ["a", "b", "c", "d"]


async def test_the_task_counts_and_points_at_the_parameter(caller):
    await caller.put(parameter())
    task = await caller.task()
    assert task["businessStatus"]["text"] == "indexed 3 of 3"
    assert task["focus"]["reference"] == "SearchParameter/eyes"


async def test_it_is_refused_until_it_is_ready_and_the_refusal_names_the_task(tmp_path):
    async with opened(tmp_path, working=False) as house:
        caller = Caller(house)
        await caller.put(eyed("a", "blue"))
        await caller.put(parameter())
        async with asyncio.timeout(30):
            while b"Task/" not in (refused := await caller.call("GET", "Patient?eyes=blue")).body:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        told = json.loads(refused.body)["issue"][0]["diagnostics"]
        task = told.partition("Task/")[2].partition(":")[0]
        assert refused.status == 400
        assert (await caller.until(f"Task/{task}"))["status"] == "requested"
        lenient = await caller.call("GET", "Patient?eyes=blue", prefer="handling=lenient")
        assert b"Task/" in lenient.body
        capabilities = (await caller.call("GET", "metadata")).body
        assert b"example.org/SearchParameter/eyes" not in capabilities


async def test_what_is_written_while_it_is_indexed_is_found_too(tmp_path):
    async with opened(tmp_path, grace=0.3) as house:
        caller = Caller(house)
        await caller.put(parameter())
        await known(house)
        await caller.put(eyed("meanwhile", "blue"))
        await caller.until("Patient?eyes=blue")
        assert await caller.ids("Patient?eyes=blue") == ["meanwhile"]


async def test_a_write_prepared_before_it_was_known_is_indexed_as_it_is_committed(tmp_path):
    """A big transaction may be prepared for longer than the job waits."""
    async with opened(tmp_path) as house:
        caller = Caller(house)
        context = house.context("default", everything("test"))
        await caller.put(parameter())
        await caller.until("Patient?eyes=blue")
        request = FhirRequest("PUT", "Patient/late", body=json.dumps(eyed("late", "blue")).encode())
        await dispatch(context, request)
        assert await caller.ids("Patient?eyes=blue") == ["late"]


async def test_chains_includes_and_the_capability_statement_have_it(caller):
    await caller.put(
        parameter(
            "seen-by",
            type="reference",
            target=["Practitioner"],
            expression="Patient.extension.where(url = 'http://example.org/seen').value",
        )
    )
    await caller.put(parameter())
    await caller.put({"resourceType": "Practitioner", "id": "dr", "active": True})
    seen = {"url": "http://example.org/seen", "valueReference": {"reference": "Practitioner/dr"}}
    await caller.put({"resourceType": "Patient", "id": "e", "extension": [seen]})
    observed = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/a"},
    }
    await caller.put(observed)
    await caller.until("Patient?eyes=blue")
    await caller.until("Patient?seen-by=Practitioner/dr")
    assert await caller.ids("Observation?patient.eyes=blue") == ["o"]
    assert await caller.ids("Patient?seen-by.active=true") == ["e"]
    assert await caller.ids("Practitioner?_has:Patient:seen-by:_id=e") == ["dr"]
    found = json.loads((await caller.call("GET", "Patient?_id=e&_include=Patient:seen-by")).body)
    assert [e["resource"]["resourceType"] for e in found["entry"]] == ["Patient", "Practitioner"]
    statement = json.loads((await caller.call("GET", "metadata")).body)
    patients = next(r for r in statement["rest"][0]["resource"] if r["type"] == "Patient")
    assert {"eyes", "seen-by"} <= {p["name"] for p in patients["searchParam"]}
    assert "Patient:seen-by" in patients["searchInclude"]


async def test_update_and_delete_of_the_parameter_follow(caller):
    await caller.put(parameter())
    await caller.until("Patient?eyes=blue")
    first = await caller.task()
    await caller.put(parameter(expression="Patient.gender"))
    await caller.put(eyed("f", "blue", gender="female"))
    await caller.task(apart_from=first["id"])
    assert await caller.ids("Patient?eyes=female") == ["f"]
    assert await caller.ids("Patient?eyes=blue") == []
    assert (await caller.call("DELETE", "SearchParameter/eyes")).status == 204
    await caller.until("Patient?eyes=female", 400)
    await caller.put(parameter(status="retired"))
    assert (await caller.call("GET", "Patient?eyes=blue")).status == 400


async def test_a_change_of_its_words_needs_no_new_index(caller):
    await caller.put(parameter())
    await caller.until("Patient?eyes=blue")
    task = await caller.task()
    await caller.put(parameter(description="Something else"))
    await asyncio.sleep(0.1)
    assert await caller.ids("Patient?eyes=green") == ["b"]
    assert (await caller.task())["id"] == task["id"]


async def test_tenants_are_separate(caller):
    other = Caller(caller.house, "north")
    await other.put(eyed("n", "blue"))
    await caller.put(parameter())
    await caller.until("Patient?eyes=blue")
    assert (await other.call("GET", "Patient?eyes=blue")).status == 400
    await other.put(parameter(expression="Patient.gender"))
    await other.put(eyed("n", "blue", gender="male"))
    await other.until("Patient?eyes=male")
    assert await other.ids("Patient?eyes=male") == ["n"]
    assert await caller.ids("Patient?eyes=blue") == ["a", "c"]


async def test_a_restart_keeps_it_and_goes_on_where_it_was(tmp_path):
    async with opened(tmp_path, working=False) as house:
        caller = Caller(house)
        await caller.put(eyed("a", "blue"))
        await caller.put(parameter())
        await known(house)
    async with opened(tmp_path) as house:
        await Caller(house).until("Patient?eyes=blue")
    async with opened(tmp_path, working=False, following=False) as house:
        assert await Caller(house).ids("Patient?eyes=blue") == ["a"]


async def test_what_was_uploaded_while_nobody_followed_is_taken_up(tmp_path):
    async with opened(tmp_path, working=False, following=False) as house:
        await Caller(house).put(eyed("a", "blue"))
        await Caller(house).put(parameter())
    async with opened(tmp_path) as house:
        await Caller(house).until("Patient?eyes=blue")
        assert await Caller(house).ids("Patient?eyes=blue") == ["a"]


async def test_another_process_learns_of_it_and_indexes_for_it(tmp_path):
    async with (
        opened(tmp_path) as leading,
        opened(tmp_path, working=False, following=False) as second,
    ):
        here, there = Caller(leading), Caller(second)
        await there.put(parameter())
        await here.until("Patient?eyes=blue")
        await there.until("Patient?eyes=blue")
        await there.put(eyed("x", "blue"))
        assert await here.ids("Patient?eyes=blue") == ["x"]


@pytest.mark.parametrize(
    "uploaded",
    [
        parameter("gender"),
        parameter("_id", base=["Resource"], expression="Resource.id"),
        parameter("_sort"),
    ],
    ids=["of the type", "of all types", "of results"],
)
async def test_a_code_that_r4_has_is_refused_with_422(caller, uploaded):
    uploaded = {**uploaded, "id": "mine"}
    refused = await caller.call("PUT", "SearchParameter/mine", uploaded)
    assert refused.status == 422, refused.body
    assert json.loads(refused.body)["issue"][0]["code"] == "duplicate"


async def test_a_code_that_another_upload_has_is_refused_with_422(caller):
    await caller.put(parameter())
    await caller.until("Patient?eyes=blue")
    again = {**parameter("again"), "code": "eyes"}
    assert (await caller.call("PUT", "SearchParameter/again", again)).status == 422
    elsewhere = {**again, "base": ["Practitioner"], "expression": "Practitioner.gender"}
    await caller.put(elsewhere)
    await caller.until("Practitioner?eyes=male")


async def test_of_two_at_once_only_one_has_a_code(tmp_path):
    """Nobody looks at what is uploaded, so what this process knows of it is old."""
    async with opened(tmp_path, following=False) as house:
        caller = Caller(house)
        unused = {**parameter("unused"), "code": "eyes", "expression": "Patient.nothing"}
        await caller.put(unused)
        sent = [{**parameter(f"p{n}"), "code": "eyes"} for n in range(6)]
        answers = await asyncio.gather(
            *(caller.call("PUT", f"SearchParameter/{one['id']}", one) for one in sent)
        )
        assert sorted(answer.status for answer in answers) == [201, *[422] * 5]
        taken = next(
            one["id"] for one, made in zip(sent, answers, strict=True) if made.status < 300
        )
        elsewhere = {**parameter("other", base=["Practitioner"]), "code": "eyes"}
        elsewhere["expression"] = "Practitioner.gender"
        await caller.put(elsewhere)
        again = await caller.call("PUT", f"SearchParameter/{taken}", {**sent[0], "id": taken})
        assert again.status == 200


async def test_two_of_one_transaction_cannot_have_one_code(caller):
    entries = [
        {
            "resource": {**parameter(id_), "code": "twice"},
            "request": {"method": "PUT", "url": f"SearchParameter/{id_}"},
        }
        for id_ in ("one", "two")
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert (await caller.call("POST", "", bundle)).status == 422
    assert (await caller.call("GET", "SearchParameter/one")).status == 404


@pytest.mark.parametrize(
    ("more", "element"),
    [
        ({"status": "draft"}, "status"),
        ({"type": "special"}, "type"),
        ({"expression": "Patient.where("}, "expression"),
        ({"expression": "Patient.nothing"}, "expression"),
        ({"expression": "Patient.name.skip(%what)"}, "expression"),
        ({"expression": "Patient.contact"}, "expression"),
        ({"code": "a b"}, "code"),
        (
            {
                "code": "gender",
                "derivedFrom": "http://hl7.org/fhir/SearchParameter/individual-gender",
            },
            "code",
        ),
    ],
)
async def test_what_cannot_be_used_is_kept_and_the_outcome_says_why(caller, more, element):
    told = await caller.put(parameter(**more), prefer="return=OperationOutcome")
    issues = json.loads(told.body)["issue"]
    assert [i["severity"] for i in issues] == ["information", "warning"]
    assert issues[1]["expression"] == [f"SearchParameter.{element}"]
    await caller.call("GET", "SearchParameter/eyes")
    assert caller.house.uploaded.record("default", "eyes") is None
    stored = await caller.house.services.store.read(Key("default", "SearchParameter", "eyes"))
    assert stored.body is not None


@contextlib.asynccontextmanager
async def unfollowed(folder, *uploads):
    """Give a caller where uploads were brought into use, and nobody follows what comes after."""
    async with opened(folder) as house:
        for upload in uploads:
            await Caller(house).put(upload)
            await Caller(house).task(upload["id"])
    async with opened(folder, working=False, following=False) as house:
        yield Caller(house)


async def transacted(caller, *wanted):
    """Send a transaction of resources to put and of references to delete."""
    entries = [
        {"request": {"method": "DELETE", "url": one}}
        if isinstance(one, str)
        else {"resource": one, "request": {"method": "PUT", "url": f"SearchParameter/{one['id']}"}}
        for one in wanted
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    return await caller.call("POST", "", bundle)


async def followed(house):
    """Wait until the newest SearchParameter was decided on."""
    (newest,) = await house.services.store.history(Scope("default", "SearchParameter"), Page(1))
    async with asyncio.timeout(30):
        while True:
            reached = await house.services.documents.get("default", "feeds", "search-parameter")
            if reached is not None and int(reached.value) >= newest.position:
                return
            await asyncio.sleep(0.01)


async def found_anew(folder, *urls):
    """Follow what came, and give the ids that are found as soon as the parameters are in use."""
    async with opened(folder) as house:
        caller, found = Caller(house), []
        await followed(house)
        for url in urls:
            await caller.until(url)
            found.append(await caller.ids(url))
        return found


def of(id_, code):
    """Give a parameter `id_` with a code, which looks at an extension of its own."""
    expression = f"Patient.extension.where(url = 'http://example.org/{id_}').value"
    return {**parameter(id_, expression=expression), "code": code}


def wearing(id_, url):
    extension = [{"url": f"http://example.org/{url}", "valueCode": "blue"}]
    return {"resourceType": "Patient", "id": id_, "extension": extension}


async def test_a_code_is_free_as_soon_as_its_parameter_is_deleted(tmp_path):
    async with unfollowed(tmp_path, of("m1", "hat")) as caller:
        await caller.put(wearing("p", "m2"))
        assert (await caller.call("DELETE", "SearchParameter/m1")).status == 204
        await caller.put(of("m2", "hat"))
    assert await found_anew(tmp_path, "Patient?hat=blue") == [["p"]]


async def test_a_transaction_may_pass_a_code_on(tmp_path):
    async with unfollowed(tmp_path, of("m1", "hat")) as caller:
        await caller.put(wearing("p", "m2"))
        passed = await transacted(caller, "SearchParameter/m1", of("m2", "hat"))
        assert passed.status == 200, passed.body
        taken = await transacted(caller, of("m3", "hat"))
        assert taken.status == 422
        retired = {**of("m2", "hat"), "status": "retired"}
        passed = await transacted(caller, of("m3", "hat"), retired)
        assert passed.status == 200, passed.body
        await caller.put(wearing("q", "m3"))
    assert await found_anew(tmp_path, "Patient?hat=blue") == [["q"]]


async def test_a_transaction_may_swap_two_codes(tmp_path):
    async with unfollowed(tmp_path, of("m1", "hat"), of("m2", "cap")) as caller:
        await caller.put(wearing("p", "m1"))
        await caller.put(wearing("q", "m2"))
        swapped = await transacted(caller, of("m1", "cap"), of("m2", "hat"))
        assert swapped.status == 200, swapped.body
    found = await found_anew(tmp_path, "Patient?cap=blue", "Patient?hat=blue")
    assert found == [["p"], ["q"]]


async def test_validation_warns_of_a_code_that_another_has(caller):
    await caller.put(parameter())
    await caller.task()
    again = {**parameter("again"), "code": "eyes"}
    told = await caller.call("POST", "SearchParameter/$validate", again)
    issues = json.loads(told.body)["issue"]
    assert [i["code"] for i in issues if i["severity"] == "warning"] == ["duplicate"]
