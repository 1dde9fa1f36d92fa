"""Interaction update: the ids that a client may choose (FHIR R4 http.html#upsert, RFC 3986 3.3)."""

import json

import pytest
from bodies import patient
from msgspec.structs import replace

from fhir_server.interactions import put_many
from resources.outcome import Invalid

NO_PLACES = (".", "..")


def transaction(url, id_):
    entry = {"request": {"method": "PUT", "url": url}, "resource": patient(id_)}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}


@pytest.mark.parametrize("id_", NO_PLACES)
async def test_what_a_url_resolves_away_is_no_id(door, id_):
    answers = [
        await door.call("PUT", f"Patient/{id_}", patient(id_)),
        await door.call("PUT", f"Binary/{id_}", {"resourceType": "Binary", "id": id_}),
        await door.call("PUT", "Patient?family=Rho", patient(id_)),
        await door.call("POST", "", transaction(f"Patient/{id_}", id_)),
        await door.call("POST", "", transaction("Patient?family=Rho", id_)),
    ]
    assert [answered.status for answered in answers] == [400] * 5
    assert "'..'" in json.loads(answers[0].body)["issue"][0]["diagnostics"]
    batch = await door.give("POST", "", transaction(f"Patient/{id_}", id_) | {"type": "batch"})
    assert batch["entry"][0]["response"]["status"] == "400"
    assert await door.context.services.store.position() == 0


async def test_it_is_not_loaded_either(door):
    ours = replace(door.context, keep_unchanged=True)
    for id_ in NO_PLACES:
        with pytest.raises(Invalid):
            put_many.prepared(ours, patient(id_), "other")


async def test_other_ids_with_dots_are_ids(door):
    for id_ in ("...", ".a", "a.", "-", "1.2.840"):
        made = await door.call("PUT", f"Patient/{id_}", patient(id_))
        assert made.status == 201, id_
        assert (await door.give("GET", f"Patient/{id_}"))["id"] == id_
