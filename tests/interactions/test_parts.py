"""_summary, _elements, and parameters that an interaction does not take: search.html#summary."""

import json

import pytest
from bodies import patient

WHOLE = {
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    "active": True,
    "birthDate": "1970-01-01",
    "maritalStatus": {"text": "single"},
    "communication": [{"language": {"text": "en"}, "preferred": True}],
}


def tagged(resource):
    return [tag["code"] for tag in resource["meta"].get("tag", [])]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("_summary=true", {"active", "birthDate"}),
        ("_summary=text", {"text"}),
        ("_summary=data", {"active", "birthDate", "maritalStatus", "communication"}),
        ("_elements=birthDate,maritalStatus", {"birthDate", "maritalStatus", "active"}),
        ("_elements=Patient.birthDate", {"birthDate", "active"}),
    ],
)
async def test_a_part_holds_what_was_asked_for_and_is_marked(door, query, kept):
    await door.give("PUT", "Patient/p1", patient("p1", **WHOLE))
    read = await door.give("GET", f"Patient/p1?{query}")
    found = await door.give("GET", f"Patient?{query}")
    for resource in (read, found["entry"][0]["resource"]):
        assert resource.keys() - {"resourceType", "id", "meta"} == kept
        assert tagged(resource) == ["SUBSETTED"]


async def test_summary_false_gives_the_stored_bytes(door):
    await door.give("PUT", "Patient/p1", patient("p1", **WHOLE))
    whole = await door.call("GET", "Patient/p1")
    assert (await door.call("GET", "Patient/p1?_summary=false")).body == whole.body


async def test_mandatory_elements_and_choices_stay(door):
    body = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "valueQuantity": {"value": 1.50},
    }
    await door.give("PUT", "Observation/o", body)
    read = await door.call("GET", "Observation/o?_elements=value")
    assert b'"value":1.5' in read.body
    assert json.loads(read.body).keys() == {
        "resourceType", "id", "meta", "status", "code", "valueQuantity",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "Patient/p1?_summary=most"),
        ("GET", "Patient/p1?_summary=count"),
        ("GET", "Patient/p1?_elements=nonsense"),
        ("GET", "Patient/p1?_summary=true&_elements=active"),
        ("GET", "Patient/p1?name=x"),
        ("PUT", "Patient/p1?name=x"),
        ("DELETE", "Patient/p1?name=x"),
        ("POST", "Patient?name=x"),
    ],
)
async def test_a_parameter_that_does_not_belong_is_refused(door, method, url):
    await door.give("PUT", "Patient/p1", patient("p1"))
    body = patient("p1") if method in {"PUT", "POST"} else None
    assert (await door.call(method, url, body)).status == 400
