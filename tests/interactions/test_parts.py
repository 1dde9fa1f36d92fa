"""_summary, _elements, and parameters that an interaction does not take: search.html#summary."""

import json

import pytest
from bodies import observation, patient

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


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("_elements=contact", {"active", "contact"}),
        ("_elements=Patient.contact,birthDate", {"active", "contact", "birthDate"}),
        ("_elements=resourceType", {"active"}),
        ("_elements=", set(WHOLE) | {"contact", "name"}),
    ],
)
async def test_an_element_is_named_at_the_root_its_type_before_it_or_not(door, query, kept):
    contact = [{"name": {"family": "Zorn"}}]
    body = patient("p1", **WHOLE, name=[{"family": "Quill"}], contact=contact)
    await door.give("PUT", "Patient/p1", body)
    for url in ("Patient/p1", "Patient/p1/_history/1"):
        assert (await door.give("GET", f"{url}?{query}")).keys() - {
            "resourceType",
            "id",
            "meta",
        } == kept
    for url in ("Patient", "", "Patient/p1/_history", "Patient/_history", "_history"):
        (entry,) = (await door.give("GET", f"{url}?{query}"))["entry"]
        assert entry["resource"].keys() - {"resourceType", "id", "meta"} == kept, url


NESTED = ("contact.name", "Patient.contact.name", "name.family", "Nope.name", ".name", "name.")
NOWHERE = ("nope", "Patient.nope", "Person.status", "x.resourceType", *NESTED)
LEVELS = (
    *("Patient/p1", "Patient/p1/_history/1", "Patient/p1/_history", "Patient/_history", "_history"),
    *("Patient", "", "Patient/p1/Observation", "Patient/p1/*", "metadata"),
)


@pytest.mark.parametrize("name", NOWHERE)
async def test_an_element_that_no_type_asked_for_has_is_refused_at_every_level(door, name):
    await door.give("PUT", "Patient/p1", patient("p1"))
    for level in LEVELS:
        refused = await door.call("GET", f"{level}?_elements={name}")
        assert refused.status == 400, level
        told = json.loads(refused.body)["issue"][0]["diagnostics"]
        assert "_elements names an element" in told
        assert name not in told
    post = await door.call(
        "POST",
        "Patient/_search",
        f"_elements={name}".encode(),
        content_type="application/x-www-form-urlencoded",
    )
    assert post.status == 400


async def test_types_that_are_asked_for_at_system_level_say_which_elements_there_are(door):
    await door.give("PUT", "Patient/p1", patient("p1", **WHOLE))
    for query, status in (
        ("_type=Patient&_elements=nope", 400),
        ("_type=Patient&_elements=code", 400),
        ("_type=Patient&_elements=Observation.code", 400),
        ("_type=Patient,Observation&_elements=code,birthDate", 200),
        ("_type=Patient,Observation&_elements=Observation.code,Patient.birthDate", 200),
    ):
        assert (await door.call("GET", f"?{query}")).status == status, query


async def test_a_name_with_a_type_is_for_resources_of_that_type_alone(door):
    await door.give("PUT", "Patient/p1", patient("p1", **WHOLE, identifier=[{"value": "1"}]))
    body = observation("o1", "Patient/p1") | {"identifier": [{"value": "2"}]}
    await door.give("PUT", "Observation/o1", body)
    query = "_elements=Patient.birthDate,Observation.identifier"
    for url in (f"?_type=Patient,Observation&{query}", f"Observation?_include=*&{query}"):
        bundle = await door.give("GET", url)
        found = {e["resource"]["id"]: e["resource"] for e in bundle["entry"]}
        assert "birthDate" in found["p1"]
        assert "identifier" not in found["p1"]
        assert "identifier" in found["o1"]
    assert (await door.call("GET", f"Observation?{query}")).status == 400


async def test_lenient_handling_passes_over_an_unknown_element_and_says_what_is_used(door):
    await door.give("PUT", "Patient/p1", patient("p1", **WHOLE))
    lenient = {"prefer": "handling=lenient"}
    read = await door.give("GET", "Patient/p1?_elements=nope,birthDate,a.b", **lenient)
    assert read.keys() - {"resourceType", "id", "meta"} == {"active", "birthDate"}
    whole = await door.give("GET", "Patient/p1?_elements=nope", **lenient)
    assert tagged(whole) == []
    bundle = await door.give("GET", "Patient?_elements=nope,birthDate&_count=5", **lenient)
    (link,) = (link["url"] for link in bundle["link"] if link["relation"] == "self")
    assert "nope" not in link
    assert "_elements=birthDate" in link
    modes = [entry["search"]["mode"] for entry in bundle["entry"]]
    assert sorted(modes) == ["match", "outcome"]
    history = await door.give("GET", "Patient/p1/_history?_elements=nope", **lenient)
    assert "nope" not in history["link"][0]["url"]
    assert tagged(history["entry"][0]["resource"]) == []


async def test_a_version_id_is_written_as_it_was_given(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("GET", "Patient/p1/_history/1")
    for number in ("01", "001", "+1", "1.0", "1_0", "%D9%A1", "0", "99999999999999999999"):
        assert (await door.call("GET", f"Patient/p1/_history/{number}")).status == 404, number


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
