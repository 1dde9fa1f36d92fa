"""What the CapabilityStatement says of every type is done, and what it does not say is not: http.html."""

import itertools
import json
from urllib.parse import parse_qsl

import generated
import pytest
from bodies import patient
from msgspec.structs import replace

from conformance.validate import Validator
from fhir_server.app import installation
from fhir_server.interactions import answer
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import load
from resources import definitions
from resources.outcome import FhirError

DEFINITIONS = definitions.load()
VALIDATOR = Validator(DEFINITIONS)
TEXT = {"text": "x"}
ACTIVE = {
    "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
    "code": "active",
}
NEEDED = {
    "AllergyIntolerance": {"clinicalStatus": {"coding": [ACTIVE]}},
    "Appointment": {
        "status": "proposed",
        "participant": [{"type": [TEXT], "status": "accepted"}],
    },
    "AppointmentResponse": {"participantType": [TEXT]},
    "CapabilityStatement": {
        "kind": "requirements",
        "description": "x",
        "rest": [{"mode": "server"}],
    },
    "Consent": {"policyRule": TEXT},
    "EventDefinition": {"trigger": [{"type": "named-event", "name": "x"}]},
    "ImmunizationRecommendation": {
        "recommendation": [{"targetDisease": TEXT, "forecastStatus": TEXT}],
    },
    "InsurancePlan": {"name": "x"},
    "Organization": {"name": "x"},
    "StructureDefinition": {
        "kind": "complex-type",
        "abstract": True,
        "name": "X",
        "type": "X",
        "differential": {"element": [{"id": "X", "path": "X"}]},
    },
    "TerminologyCapabilities": {"kind": "requirements", "description": "x"},
}
"""What an invariant of a type needs beside its mandatory elements."""
NARROW = frozenset({"AuditEvent", "Binary", "Bundle", "Parameters", "Patient", "SearchParameter"})
"""Types that something special is done with: they are tried in each run."""
FORM = "application/x-www-form-urlencoded"
PATCH = {"content_type": "application/json-patch+json"}
ENGLISH = [{"op": "add", "path": "/language", "value": "en"}]


class House:
    """An installation as the door of its HTTP edge meets it, in this process."""

    def __init__(self, context):
        self.context = context

    async def call(self, method, url, body=None, **headers):
        path, _, query = url.partition("?")
        raw = b"" if body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        request = FhirRequest(method, path, tuple(parse_qsl(query)), sent, raw)
        try:
            return await dispatch(self.context, request)
        except FhirError as error:
            return answer.failed(error)

    async def status(self, method, url, body=None, **headers):
        return (await self.call(method, url, body, **headers)).status

    async def statement(self):
        return json.loads((await self.call("GET", "metadata")).body)["rest"][0]


@pytest.fixture
async def house(tmp_path, request):
    several = getattr(request, "param", "single")
    flags = {"data": str(tmp_path), "auth": "open", "audit": "off", "conditional_delete": several}
    settings, _ = load(flags, {}, None)
    async with installation(settings, "http://x") as opened:
        yield House(replace(opened.ours("default"), keep_unchanged=False))


def smallest(type_):
    """Give a small valid resource of a type, without an id."""
    for seed in range(40):
        made = generated.Generator(seed, density=0).resource(type_) | NEEDED.get(type_, {})
        del made["id"]
        if all(issue.severity == "warning" for issue in VALIDATOR.check({**made, "id": "x"})):
            return made
    raise AssertionError(f"no seed makes a valid {type_}")


async def interactions(house, body):
    """Try each interaction of a type; gives those that did what they are for, and the id that was created."""
    type_ = body["resourceType"]
    created = await house.call("POST", type_, body)
    assert created.status == 201, created.body
    one = json.loads(created.body)
    place = f"{type_}/{one['id']}"
    tried = {
        "create": created.status,
        "read": await house.status("GET", place),
        "update": await house.status("PUT", place, {**body, "id": one["id"], "language": "de"}),
        "patch": await house.status("PATCH", place, ENGLISH, **PATCH),
        "vread": await house.status("GET", f"{place}/_history/1"),
        "history-instance": await house.status("GET", f"{place}/_history"),
        "history-type": await house.status("GET", f"{type_}/_history"),
        "search-type": await house.status("GET", f"{type_}?_id={one['id']}"),
    }
    searched = await house.status("POST", f"{type_}/_search", content_type=FORM)
    assert searched == tried["search-type"]
    language = json.loads((await house.call("GET", place)).body).get("language")
    assert language == ("en" if tried["patch"] == 200 else body.get("language"))
    return tried, place


async def conditionals(house, body, place):
    """Try what depends on conditions; gives it as the CapabilityStatement does."""
    type_, id_ = place.split("/")
    read = (await house.call("GET", place)).headers
    unchanged = [
        await house.status("GET", place, if_none_match=read["ETag"]),
        await house.status("GET", place, if_modified_since=read["Last-Modified"]),
    ]
    exists = await house.status("POST", type_, body, if_none_exist=f"_id={id_}")
    named = [await house.status("PUT", f"{type_}/{id_}", {**body, "id": id_}) for id_ in "ab"]
    found = [await house.status("PUT", f"{type_}?_id=c", {**body, "id": "c"}) for _ in range(2)]
    assert set(named) in ({201}, {405}), named
    assert found in ([201, 200], [405, 405]), found
    one = await house.status("DELETE", f"{type_}?_id=c")
    several = await house.status("DELETE", f"{type_}?_id=a,b")
    return {
        "conditionalRead": "full-support" if unchanged == [304, 304] else unchanged,
        "conditionalCreate": exists == 200,
        "conditionalUpdate": found == [201, 200],
        "conditionalDelete": {
            (405, 405): "not-supported",
            (204, 412): "single",
            (204, 204): "multiple",
        }[one, several],
        "updateCreate": 201 in named,
    }


async def operations(house, codes, places):
    """Give the operations that are there at one of these places, whatever they say to an empty request."""
    found = set()
    for code, place in itertools.product(codes, places):
        told = await house.call(
            "POST", f"{place}/${code}".lstrip("/"), {"resourceType": "Parameters"}
        )
        if told.status != 404 or json.loads(told.body)["issue"][0]["code"] != "not-supported":
            found.add(code)
    return found


def names(place):
    return {operation["name"] for operation in place.get("operation", ())}


async def astray(house, stated, codes):
    """Compare what is stated of a type with what is done; gives the differences."""
    type_ = stated["type"]
    body = smallest(type_)
    tried, place = await interactions(house, body)
    done = {
        "interaction": {code for code, status in tried.items() if status < 300},
        **await conditionals(house, body, place),
        "operation": await operations(house, codes, (type_, f"{type_}/nobody")),
        "readHistory": tried["vread"] == 200,
        "versioning": "versioned-update",
    }
    deleted = await house.status("DELETE", place)
    if (deleted, await house.status("GET", place)) == (204, 410):
        done["interaction"].add("delete")
        deleted = 405
    refused = {status for code, status in tried.items() if code not in done["interaction"]}
    said = {name: stated[name] for name in done if name not in {"interaction", "operation"}}
    said["interaction"] = {interaction["code"] for interaction in stated["interaction"]}
    said["operation"] = names(stated)
    if {*refused, deleted} != {405}:
        yield type_, "refused", refused, deleted
    for name, held in done.items():
        if held != said[name]:
            yield type_, name, said[name], held


async def test_all_that_the_statement_says_of_a_type_is_done_and_nothing_else(
    house, size, record_property
):
    rest = await house.statement()
    codes = {code for place in (rest, *rest["resource"]) for code in names(place)}
    codes |= {operation.code for operation in DEFINITIONS.operations}
    assert {stated["type"] for stated in rest["resource"]} == DEFINITIONS.resource_types
    some = [
        stated
        for number, stated in enumerate(rest["resource"])
        if number % size(6, 1) == 0 or stated["type"] in NARROW
    ]
    wrong = [found for stated in some async for found in astray(house, stated, codes)]
    assert wrong == []
    told = f"what is said of {len(some)} types, {len(codes)} operations tried on each, is done"
    record_property("proof", told)


@pytest.mark.parametrize("house", ["multiple"], indirect=True)
async def test_what_is_said_of_conditional_deletes_of_several_is_done(house):
    for stated in (await house.statement())["resource"]:
        if stated["type"] in {"Patient", "AuditEvent"}:
            wrong = [found async for found in astray(house, stated, names(stated))]
            assert wrong == []


async def test_all_that_the_statement_says_of_the_system_is_done_and_nothing_else(house):
    rest = await house.statement()
    entry = {"resource": patient(), "request": {"method": "POST", "url": "Patient"}}
    done = {
        kind
        for kind in ("batch", "transaction")
        if await house.status(
            "POST", "", {"resourceType": "Bundle", "type": kind, "entry": [entry]}
        )
        == 200
    }
    done |= {"search-system"} if await house.status("GET", "?_type=Patient") == 200 else set()
    done |= {"history-system"} if await house.status("GET", "_history") == 200 else set()
    assert done == {interaction["code"] for interaction in rest["interaction"]}
    codes = {code for place in (rest, *rest["resource"]) for code in names(place)}
    codes |= {operation.code for operation in DEFINITIONS.operations}
    assert await operations(house, codes, ("",)) == names(rest)
