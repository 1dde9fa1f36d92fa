"""What an entry of a Bundle may not be: refused with its place, and with what is wrong (bundle.html)."""

import json

import pytest
from bodies import observation, patient
from msgspec.structs import replace

from fhir_server.context import Route
from fhir_server.interactions.entry import rendered
from fhir_server.message import FhirResponse, Pieces

BOTH = pytest.mark.parametrize("kind", ["batch", "transaction"])
pytestmark = pytest.mark.parametrize("door", ["memory"], indirect=True)  # all before the store


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method, url, resource=None, **more):
    made = {"request": {"method": method, "url": url}, **more}
    return made if resource is None else {**made, "resource": resource}


async def refusal(door, sent):
    """Give status and issue of the refusal of a Bundle's last entry."""
    answered = await door.call("POST", "", sent)
    told = json.loads(answered.body)
    if sent["type"] == "transaction":
        return answered.status, told["issue"][0]
    response = told["entry"][-1]["response"]
    return int(response["status"]), response["outcome"]["issue"][0]


@BOTH
@pytest.mark.parametrize("wrong", [None, "", 5, [], {}, True])
async def test_a_full_url_that_is_no_string_is_refused(door, kind, wrong):
    his = entry("POST", "Patient", patient(), fullUrl="urn:uuid:a")
    for other in (his, entry("GET", "Patient")):
        sent = bundle(kind, other, entry("POST", "Patient", patient(), fullUrl=wrong))
        status, issue = await refusal(door, sent)
        assert (status, issue["expression"]) == (400, ["Bundle.entry[1].fullUrl"])


@BOTH
@pytest.mark.parametrize("name", ["ifMatch", "ifNoneMatch", "ifNoneExist", "ifModifiedSince"])
@pytest.mark.parametrize("wrong", [None, "", 5, ["x"]])
async def test_what_a_request_says_is_a_string(door, kind, name, wrong):
    made = entry("PUT", "Patient/1", patient("1"))
    made["request"][name] = wrong
    status, issue = await refusal(door, bundle(kind, made))
    assert (status, issue["expression"]) == (400, [f"Bundle.entry[0].request.{name}"])


@BOTH
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("wrong", [None, 5, "x", []])
async def test_a_resource_that_is_no_object_is_refused(door, kind, method, wrong):
    await door.give("PUT", "Patient/1", patient("1"))
    url = "Patient" if method == "POST" else "Patient/1"
    made = {**entry(method, url), "resource": wrong}
    status, issue = await refusal(door, bundle(kind, made))
    assert (status, issue["expression"]) == (400, ["Bundle.entry[0].resource"])
    assert (await door.call("GET", "Patient/1")).status == 200


@BOTH
@pytest.mark.parametrize(("method", "url"), [("POST", "Basic"), ("PUT", "Basic/1")])
async def test_what_writes_brings_a_resource(door, kind, method, url):
    status, issue = await refusal(door, bundle(kind, entry(method, url)))
    assert (status, issue["diagnostics"]) == (400, "The entry needs a resource")
    assert issue["expression"] == ["Bundle.entry[0].resource"]


@BOTH
async def test_a_patch_brings_its_patch(door, kind):
    await door.give("PUT", "Patient/1", patient("1"))
    status, issue = await refusal(door, bundle(kind, entry("PATCH", "Patient/1")))
    assert (status, issue["expression"]) == (400, ["Bundle.entry[0].resource"])


async def test_a_search_by_post_in_a_batch_brings_none(door):
    await door.give("PUT", "Patient/1", patient("1"))
    found = await door.give("POST", "", bundle("batch", entry("POST", "Patient/_search?_id=1")))
    assert found["entry"][0]["resource"]["total"] == 1


@pytest.mark.parametrize(
    ("method", "url", "told"),
    [
        ("POST", "Patient/_search?_id=x", "A search in a transaction is a GET"),
        ("POST", "_search?_id=x", "A search in a transaction is a GET"),
        ("POST", "Patient/1/$everything", "An operation in a transaction is a GET"),
        ("POST", "$export", "An operation in a transaction is a GET"),
        ("POST", "", "A transaction carries out no other Bundle"),
        ("POST", "http://test.example/fhir/", "A transaction carries out no other Bundle"),
        ("DELETE", "", "The entry's url does not fit its method"),
        ("PUT", "_history", "The entry's url does not fit its method"),
        ("DELETE", "Patient/1/$purge", "The entry's url does not fit its method"),
    ],
)
async def test_what_a_transaction_does_not_carry_out_is_told_in_its_own_words(
    door, method, url, told
):
    sent = bundle("transaction", entry(method, url, bundle("batch")))
    status, issue = await refusal(door, sent)
    assert (status, issue["diagnostics"]) == (400, told)
    assert issue["expression"] == ["Bundle.entry[0].request.url"]


@pytest.mark.parametrize("query", ["/Patient?identifier=1", "Nope?x=1", "fhir/Patient?_id=1"])
async def test_a_conditional_reference_begins_with_a_type(door, query):
    sent = bundle("transaction", entry("PUT", "Observation/o", observation("o", query)))
    status, issue = await refusal(door, sent)
    assert (status, issue["expression"]) == (400, ["Bundle.entry[0]"])
    assert issue["diagnostics"].startswith("A conditional reference is a type of R4")


@BOTH
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("url", ["_async/j1", "_async/j1/Basic.ndjson", "/_async"])
async def test_what_is_answered_later_is_no_entry(door, kind, method, url):
    status, issue = await refusal(door, bundle(kind, entry(method, url)))
    assert (status, issue["code"]) == (400, "not-supported")
    assert issue["expression"] == ["Bundle.entry[0].request.url"]


@BOTH
async def test_an_answer_that_is_no_resource_is_refused_and_not_put_into_the_bundle(door, kind):
    async def table(_context, _request):
        return FhirResponse(200, b"a,b", {}, "text/csv")

    route = Route("table", frozenset({"system"}), frozenset(), affects_state=False, answer=table)
    services = replace(door.context.services, operations={"table": (route,)})
    door = type(door)(replace(door.context, services=services))
    assert (await door.call("GET", "$table")).body == b"a,b"
    answered = await door.give("POST", "", bundle(kind, entry("GET", "$table")))
    (one,) = answered["entry"]
    assert one["response"]["status"] == "406"
    assert "resource" not in one


def test_pieces_are_no_entry_and_the_place_of_a_later_answer_is_told(door):
    del door
    told, body, _ = rendered(FhirResponse(200, pieces=Pieces(3, lambda: None)))
    assert (told["status"], body) == ("406", b"")
    later = {"Content-Location": "http://test.example/fhir/_async/1"}
    told, body, full_url = rendered(FhirResponse(202, b"", later))
    assert told == {"status": "202", "location": later["Content-Location"]}
    assert (body, full_url) == (b"", "")
