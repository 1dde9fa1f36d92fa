"""If-Match and If-None-Match of writes: http.html#concurrency, RFC 9110 13.1."""

import asyncio
import json

import pytest
from bodies import patient


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ('W/"2"', 200),
        ('"2"', 200),
        ('"1", W/"2"', 200),
        ("*", 200),
        ('"1"', 412),
        ('"1", "3"', 412),
        ('W/"abc"', 412),
        ('"12345678901"', 412),
        ("2", 400),
        ("", 400),
        ('"2" "3"', 400),
    ],
)
async def test_if_match_takes_a_list_or_a_star(door, tags, status):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("PUT", "Patient/p1", patient("p1"))
    for method, body, more in (
        ("PUT", patient("p1", active=True), {}),
        ("PATCH", [], {"content_type": "application/json-patch+json"}),
        ("DELETE", None, {}),
    ):
        answered = await door.call(method, "Patient/p1", body, if_match=tags, **more)
        assert answered.status == (204 if status == 200 and method == "DELETE" else status), method
        if status == 200 and method != "DELETE":
            tags = tags if tags == "*" else answered.headers["ETag"]


async def test_a_star_needs_that_something_is_there(door):
    assert (await door.call("PUT", "Patient/n", patient("n"), if_match="*")).status == 412
    await door.give("PUT", "Patient/n", patient("n"))
    await door.call("DELETE", "Patient/n")
    assert (await door.call("PUT", "Patient/n", patient("n"), if_match="*")).status == 412
    assert (await door.call("DELETE", "Patient/n", if_match="*")).status == 412


async def test_if_none_match_star_only_creates(door):
    made = await door.call("PUT", "Patient/p1", patient("p1"), if_none_match="*")
    again = await door.call("PUT", "Patient/p1", patient("p1", active=True), if_none_match="*")
    assert (made.status, again.status) == (201, 412)
    known = await door.call("PUT", "Patient/p1", patient("p1"), if_none_match='W/"1"')
    other = await door.call("PUT", "Patient/p1", patient("p1"), if_none_match='W/"9"')
    assert (known.status, other.status) == (412, 200)
    await door.call("DELETE", "Patient/p1")
    assert (await door.call("PUT", "Patient/p1", patient("p1"), if_none_match="*")).status == 201


async def test_of_those_that_race_to_create_one_id_one_wins(door):
    answers = await asyncio.gather(
        *(door.call("PUT", "Patient/one", patient("one"), if_none_match="*") for _ in range(8))
    )
    assert sorted(a.status for a in answers) == [201] + [412] * 7


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        ({"method": "PUT", "url": "Patient/p1", "ifMatch": 'W/"7"'}, "Bundle.entry[1]"),
        ({"method": "PUT", "url": "Patient/p1", "ifNoneMatch": "*"}, "Bundle.entry[1]"),
        ({"method": "DELETE", "url": "Patient/p1", "ifMatch": 'W/"7"'}, "Bundle.entry[1]"),
    ],
)
async def test_a_precondition_that_fails_in_a_transaction_names_its_entry(door, request_, place):
    await door.give("PUT", "Patient/p1", patient("p1"))
    entries = [
        {"request": {"method": "POST", "url": "Patient"}, "resource": patient()},
        {"request": request_, "resource": patient("p1")},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    refused = await door.call("POST", "", bundle)
    assert refused.status == 412
    assert json.loads(refused.body)["issue"][0]["expression"] == [place]
    assert await door.ids("Patient") == ["p1"]


async def test_a_part_of_a_resource_is_not_written_over_the_whole(door):
    await door.give(
        "PUT", "Patient/p1", patient("p1", active=True, contact=[{"name": {"text": "c"}}])
    )
    part = await door.give("GET", "Patient/p1?_summary=true")
    assert (await door.call("PUT", "Patient/p1", part)).status == 422
    entry = {"request": {"method": "PUT", "url": "Patient/p1"}, "resource": part}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert (await door.call("POST", "", bundle)).status == 422
    assert (await door.give("GET", "Patient/p1"))["contact"]
    copy = {**part, "id": "copy"}
    assert [(await door.call("PUT", "Patient/copy", copy)).status for _ in range(2)] == [201, 200]
