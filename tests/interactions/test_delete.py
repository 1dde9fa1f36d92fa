"""Interaction delete: what is there, what was, and what never was (FHIR R4 http.html#delete)."""

import json

import pytest
from bodies import observation, patient

from fhir_server.access import Access, Grant

LETTERS = frozenset("cruds")
OUTCOME = "return=OperationOutcome"


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def delete(url):
    return {"request": {"method": "DELETE", "url": url}}


async def test_deleting_what_never_was_succeeds_and_writes_nothing(door):
    position = await door.context.services.store.position()
    answered = await door.call("DELETE", "Patient/none")
    assert (answered.status, answered.body, dict(answered.headers)) == (204, b"", {})
    for kind in ("batch", "transaction"):
        told = await door.give("POST", "", bundle(kind, delete("Patient/none")))
        assert told["entry"][0]["response"] == {"status": "204"}
    assert await door.context.services.store.position() == position
    assert (await door.call("GET", "Patient/none")).status == 404
    made = await door.call("PUT", "Patient/none", patient("none"))
    assert (made.status, made.headers["ETag"]) == (201, 'W/"1"')


async def test_it_does_not_keep_a_transaction_from_the_rest(door):
    entries = (
        delete("Patient/none"),
        {"request": {"method": "PUT", "url": "Patient/p1"}, "resource": patient("p1")},
    )
    told = await door.give("POST", "", bundle("transaction", *entries))
    assert [entry["response"]["status"] for entry in told["entry"]] == ["204", "201"]


async def test_of_one_identity_deleted_and_written_the_transaction_is_refused(door):
    entries = (
        delete("Patient/p1"),
        {"request": {"method": "PUT", "url": "Patient/p1"}, "resource": patient("p1")},
    )
    assert (await door.call("POST", "", bundle("transaction", *entries))).status == 400


async def test_an_unknown_type_stays_unknown(door):
    assert (await door.call("DELETE", "Patientt/none")).status == 404
    assert (await door.call("POST", "", bundle("transaction", delete("X/1")))).status == 404


@pytest.mark.parametrize("url", ["Patient/none", "Patient?_id=none"])
async def test_an_outcome_tells_that_there_was_nothing_to_delete(door, url):
    told = await door.call("DELETE", url, prefer=OUTCOME)
    assert told.status == 200
    assert json.loads(told.body)["issue"][0]["diagnostics"] == "There was nothing to delete"
    for kind in ("batch", "transaction"):
        (entry,) = (await door.give("POST", "", bundle(kind, delete(url)), prefer=OUTCOME))["entry"]
        assert "resource" not in entry
        assert entry["response"]["outcome"] == json.loads(told.body)


async def test_an_outcome_tells_of_deletions_in_bundles(door):
    for kind in ("batch", "transaction"):
        await door.call("PUT", "Patient/p1", patient("p1"))
        asked = bundle(kind, delete("Patient/p1"))
        (entry,) = (await door.give("POST", "", asked, prefer=OUTCOME))["entry"]
        (issue,) = entry["response"]["outcome"]["issue"]
        assert issue["diagnostics"].startswith("Deleted as version")


@pytest.mark.parametrize(
    "access",
    [
        Access("app", (Grant("*", LETTERS, patient="p1"),)),
        Access("app", (Grant("*", LETTERS),), within=(Grant("*", LETTERS, patient="p1"),)),
        Access("app", (Grant("*", LETTERS),), clearance="N"),
    ],
    ids=["patient", "role", "labels"],
)
async def test_a_caller_with_limits_cannot_tell_what_is_taken(door, access):
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    taken = observation("taken", "Patient/p2", meta={"security": [label]})
    await door.give("PUT", "Observation/taken", taken)
    limited = door.as_(access)
    for headers in ({}, {"if_match": "*"}, {"if_none_match": "*"}, {"if_match": "garbage"}):
        answers = [
            await limited.call("DELETE", f"Observation/{id_}", **headers)
            for id_ in ("taken", "none")
        ]
        assert answers[0].status == 404, headers
        assert answers[0] == answers[1]
    for kind in ("batch", "transaction"):
        asked = [bundle(kind, delete(f"Observation/{id_}")) for id_ in ("taken", "none")]
        taken_, none = [await limited.call("POST", "", one) for one in asked]
        assert (taken_.status, taken_.body) == (none.status, none.body)
    assert await door.ids("Observation") == ["taken"]


async def test_without_the_letter_it_is_forbidden_whether_it_is_there_or_not(door):
    reader = door.as_(Access("app", (Grant("*", frozenset("rs")),)))
    assert (await reader.call("DELETE", "Patient/none")).status == 403


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_what_matches_no_more_when_it_is_written_is_not_deleted(
    door, monkeypatch, in_transaction
):
    """The match of a conditional delete that another writer changes just before the commit stays."""
    await door.give("PUT", "Patient/p1", patient("p1", active=True))
    store = door.context.services.store
    commit, raced = type(store).commit, []

    async def racing(self, changes, preconditions=()):
        if not raced and changes[0].method == "DELETE":
            raced.append(True)
            await door.give("PUT", "Patient/p1", patient("p1", active=False))
        return await commit(self, changes, preconditions)

    monkeypatch.setattr(type(store), "commit", racing)
    if in_transaction:
        await door.give("POST", "", bundle("transaction", delete("Patient?active=true")))
    else:
        assert (await door.call("DELETE", "Patient?active=true")).status == 204
    assert raced
    assert await door.ids("Patient") == ["p1"]
