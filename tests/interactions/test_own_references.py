"""References that are written with our own base: references.html#literal, search.html#reference."""

import json

import pytest
from bodies import observation, patient, transaction


@pytest.mark.parametrize("version", ["", "/_history/1"])
async def test_a_reference_by_our_own_base_is_as_good_as_a_relative_one(door, version):
    base = door.context.base
    await door.give("PUT", "Patient/p", patient("p"))
    held = observation("o", f"{base}/Patient/p{version}")
    await door.give("PUT", "Observation/o", held)
    await door.give("POST", "", transaction({**held, "id": "t"}))
    for id_ in ("o", "t"):
        stored = await door.give("GET", f"Observation/{id_}")
        assert stored["subject"]["reference"] == f"Patient/p{version}"
    for url in (
        "Observation?subject=Patient/p",
        f"Observation?subject={base}/Patient/p",
        "Observation?patient=p",
        "Patient/p/Observation",
    ):
        assert sorted(await door.ids(url)) == ["o", "t"], url
    found = await door.give("GET", "Patient?_id=p&_revinclude=Observation:subject")
    assert len(found["entry"]) == 3


async def test_it_is_held_to_the_rules_of_references(door):
    strict = door.with_policy(refuse_unresolved=True, refuse_dangling=True)
    base = door.context.base
    held = observation("o", f"{base}/Patient/p")
    assert (await strict.call("PUT", "Observation/o", held)).status == 422
    await strict.give("PUT", "Patient/p", patient("p"))
    await strict.give("PUT", "Observation/o", held)
    assert (await strict.call("DELETE", "Patient/p")).status == 409


async def test_what_is_no_reference_to_a_resource_here_stays(door):
    base = door.context.base
    held = {
        **observation("o", "http://elsewhere.example/fhir/Patient/p"),
        "performer": [{"reference": f"{base}x/Patient/p"}],
        "note": [{"text": f"{base}/Patient/p"}],
        "extension": [{"url": "http://e/uri", "valueUri": f"{base}/Patient/p"}],
    }
    stored = await door.give("PUT", "Observation/o", held)
    assert {**stored, "meta": None} == {**held, "meta": None}
    entry = {"fullUrl": f"{base}/Observation/o", "resource": observation("o", f"{base}/Patient/p")}
    document = {"resourceType": "Bundle", "id": "b", "type": "collection", "entry": [entry]}
    stored = await door.give("PUT", "Bundle/b", document)
    assert stored["entry"] == document["entry"]


async def test_what_is_deleted_along_is_not_there_to_be_referred_to(door):
    strict = door.with_policy(refuse_unresolved=True)
    loose = door.with_policy(refuse_dangling=True)
    await door.give("PUT", "Patient/p", patient("p"))
    await door.give("PUT", "Patient/q", patient("q"))
    await door.give("PUT", "Observation/o", observation("o", "Patient/p"))
    delete = {"request": {"method": "DELETE", "url": "Patient/p"}}
    still = transaction(observation("o", "Patient/p"))
    still["entry"].insert(0, delete)
    for held, status, place in (
        (strict, 422, "Bundle.entry[1].resource.subject"),
        (loose, 409, "Bundle.entry[0]"),
    ):
        refused = await held.call("POST", "", still)
        assert refused.status == status
        assert json.loads(refused.body)["issue"][0]["expression"] == [place]
    moved = transaction(observation("o", "Patient/q"))
    moved["entry"].insert(0, delete)
    assert (await loose.call("POST", "", moved)).status == 200
    assert (await door.call("GET", "Patient/p")).status == 410


@pytest.mark.parametrize("method", ["POST", "PUT", "batch", "transaction", "uuid"])
async def test_what_is_checked_is_what_is_stored(door, method):
    async def status(element, text):
        one = {"reference": text}
        held = {**observation("o"), element: [one] if element == "performer" else one}
        if method in {"POST", "PUT"}:
            url = "Observation/o" if method == "PUT" else "Observation"
            return (await door.call(method, url, held)).status
        entry = {"resource": held, "request": {"method": "POST", "url": "Observation"}}
        if method == "uuid":
            entry["fullUrl"] = "urn:uuid:0f1a2b3c-0000-4000-8000-000000000001"
            held["extension"] = [{"url": "http://e", "valueUuid": entry["fullUrl"]}]
        kind = "batch" if method == "batch" else "transaction"
        answered = await door.call("POST", "", bundle_of(kind, entry))
        if answered.status >= 400:
            return answered.status
        return int(json.loads(answered.body)["entry"][0]["response"]["status"])

    base = door.context.base
    for element, wrong in (
        ("subject", "Nope/p"),
        ("subject", "Patient/p#x"),
        ("performer", "Location/l"),
    ):
        assert await status(element, wrong) >= 400
        assert await status(element, f"{base}/{wrong}") == await status(element, wrong)
    assert await door.ids("Observation") == []
    assert await status("performer", f"{base}/Practitioner/p") == 201


def bundle_of(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


async def test_a_patch_is_checked_as_it_is_stored(door):
    await door.give("PUT", "Observation/o", observation("o"))
    kind = {"content_type": "application/json-patch+json"}

    async def patched(text):
        step = {"op": "replace", "path": "/subject/reference", "value": text}
        sent = json.dumps([step]).encode()
        return (await door.call("PATCH", "Observation/o", sent, **kind)).status

    assert await patched(f"{door.context.base}/Nope/p") == 422
    assert await patched(f"{door.context.base}/Patient/p") == 200
    stored = await door.give("GET", "Observation/o")
    assert stored["subject"] == {"reference": "Patient/p"}
    assert (await door.call("PUT", "Observation/o", stored)).status == 200


async def test_an_element_that_is_only_called_reference_stays(door):
    here = f"{door.context.base}/Patient/p"
    issue = {"resourceType": "DetectedIssue", "status": "final", "reference": here}
    taught = {
        "resourceType": "Immunization",
        "status": "completed",
        "vaccineCode": {"text": "x"},
        "patient": {"reference": here},
        "occurrenceString": "x",
        "education": [{"reference": here}],
    }
    assert (await door.give("POST", "DetectedIssue", issue))["reference"] == here
    stored = await door.give("POST", "Immunization", taught)
    assert stored["education"] == [{"reference": here}]
    assert stored["patient"] == {"reference": "Patient/p"}


@pytest.mark.parametrize("meta", [[], ["x"], "x", 3])
async def test_what_is_no_object_is_refused_before_it_is_stored(door, meta):
    held = {**observation("o", f"{door.context.base}/Patient/p"), "meta": meta}
    assert (await door.call("PUT", "Observation/o", held)).status == 400
    assert (await door.call("POST", "", transaction(held))).status == 400


async def test_what_a_transaction_links_is_not_within_a_bundle_that_it_stores(door):
    full = "urn:uuid:0f1a2b3c-0000-4000-8000-000000000002"
    inner = [
        {"fullUrl": full, "resource": patient("x")},
        {"fullUrl": "http://x.example/Observation/o", "resource": observation("o", full)},
    ]
    stored = {"resourceType": "Bundle", "type": "collection", "entry": inner}
    sent = bundle_of(
        "transaction",
        {"resource": stored, "request": {"method": "POST", "url": "Bundle"}},
        {"fullUrl": full, "resource": patient(), "request": {"method": "POST", "url": "Patient"}},
    )
    await door.give("POST", "", sent)
    found = await door.give("GET", "Bundle")
    assert found["entry"][0]["resource"]["entry"] == inner
