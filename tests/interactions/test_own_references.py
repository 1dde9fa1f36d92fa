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
    for held, status, place in ((strict, 422, "Bundle.entry[1]"), (loose, 409, "Bundle.entry[0]")):
        refused = await held.call("POST", "", still)
        assert refused.status == status
        assert json.loads(refused.body)["issue"][0]["expression"] == [place]
    moved = transaction(observation("o", "Patient/q"))
    moved["entry"].insert(0, delete)
    assert (await loose.call("POST", "", moved)).status == 200
    assert (await door.call("GET", "Patient/p")).status == 410
