"""read, vread, create, update, delete, history: http.html."""

import asyncio
import json
import time
from email.utils import formatdate, parsedate_to_datetime

import pytest
from bodies import observation, patient, transaction

from fhir_server.access import Access, Grant


async def test_a_created_resource_is_read_back_with_version_and_location(door):
    made = await door.call("POST", "Patient", patient(gender="female"))
    assert made.status == 201
    stored = json.loads(made.body)
    assert made.headers["Location"].endswith(f"Patient/{stored['id']}/_history/1")
    assert made.headers["ETag"] == 'W/"1"'
    assert stored["meta"]["versionId"] == "1"
    read = await door.call("GET", f"Patient/{stored['id']}")
    assert read.body == made.body


async def test_decimals_keep_their_digits(door):
    body = (
        b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},'
        b'"valueQuantity":{"value":72.50,"unit":"kg"}}'
    )
    await door.give("PUT", "Observation/o", body)
    read = await door.call("GET", "Observation/o")
    assert b'"value":72.50' in read.body


async def test_an_update_counts_versions_and_keeps_the_old_one(door):
    await door.give("PUT", "Patient/p1", patient("p1", gender="female"))
    second = await door.call("PUT", "Patient/p1", patient("p1", gender="male"))
    assert (second.status, second.headers["ETag"]) == (200, 'W/"2"')
    old = await door.give("GET", "Patient/p1/_history/1")
    assert old["gender"] == "female"


async def test_an_update_creates_where_nothing_is(door):
    made = await door.call("PUT", "Patient/new", patient("new"))
    assert made.status == 201


async def test_update_with_a_stale_if_match_is_412(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("PUT", "Patient/p1", patient("p1", active=True))
    stale = await door.call("PUT", "Patient/p1", patient("p1"), if_match='W/"1"')
    assert stale.status == 412
    fresh = await door.call("PUT", "Patient/p1", patient("p1"), if_match='W/"2"')
    assert fresh.status == 200


@pytest.mark.parametrize(
    ("url", "body", "status"),
    [
        ("Patient/other", patient("p1"), 400),
        ("Patient/p1", {"resourceType": "Observation", "id": "p1"}, 400),
        ("Patient/p_1", patient("p_1"), 400),
        ("Nothing/p1", {"resourceType": "Nothing", "id": "p1"}, 404),
        ("Patient/p1", b"{", 400),
        ("Patient/p1", b"[]", 400),
        ("Patient/p1", patient("p1", gender="unknown-code"), 422),
        ("Patient/p1", patient("p1", nonsense=1), 400),
    ],
)
async def test_what_is_not_right_is_refused_with_an_outcome(door, url, body, status):
    response = await door.call("PUT", url, body)
    assert response.status in {status, 400, 422}
    assert response.status // 100 == 4
    assert json.loads(response.body)["resourceType"] == "OperationOutcome"


async def test_a_deleted_resource_is_410_and_its_history_stays(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    assert (await door.call("DELETE", "Patient/p1")).status == 204
    assert (await door.call("GET", "Patient/p1")).status == 410
    assert (await door.call("GET", "Patient/p1/_history/2")).status == 410
    assert (await door.call("GET", "Patient/p1/_history/1")).status == 200
    bundle = await door.give("GET", "Patient/p1/_history")
    assert [e["request"]["method"] for e in bundle["entry"]] == ["DELETE", "PUT"]


async def test_deleting_again_succeeds_and_writes_nothing(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.call("DELETE", "Patient/p1")
    assert (await door.call("DELETE", "Patient/p1")).status == 204
    bundle = await door.give("GET", "Patient/p1/_history")
    assert len(bundle["entry"]) == 2


async def test_a_deleted_id_can_be_used_again_and_versions_go_on(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.call("DELETE", "Patient/p1")
    again = await door.call("PUT", "Patient/p1", patient("p1"))
    assert (again.status, again.headers["ETag"]) == (201, 'W/"3"')


async def test_what_never_was_is_404(door):
    for method, url in (
        ("GET", "Patient/x"),
        ("GET", "Patient/x/_history"),
        ("GET", "Patient/x/_history/1"),
    ):
        assert (await door.call(method, url)).status == 404


async def test_if_none_match_spares_the_body(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    spared = await door.call("GET", "Patient/p1", if_none_match='W/"1"')
    assert (spared.status, spared.body) == (304, b"")


async def test_if_modified_since_spares_the_body_of_what_was_not_changed(door, monkeypatch):
    monkeypatch.setenv("TZ", "America/Bogota")  # whose clock is no one's here
    time.tzset()
    made = await door.call("PUT", "Patient/p1", patient("p1"))
    then = made.headers["Last-Modified"]
    earlier = formatdate(parsedate_to_datetime(then).timestamp() - 1, usegmt=True)
    for url in ("Patient/p1", "Patient/p1/_history/1"):
        for since in (then, then.replace("GMT", "-0000")):
            spared = await door.call("GET", url, if_modified_since=since)
            assert (spared.status, spared.body) == (304, b"")
        for since in (earlier, earlier.replace("GMT", "-0000"), "yesterday"):
            assert (await door.call("GET", url, if_modified_since=since)).status == 200
        both = {"if_modified_since": then, "if_none_match": 'W/"9"'}
        assert (await door.call("GET", url, **both)).status == 200
    monkeypatch.undo()
    time.tzset()


async def test_history_of_a_type_pages_newest_first(door):
    for n in range(5):
        await door.give("PUT", f"Patient/p{n}", patient(f"p{n}"))
    seen, url = [], "Patient/_history?_count=2"
    while url:
        bundle = await door.give("GET", url)
        seen += [e["resource"]["id"] for e in bundle["entry"]]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        url = following[0].partition("/fhir/")[2] if following else None
    assert seen == ["p4", "p3", "p2", "p1", "p0"]


async def test_prefer_minimal_gives_no_body(door):
    made = await door.call("POST", "Patient", patient(), prefer="return=minimal")
    assert (made.status, made.body) == (201, b"")


async def test_an_unknown_prefer_value_is_refused(door):
    made = await door.call("POST", "Patient", patient(), prefer="return=everything")
    assert made.status == 400


async def test_64_clients_race_one_conditional_create_and_one_resource_is_there(door):
    condition = "identifier=urn:mrn|1"
    body = patient(identifier=[{"system": "urn:mrn", "value": "1"}])
    made = await asyncio.gather(
        *(door.call("POST", "Patient", body, if_none_exist=condition) for _ in range(64))
    )
    assert sorted(m.status for m in made) == [200] * 63 + [201]
    assert len({json.loads(m.body)["id"] for m in made}) == 1
    assert len(await door.ids("Patient?identifier=urn:mrn|1")) == 1


async def test_a_conditional_update_creates_then_updates_and_refuses_many(door):
    body = patient(identifier=[{"system": "urn:mrn", "value": "1"}])
    first = await door.call("PUT", "Patient?identifier=urn:mrn|1", body)
    second = await door.call("PUT", "Patient?identifier=urn:mrn|1", {**body, "active": True})
    assert (first.status, second.status) == (201, 200)
    assert json.loads(first.body)["id"] == json.loads(second.body)["id"]
    await door.give("POST", "Patient", body)
    assert (await door.call("PUT", "Patient?identifier=urn:mrn|1", body)).status == 412


async def test_a_conditional_delete_takes_one_and_refuses_many(door):
    body = patient(identifier=[{"system": "urn:mrn", "value": "1"}])
    assert (await door.call("DELETE", "Patient?identifier=urn:mrn|1")).status == 204
    made = await door.give("POST", "Patient", body)
    assert (await door.call("DELETE", "Patient?identifier=urn:mrn|1")).status == 204
    assert (await door.call("GET", f"Patient/{made['id']}")).status == 410


async def test_a_token_of_one_patient_reaches_nothing_of_another(door):
    for p in ("p1", "p2"):
        await door.give("PUT", f"Patient/{p}", patient(p))
        await door.give("PUT", f"Observation/o-{p}", observation(f"o-{p}", f"Patient/{p}"))
    mine = door.as_(Access("app", (Grant("*", frozenset("rs"), patient="p1"),)))
    assert (await mine.call("GET", "Observation/o-p1")).status == 200
    for url in (
        "Patient/p2",
        "Observation/o-p2",
        "Observation/o-p2/_history/1",
        "Observation/o-p2/_history",
    ):
        assert (await mine.call("GET", url)).status == 404, url
    assert (await mine.call("GET", "Observation/_history")).status == 403
    assert (await mine.call("GET", "Observation/o-p1/_history")).status == 200
    assert await mine.ids("Observation") == ["o-p1"]
    assert await mine.ids("Observation?subject=Patient/p2") == []
    assert (await mine.call("PUT", "Patient/p1", patient("p1"))).status == 403


async def test_a_token_without_grants_is_refused(door):
    nobody = door.as_(Access("nobody"))
    for method, url in (
        ("GET", "Patient"),
        ("GET", "Patient/x"),
        ("POST", "Patient"),
        ("GET", "_history"),
    ):
        assert (
            await nobody.call(method, url, patient() if method == "POST" else None)
        ).status == 403


async def test_a_limited_token_cannot_write_into_another_compartment(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    mine = door.as_(Access("app", (Grant("Observation", frozenset("cruds"), patient="p1"),)))
    await door.give("PUT", "Observation/o", observation("o", "Patient/p1"))
    assert (await mine.call("PUT", "Observation/o", observation("o", "Patient/p1"))).status == 200
    assert (await mine.call("POST", "Observation", observation("x", "Patient/p2"))).status == 403
    assert (await mine.call("PUT", "Observation/x", observation("x", "Patient/p1"))).status == 404
    assert (await mine.call("PUT", "Observation/o", observation("o", "Patient/p2"))).status == 403


async def test_unresolved_references_are_refused_where_the_setting_says_so(door):
    strict = door.with_policy(refuse_unresolved=True)
    refused = await strict.call("PUT", "Observation/o", observation("o", "Patient/p1"))
    assert refused.status == 422
    await strict.give("PUT", "Patient/p1", patient("p1"))
    assert (await strict.call("PUT", "Observation/o", observation("o", "Patient/p1"))).status == 201
    assert (await door.call("PUT", "Observation/x", observation("x", "Patient/none"))).status == 201


async def test_a_reference_that_is_refused_is_named(door):
    strict = door.with_policy(refuse_unresolved=True)
    await strict.give("PUT", "Patient/p1", patient("p1"))
    held = observation("o", "Patient/p1", performer=[{"display": "x"}, {"reference": "Patient/q"}])
    refused = await strict.call("PUT", "Observation/o", held)
    assert json.loads(refused.body)["issue"][0]["expression"] == ["Observation.performer[1]"]
    refused = await strict.call("POST", "", transaction(patient("p2"), held))
    assert json.loads(refused.body)["issue"][0]["expression"] == [
        "Bundle.entry[1].resource.performer[1]"
    ]


async def test_a_reference_to_a_version_that_is_not_there_is_refused_too(door):
    strict = door.with_policy(refuse_unresolved=True)
    for gender in ("male", "female"):
        await strict.give("PUT", "Patient/p1", patient("p1", gender=gender))
    await door.give("DELETE", "Patient/p1")  # version 3 is a deletion
    await strict.give("PUT", "Patient/p1", patient("p1"))

    async def status(version, *along):
        held = observation("o", f"Patient/p1/_history/{version}")
        refused = await strict.call("POST", "", transaction(*along, held))
        if refused.status != 200:
            place = f"Bundle.entry[{len(along)}].resource.subject"
            assert json.loads(refused.body)["issue"][0]["expression"] == [place]
        return refused.status

    assert [await status(version) for version in ("1", "2", "4")] == [200] * 3
    assert [await status(version) for version in ("0", "3", "5", "x", "9" * 20)] == [422] * 5
    written = patient("p1", gender="other")
    assert [await status(version, written) for version in ("6", "3", "5")] == [422, 422, 200]
    mine = Access("app", (Grant("Observation", frozenset("crus")),))
    held = observation("x", "Patient/p1/_history/1")
    assert (await strict.as_(mine).call("PUT", "Observation/x", held)).status == 422
    assert (await strict.call("PUT", "Observation/x", held)).status == 201


async def test_deleting_the_referenced_is_refused_where_the_setting_says_so(door):
    strict = door.with_policy(refuse_dangling=True)
    await strict.give("PUT", "Patient/p1", patient("p1"))
    await strict.give("PUT", "Observation/o", observation("o", "Patient/p1"))
    assert (await strict.call("DELETE", "Patient/p1")).status == 409
    assert (await strict.call("DELETE", "Observation/o")).status == 204
    assert (await strict.call("DELETE", "Patient/p1")).status == 204


async def test_history_at_a_moment_gives_what_was_current_then(door):
    seen = []
    for gender in ("female", "male", "other"):
        stored = await door.give("PUT", "Patient/p1", patient("p1", gender=gender))
        seen.append(stored["meta"]["lastUpdated"])
        await door.give("PUT", "Patient/p2", patient("p2", gender=gender))
    for version, moment in enumerate(seen, 1):
        bundle = await door.give("GET", f"Patient/p1/_history?_at={moment}&_count=1")
        assert [e["resource"]["meta"]["versionId"] for e in bundle["entry"]] == [str(version)]
    both = await door.give("GET", f"Patient/_history?_at={seen[1]}")
    found = {(e["resource"]["id"], e["resource"]["meta"]["versionId"]) for e in both["entry"]}
    assert found == {("p1", "2"), ("p2", "1")}
    since = await door.give("GET", f"Patient/p1/_history?_since={seen[1]}")
    assert len(since["entry"]) == 2
