"""What entries of a Bundle ask, what they are told, and entries that mean the same: http.html#trules."""

import json

import pytest
from bodies import observation, patient

ONE = "identifier=http://ids|1"
P = "urn:uuid:11111111-1111-4111-8111-111111111111"


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method, url, resource=None, full_url=None, **request):
    made = {"request": {"method": method, "url": url, **request}}
    found = {"resource": resource, "fullUrl": full_url}
    return {**made, **{name: value for name, value in found.items() if value is not None}}


def identified(value="1", **more):
    return patient(identifier=[{"system": "http://ids", "value": value}], **more)


async def test_creates_of_one_condition_make_one_resource_and_links_go_to_it(door):
    other = "urn:uuid:33333333-3333-4333-8333-333333333333"
    linked = [observation(x, p) for x, p in (("a", P), ("b", other))]
    sent = bundle(
        "transaction",
        entry("POST", "Patient", identified(), P, ifNoneExist=ONE),
        entry(
            "POST", "Patient", identified(), other, ifNoneExist="Patient?identifier=http://ids%7C1"
        ),
        *(entry("PUT", f"Observation/{o['id']}", o) for o in linked),
    )
    answered = (await door.give("POST", "", sent))["entry"]
    assert [e["response"]["status"] for e in answered] == ["201", "200", "201", "201"]
    assert answered[0]["response"]["location"] == answered[1]["response"]["location"]
    him = await door.ids("Patient")
    for id_ in ("a", "b"):
        assert (await door.give("GET", f"Observation/{id_}"))["subject"]["reference"] == (
            f"Patient/{him[0]}"
        )
    assert len(him) == 1


@pytest.mark.parametrize("first", ["POST", "PUT"])
async def test_an_update_of_a_condition_that_another_entry_makes_is_refused(door, first):
    made = (
        entry("POST", "Patient", identified(), ifNoneExist=ONE)
        if first == "POST"
        else entry("PUT", f"Patient?{ONE}", identified())
    )
    sent = bundle("transaction", entry("PUT", f"Patient?{ONE}", identified()), made)
    refused = await door.call("POST", "", sent)
    assert refused.status == 400
    assert b"Entries 0 and 1" in refused.body
    assert await door.ids("Patient") == []


async def test_entries_are_told_when_they_were_written_and_outcomes_stand_apart(door):
    for kind in ("batch", "transaction"):
        sent = bundle(
            kind, entry("POST", "Patient", patient()), entry("PUT", "Patient/p", patient("p"))
        )
        told = (await door.give("POST", "", sent, prefer="return=OperationOutcome"))["entry"]
        for one in told:
            assert "resource" not in one
            assert one["response"]["outcome"]["resourceType"] == "OperationOutcome"
            place = one["response"]["location"].partition("/fhir/")[2]
            stored = await door.give("GET", place)
            assert one["response"]["lastModified"] == stored["meta"]["lastUpdated"]
        gone = bundle(kind, entry("DELETE", "Patient/p"))
        assert "lastModified" in (await door.give("POST", "", gone))["entry"][0]["response"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_what_a_bundle_prefers_is_for_its_entries(door, kind):
    sent = bundle(kind, entry("POST", "Patient", patient()), entry("GET", "Patient?nonsense=1"))
    lenient = (await door.give("POST", "", sent, prefer="return=minimal, handling=lenient"))[
        "entry"
    ]
    assert "resource" not in lenient[0]
    assert lenient[1]["response"]["status"] == "200"
    strict = (await door.give("POST", "", sent, prefer="return=representation"))["entry"]
    assert strict[0]["resource"]["resourceType"] == "Patient"
    assert strict[1]["response"]["status"] == "400"


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_head_gives_no_resource(door, kind):
    await door.give("PUT", "Patient/p", patient("p"))
    told = (await door.give("POST", "", bundle(kind, entry("HEAD", "Patient/p"))))["entry"][0]
    assert (told["response"]["status"], told["response"]["etag"]) == ("200", 'W/"1"')
    assert "resource" not in told


@pytest.mark.parametrize(
    "wrong",
    [
        entry("POST", "Patient", patient(), ifNonExist=ONE),
        entry("POST", "Patient?active=true", patient()),
        entry("PUT", "Patient/p?active=true", patient("p")),
        entry("DELETE", "Patient/p?active=true"),
    ],
)
async def test_what_would_be_ignored_is_refused(door, wrong):
    refused = await door.call("POST", "", bundle("transaction", wrong))
    assert refused.status == 400
    assert json.loads(refused.body)["issue"][0]["expression"][0].startswith("Bundle.entry[0]")


async def test_the_base_takes_no_parameter_that_it_does_not_know(door):
    assert (await door.call("POST", "?nonsense=1", bundle("batch"))).status == 400
    assert (await door.call("POST", "?_format=json&_pretty=true", bundle("batch"))).status == 200


async def test_links_follow_into_oid_and_uuid_elements(door):
    oid = "urn:oid:1.2.3.4"
    holding = {
        **observation("x", P),
        "extension": [
            {"url": "http://e/uuid", "valueUuid": P},
            {"url": "http://e/oid", "valueOid": oid},
        ],
    }
    organization = {"resourceType": "Organization", "name": "o"}
    sent = bundle(
        "transaction",
        entry("PUT", "Observation/x", holding),
        entry("PUT", "Patient/p", patient("p"), P),
        entry("POST", "Organization", organization, oid),
    )
    answered = (await door.give("POST", "", sent))["entry"]
    extension = (await door.give("GET", "Observation/x"))["extension"]
    made = answered[2]["response"]["location"].partition("/fhir/")[2].partition("/_history")[0]
    assert [e.get("valueUuid") or e.get("valueOid") for e in extension] == ["Patient/p", made]
    wrong = {**holding, "status": "nonsense"}
    again = bundle("transaction", entry("PUT", "Observation/x", wrong), *sent["entry"][1:])
    assert (await door.call("POST", "", again)).status in {400, 422}
    loose = {**observation("y"), "extension": [{"url": "http://e/uuid", "valueUuid": "Patient/p"}]}
    plain = bundle("transaction", entry("PUT", "Observation/y", loose), *sent["entry"][1:])
    assert (await door.call("POST", "", plain)).status == 400
