"""batch and transaction: http.html#transaction."""

import asyncio
import json

import pytest
from bodies import observation, patient


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method, url, resource=None, full_url=None, **request):
    made = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url is not None:
        made["fullUrl"] = full_url
    return made


P, O = (
    "urn:uuid:11111111-1111-4111-8111-111111111111",
    "urn:uuid:22222222-2222-4222-8222-222222222222",
)


async def test_placeholders_become_references_whatever_the_order(door):
    linked = {
        **observation("x", P),
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{P}">him</a></div>',
        },
    }
    linked.pop("id")
    answered = await door.give(
        "POST",
        "",
        bundle(
            "transaction",
            entry("POST", "Observation", linked, O),
            entry("POST", "Patient", patient(), P),
        ),
    )
    places = [e["response"]["location"].partition("/fhir/")[2] for e in answered["entry"]]
    assert [e["response"]["status"] for e in answered["entry"]] == ["201", "201"]
    stored = await door.give("GET", places[0].partition("/_history")[0])
    him = places[1].partition("/_history")[0]
    assert stored["subject"]["reference"] == him
    assert f'href="{him}"' in stored["text"]["div"]


async def test_a_transaction_is_all_or_nothing(door):
    wrong = observation("o1", status="nonsense")
    answered = await door.call(
        "POST",
        "",
        bundle(
            "transaction",
            entry("PUT", "Patient/p1", patient("p1")),
            entry("PUT", "Observation/o1", wrong),
        ),
    )
    assert answered.status == 422
    assert json.loads(answered.body)["issue"][0]["expression"][0].startswith("Bundle.entry[1]")
    assert (await door.call("GET", "Patient/p1")).status == 404


async def test_a_batch_fails_entry_by_entry(door):
    wrong = observation("o1", status="nonsense")
    answered = await door.give(
        "POST",
        "",
        bundle(
            "batch",
            entry("PUT", "Patient/p1", patient("p1")),
            entry("PUT", "Observation/o1", wrong),
            entry("GET", "Patient/p1"),
            entry("GET", "Patient/none"),
        ),
    )
    assert [e["response"]["status"] for e in answered["entry"]] == ["201", "422", "200", "404"]
    assert answered["entry"][1]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert answered["entry"][2]["resource"]["id"] == "p1"


async def test_two_entries_on_one_identity_are_refused_naming_both(door):
    answered = await door.call(
        "POST",
        "",
        bundle(
            "transaction",
            entry("PUT", "Patient/p0", patient("p0")),
            entry("PUT", "Patient/p1", patient("p1")),
            entry("DELETE", "Patient/p1"),
        ),
    )
    assert answered.status in {400, 404}
    await door.give("PUT", "Patient/p1", patient("p1"))
    answered = await door.call(
        "POST",
        "",
        bundle(
            "transaction", entry("PUT", "Patient/p1", patient("p1")), entry("DELETE", "Patient/p1")
        ),
    )
    assert answered.status == 400
    text = json.loads(answered.body)["issue"][0]["diagnostics"]
    assert "0" in text
    assert "1" in text


async def test_conditional_creates_inside_use_what_exists_and_links_follow(door):
    body = patient(identifier=[{"system": "urn:mrn", "value": "1"}])
    made = await door.give("POST", "Patient", body)
    sent = bundle(
        "transaction",
        entry("POST", "Patient", body, P, ifNoneExist="identifier=urn:mrn|1"),
        entry("PUT", "Observation/o1", observation("o1", P)),
    )
    answered = await door.give("POST", "", sent)
    assert [e["response"]["status"] for e in answered["entry"]] == ["200", "201"]
    stored = await door.give("GET", "Observation/o1")
    assert stored["subject"]["reference"] == f"Patient/{made['id']}"


async def test_a_conditional_reference_is_resolved_or_refused(door):
    body = patient("p1", identifier=[{"system": "urn:mrn", "value": "1"}])
    await door.give("PUT", "Patient/p1", body)
    good = observation("o1", "Patient?identifier=urn:mrn|1")
    await door.give("POST", "", bundle("transaction", entry("PUT", "Observation/o1", good)))
    assert (await door.give("GET", "Observation/o1"))["subject"]["reference"] == "Patient/p1"
    bad = observation("o2", "Patient?identifier=urn:mrn|2")
    answered = await door.call(
        "POST", "", bundle("transaction", entry("PUT", "Observation/o2", bad))
    )
    assert answered.status == 412


async def test_if_match_inside_refuses_the_whole(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    sent = bundle(
        "transaction",
        entry("PUT", "Patient/p2", patient("p2")),
        entry("PUT", "Patient/p1", patient("p1"), ifMatch='W/"7"'),
    )
    assert (await door.call("POST", "", sent)).status == 412
    assert (await door.call("GET", "Patient/p2")).status == 404


async def test_reads_inside_a_transaction_see_what_it_wrote(door):
    sent = bundle(
        "transaction", entry("GET", "Patient/p1"), entry("PUT", "Patient/p1", patient("p1"))
    )
    answered = await door.give("POST", "", sent)
    assert answered["entry"][0]["resource"]["id"] == "p1"


async def test_racing_transactions_make_one_resource(door):
    body = patient(identifier=[{"system": "urn:mrn", "value": "1"}])
    sent = bundle(
        "transaction",
        entry("POST", "Patient", body, P, ifNoneExist="identifier=urn:mrn|1"),
        entry("POST", "Observation", {**observation("x", P), "id": None}, O),
    )
    sent["entry"][1]["resource"].pop("id")
    await asyncio.gather(*(door.give("POST", "", sent) for _ in range(16)))
    assert len(await door.ids("Patient?identifier=urn:mrn|1")) == 1
    assert len(await door.ids("Observation")) == 16


@pytest.mark.parametrize(
    "sent",
    [
        patient("p1"),
        bundle("collection"),
        bundle("transaction", {}),
        bundle("transaction", {"request": {"method": "PUT"}}),
        bundle("transaction", entry("PUT", "Patient/p1")),
        bundle("transaction", entry("FETCH", "Patient/p1")),
        bundle("transaction", entry("PUT", "Patient/p1", patient("p2"))),
        bundle("transaction", entry("POST", "Nothing", patient())),
        {"resourceType": "Bundle", "type": "batch", "entry": 3},
    ],
)
async def test_what_is_no_bundle_of_requests_is_refused(door, sent):
    answered = await door.call("POST", "", sent)
    assert answered.status // 100 == 4


async def test_a_thousand_entries_go_in_at_once(door):
    entries = [entry("PUT", f"Patient/p{n}", patient(f"p{n}")) for n in range(1000)]
    answered = await door.give("POST", "", bundle("transaction", *entries))
    assert len(answered["entry"]) == 1000
    counted = await door.give("GET", "Patient?_summary=count")
    assert counted["total"] == 1000


async def test_links_follow_in_uris_and_narrative_and_never_in_canonicals(door):
    task = {
        "resourceType": "Task",
        "status": "draft",
        "intent": "order",
        "instantiatesCanonical": P,
        "instantiatesUri": f"{P}#part",
        "for": {"reference": P, "display": P},
        "input": [
            {"type": {"text": "x"}, "valueUri": P},
            {"type": {"text": "y"}, "valueString": P},
        ],
    }
    sent = bundle(
        "transaction", entry("POST", "Task", task), entry("POST", "Patient", patient(), P)
    )
    answered = await door.give("POST", "", sent)
    place = (
        answered["entry"][0]["response"]["location"]
        .partition("/fhir/")[2]
        .partition("/_history")[0]
    )
    him = (
        answered["entry"][1]["response"]["location"]
        .partition("/fhir/")[2]
        .partition("/_history")[0]
    )
    stored = await door.give("GET", place)
    assert stored["instantiatesCanonical"] == P
    assert stored["instantiatesUri"] == f"{him}#part"
    assert stored["for"] == {"reference": him, "display": P}
    assert [i.get("valueUri") or i.get("valueString") for i in stored["input"]] == [him, P]


async def test_a_relative_reference_is_resolved_against_its_entry_s_full_url(door):
    linked = {**observation("x", "Patient/23")}
    linked.pop("id")
    sent = bundle(
        "transaction",
        entry("POST", "Observation", linked, "http://other.example/fhir/Observation/1"),
        entry("POST", "Patient", patient(), "http://other.example/fhir/Patient/23"),
    )
    answered = await door.give("POST", "", sent)
    places = [e["response"]["location"].partition("/fhir/")[2] for e in answered["entry"]]
    stored = await door.give("GET", places[0].partition("/_history")[0])
    assert stored["subject"]["reference"] == places[1].partition("/_history")[0]


async def test_a_big_transaction_lets_others_be_answered(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    entries = [entry("PUT", f"Observation/o{n}", observation(f"o{n}")) for n in range(3000)]
    writing = asyncio.create_task(door.give("POST", "", bundle("transaction", *entries)))
    answered = 0
    while not writing.done():
        await asyncio.sleep(0)
        assert (await door.call("GET", "Patient/p1")).status == 200
        answered += 1
    assert len((await writing)["entry"]) == 3000
    assert answered > 20
