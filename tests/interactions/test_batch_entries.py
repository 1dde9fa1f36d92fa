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


@pytest.mark.parametrize(
    "same",
    [
        "organization=http://test.example/fhir/Organization/o&identifier=http://ids|1",
        "identifier=http://ids|1&identifier=http://ids|1&organization:Organization=o",
        "identifier=http://ids|1&organization=Organization/o",
    ],
)
async def test_a_condition_in_other_words_is_the_same(door, same):
    organization = {"resourceType": "Organization", "id": "o", "name": "x"}
    his = identified(managingOrganization={"reference": "Organization/o"})
    condition = "identifier=http://ids|1&organization=Organization/o"
    sent = bundle(
        "transaction",
        entry("PUT", "Organization/o", organization),
        entry("POST", "Patient", his, ifNoneExist=condition),
        entry("POST", "Patient", his, ifNoneExist=same),
    )
    answered = (await door.give("POST", "", sent))["entry"]
    assert [e["response"]["status"] for e in answered] == ["201", "201", "200"]
    assert len(await door.ids("Patient")) == 1


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
    strict = await door.call("POST", "", sent, prefer="return=representation")
    assert strict.status == (200 if kind == "batch" else 400)
    if kind == "batch":
        told = json.loads(strict.body)["entry"]
        assert told[0]["resource"]["resourceType"] == "Patient"
        assert told[1]["response"]["status"] == "400"


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
        {**entry("POST", "Patient", patient()), "fullURL": P},
        {**entry("POST", "Patient", patient()), "modifierExtension": [{"url": "http://e/not"}]},
        entry("POST", "Patient", patient(), ifNoneExist="family=M%F6ller"),
        entry("GET", "Patient?name=%ff"),
        entry("GET", "Patient?_count=1", ifModifiedSince="yesterday"),
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


async def test_a_bundle_has_no_element_that_r4_does_not_know(door):
    misspelt = {**bundle("transaction"), "entries": [entry("POST", "Patient", patient())]}
    assert (await door.call("POST", "", misspelt)).status == 400


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_urls_of_entries_are_decoded_as_those_of_requests(door, kind):
    put = entry("PUT", "/Patient/%70r", patient("pr"))
    read = entry("GET", "Patient/p%72")
    for sent in (put, read):
        told = (await door.give("POST", "", bundle(kind, sent)))["entry"][0]
        assert told["response"]["status"] in {"200", "201"}
    posted = await door.give("POST", "", bundle(kind, entry("POST", "Patient/", patient())))
    assert posted["entry"][0]["response"]["status"] == "201"


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_what_was_not_changed_since_is_not_given_again(door, kind):
    await door.give("PUT", "Patient/p", patient("p"))
    for since, status in (("2999-01-01T00:00:00Z", "304"), ("1999-01-01T00:00:00.5Z", "200")):
        sent = bundle(kind, entry("GET", "Patient/p", ifModifiedSince=since))
        told = (await door.give("POST", "", sent))["entry"][0]
        assert told["response"]["status"] == status


async def test_what_one_entry_deletes_no_other_may_count_on(door):
    await door.give("PUT", "Patient/p", identified(id="p"))
    gone = entry("DELETE", "Patient/p")
    for other in (
        entry("POST", "Patient", identified(), P, ifNoneExist=ONE),
        entry("POST", "Observation", observation(None, f"Patient?{ONE}")),
        entry("GET", "Patient/p"),
    ):
        for sent in (bundle("transaction", gone, other), bundle("transaction", other, gone)):
            assert 400 <= (await door.call("POST", "", sent)).status < 500
    assert await door.ids("Patient") == ["p"]
    assert await door.ids("Observation") == []


async def test_a_read_that_fails_fails_its_transaction(door):
    await door.give("PUT", "Patient/q", patient("q"))
    await door.give("DELETE", "Patient/q")
    for wrong in ("Nope/1", "Patient/none", "Patient/q", "Patient?bogus=1", "Patient/p/_history/9"):
        made = entry("PUT", "Patient/new", patient("new"))
        refused = await door.call("POST", "", bundle("transaction", made, entry("GET", wrong)))
        assert 400 <= refused.status < 500
        told = json.loads(refused.body)["issue"][0]["expression"][0]
        assert told.startswith("Bundle.entry[1]")
    assert await door.ids("Patient") == []


async def test_a_transaction_reads_what_it_writes(door):
    sent = bundle(
        "transaction",
        entry("GET", "Patient/new"),
        entry("PUT", "Patient/new", patient("new")),
        entry("GET", "Patient/new/_history/1"),
    )
    answered = (await door.give("POST", "", sent))["entry"]
    assert [e["response"]["status"] for e in answered] == ["200", "201", "200"]
