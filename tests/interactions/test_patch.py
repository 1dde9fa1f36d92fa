"""patch, conditional patch, and patches in a batch or transaction: http.html#patch."""

import asyncio
import base64
import json

import pytest
from bodies import observation, patient
from patches import binary_patch, fhirpath_patch, operation, replace_patch

from fhir_server.access import Access, Grant

JSON_PATCH = {"content_type": "application/json-patch+json"}
TWICE = base64.b64encode(b'[{"op":"remove","path":"/x","path":"/active"}]').decode()
NULL = "valueBoolean"
MALE = [{"op": "add", "path": "/gender", "value": "male"}]


async def test_a_json_patch_makes_a_version_and_leaves_the_rest(door):
    await door.give("PUT", "Patient/p1", patient("p1", active=True))
    patched = await door.call("PATCH", "Patient/p1", MALE, **JSON_PATCH)
    assert (patched.status, patched.headers["ETag"]) == (200, 'W/"2"')
    found = json.loads(patched.body)
    assert (found["gender"], found["active"], found["meta"]["versionId"]) == ("male", True, "2")
    assert await door.ids("Patient?gender=male") == ["p1"]


async def test_a_fhirpath_patch_makes_a_version(door):
    await door.give("PUT", "Patient/p1", patient("p1", gender="female"))
    found = await door.give(
        "PATCH", "Patient/p1", replace_patch("Patient.gender", "valueCode", "male")
    )
    assert found["gender"] == "male"
    assert (await door.give("GET", "Patient/p1"))["meta"]["versionId"] == "2"


async def test_decimals_keep_their_digits_through_a_patch(door):
    body = json.dumps(observation("o")).replace("}", ',"valueQuantity":{"value":72.50}}', 0)
    await door.give("PUT", "Observation/o", body.encode())
    change = b'[{"op":"add","path":"/valueQuantity","value":{"value":72.50,"unit":"kg"}}]'
    await door.give("PATCH", "Observation/o", change, **JSON_PATCH)
    read = await door.call("GET", "Observation/o")
    assert b'"value":72.50' in read.body


async def test_history_tells_that_a_version_is_a_patch(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("PATCH", "Patient/p1", MALE, **JSON_PATCH)
    history = await door.give("GET", "Patient/p1/_history")
    assert [e["request"]["method"] for e in history["entry"]] == ["PATCH", "PUT"]


async def test_prefer_chooses_what_comes_back(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    minimal = await door.call("PATCH", "Patient/p1", MALE, **JSON_PATCH, prefer="return=minimal")
    assert (minimal.status, minimal.body) == (200, b"")


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json-patch+json", b"{", 400),
        ("application/json-patch+json", b'[{"op":"test","path":"/active","value":false}]', 422),
        ("application/json-patch+json", b'[{"op":"remove","path":"/gender"}]', 422),
        ("application/json-patch+json", b'[{"op":"add","path":"/id","value":"p2"}]', 422),
        ("application/json-patch+json", b'[{"op":"replace","path":"","value":[]}]', 422),
        ("application/json-patch+json", b'[{"op":"remove","path":"/resourceType"}]', 422),
        ("application/json-patch+json", b'[{"op":"add","path":"/nonsense","value":1}]', 422),
        ("application/json-patch+json", b'[{"op":"add","path":"/gender","value":"x"}]', 422),
        ("application/json-patch+json", b'[{"op":"replace","path":"/active","value":null}]', 422),
        ("application/json-patch+json", b'[{"op":"remove","path":"/x","path":"/active"}]', 400),
        ("application/fhir+json", json.dumps(replace_patch("Patient.active", NULL, None)), 400),
        ("application/fhir+json", json.dumps(replace_patch("Patient.active", NULL, [])), 422),
        ("application/fhir+json", json.dumps(replace_patch("Patient.active", NULL, {})), 422),
        ("application/fhir+json", b'{"resourceType":"Patient"}', 400),
        ("application/fhir+json", b"[]", 415),
        ("application/xml-patch+xml", b"<diff/>", 415),
        ("application/merge-patch+json", b"{}", 415),
    ],
)
async def test_what_does_not_apply_is_refused_and_nothing_is_written(door, kind, body, status):
    await door.give("PUT", "Patient/p1", patient("p1", active=True))
    sent = body.encode() if isinstance(body, str) else body
    response = await door.call("PATCH", "Patient/p1", sent, content_type=kind)
    assert response.status == status
    assert json.loads(response.body)["resourceType"] == "OperationOutcome"
    assert (await door.give("GET", "Patient/p1"))["meta"]["versionId"] == "1"


async def test_what_is_not_there_cannot_be_patched(door):
    assert (await door.call("PATCH", "Patient/p1", MALE, **JSON_PATCH)).status == 404
    assert (await door.call("PATCH", "Nothing/p1", MALE, **JSON_PATCH)).status == 404
    assert (await door.call("PATCH", "Patient", MALE, **JSON_PATCH)).status == 400
    assert (await door.call("PATCH", "Patient/p/_history/1", MALE, **JSON_PATCH)).status == 405
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("DELETE", "Patient/p1")
    assert (await door.call("PATCH", "Patient/p1", MALE, **JSON_PATCH)).status == 410


async def test_a_patch_with_a_stale_if_match_is_412(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("PUT", "Patient/p1", patient("p1", active=True))
    stale = await door.call("PATCH", "Patient/p1", MALE, **JSON_PATCH, if_match='W/"1"')
    assert stale.status == 412
    fresh = await door.call("PATCH", "Patient/p1", MALE, **JSON_PATCH, if_match='W/"2"')
    assert fresh.status == 200


async def test_patches_that_race_are_all_there_in_the_end(door):
    await door.give("PUT", "Patient/p1", patient("p1", name=[{"family": "0"}]))
    sent = [
        [{"op": "add", "path": "/name/-", "value": {"family": str(number)}}]
        for number in range(1, 41)
    ]
    await asyncio.gather(*(door.give("PATCH", "Patient/p1", body, **JSON_PATCH) for body in sent))
    found = await door.give("GET", "Patient/p1")
    assert {name["family"] for name in found["name"]} == {str(number) for number in range(41)}
    assert (len(found["name"]), found["meta"]["versionId"]) == (41, "41")


async def test_of_version_aware_patches_that_race_one_wins(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    answers = await asyncio.gather(
        *(door.call("PATCH", "Patient/p1", MALE, **JSON_PATCH, if_match='W/"1"') for _ in range(8))
    )
    assert sorted(a.status for a in answers) == [200, *[412] * 7]


async def test_a_conditional_patch_changes_the_one_match(door):
    identifier = [{"system": "urn:s", "value": "1"}]
    await door.give("PUT", "Patient/p1", patient("p1", identifier=identifier))
    found = await door.give("PATCH", "Patient?identifier=urn:s|1", MALE, **JSON_PATCH)
    assert (found["id"], found["gender"]) == ("p1", "male")
    none = await door.call("PATCH", "Patient?identifier=urn:s|2", MALE, **JSON_PATCH)
    assert none.status == 404
    await door.give("PUT", "Patient/p2", patient("p2", identifier=identifier))
    several = await door.call("PATCH", "Patient?identifier=urn:s|1", MALE, **JSON_PATCH)
    assert several.status == 412


async def test_a_patch_needs_to_reach_what_is_there_and_what_becomes_of_it(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("PUT", "Patient/p2", patient("p2"))
    await door.give("PUT", "Observation/o1", observation("o1", "Patient/p1"))
    await door.give("PUT", "Observation/o2", observation("o2", "Patient/p2"))
    mine = door.as_(Access("app", (Grant("Observation", frozenset("rsu"), patient="p1"),)))
    note = [{"op": "add", "path": "/note", "value": [{"text": "a"}]}]
    away = [{"op": "replace", "path": "/subject/reference", "value": "Patient/p2"}]
    assert (await mine.call("PATCH", "Observation/o1", note, **JSON_PATCH)).status == 200
    assert (await mine.call("PATCH", "Observation/o2", note, **JSON_PATCH)).status == 404
    assert (await mine.call("PATCH", "Observation/o1", away, **JSON_PATCH)).status == 403
    assert (await mine.call("PATCH", "Patient/p1", MALE, **JSON_PATCH)).status == 403
    reader = door.as_(Access("app", (Grant("*", frozenset("rs")),)))
    assert (await reader.call("PATCH", "Observation/o1", note, **JSON_PATCH)).status == 403


def bundle(kind, *entries):
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {"request": {"method": method, "url": url, **more}, "resource": resource}
            for method, url, resource, more in entries
        ],
    }


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_both_patches_work_in_a_bundle(door, kind):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("PUT", "Patient/p2", patient("p2", gender="female", birthDate="2001"))
    sent = bundle(
        kind,
        ("PATCH", "Patient/p1", binary_patch(*MALE), {}),
        (
            "PATCH",
            "Patient?birthdate=2001",
            replace_patch("Patient.gender", "valueCode", "other"),
            {},
        ),
    )
    answered = await door.give("POST", "", sent)
    assert [e["response"]["status"][:3] for e in answered["entry"]] == ["200", "200"]
    assert (await door.give("GET", "Patient/p1"))["gender"] == "male"
    assert (await door.give("GET", "Patient/p2"))["gender"] == "other"
    history = await door.give("GET", "Patient/p2/_history")
    assert history["entry"][0]["request"]["method"] == "PATCH"


async def test_a_patch_that_fails_fails_its_transaction(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    await door.give("PUT", "Patient/p2", patient("p2"))
    missing = replace_patch("Patient.gender", "valueCode", "male")
    sent = bundle(
        "transaction",
        ("PATCH", "Patient/p1", binary_patch(*MALE), {}),
        ("PATCH", "Patient/p2", missing, {}),
    )
    refused = await door.call("POST", "", sent)
    assert refused.status == 422
    (issue,) = json.loads(refused.body)["issue"]
    assert issue["expression"] == ["Bundle.entry[1].resource.parameter[0]"]
    assert "gender" not in await door.give("GET", "Patient/p1")


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (("PATCH", "Patient/p9", binary_patch(*MALE), {}), 404),
        (("PATCH", "Patient?birthdate=1850", binary_patch(*MALE), {}), 404),
        (("PATCH", "Patient/p1", binary_patch(*MALE), {"ifMatch": 'W/"7"'}), 412),
        (("PATCH", "Patient/p1", patient("p1"), {}), 400),
        (("PATCH", "Patient/p1", {"resourceType": "Binary", "data": "?"}, {}), 400),
        (("PATCH", "Patient/p1", {"resourceType": "Binary", "contentType": "text/plain"}, {}), 415),
        (("PATCH", "Patient", binary_patch(*MALE), {}), 400),
        (("PATCH", "Patient/p1", {**binary_patch(), "data": TWICE}, {}), 400),
    ],
)
async def test_a_patch_of_a_transaction_is_refused_as_alone(door, entry, status):
    await door.give("PUT", "Patient/p1", patient("p1"))
    refused = await door.call("POST", "", bundle("transaction", entry))
    assert refused.status == status
    (issue,) = json.loads(refused.body)["issue"]
    assert issue["expression"][0].startswith("Bundle.entry[0]")


async def test_a_patch_in_a_transaction_links_to_what_it_creates(door):
    await door.give("PUT", "Observation/o1", observation("o1", "Patient/p1"))
    link = operation(
        type="replace",
        path="Observation.subject",
        value=("valueReference", {"reference": "urn:uuid:1"}),
    )
    sent = bundle(
        "transaction",
        ("POST", "Patient", patient(), {}),
        ("PATCH", "Observation/o1", fhirpath_patch(link), {}),
    )
    sent["entry"][0]["fullUrl"] = "urn:uuid:1"
    await door.give("POST", "", sent)
    (made,) = await door.ids("Patient")
    found = await door.give("GET", "Observation/o1")
    assert found["subject"]["reference"] == f"Patient/{made}"


async def test_a_transaction_that_patches_and_puts_one_resource_is_refused(door):
    await door.give("PUT", "Patient/p1", patient("p1"))
    sent = bundle(
        "transaction",
        ("PATCH", "Patient/p1", binary_patch(*MALE), {}),
        ("PUT", "Patient/p1", patient("p1"), {}),
    )
    refused = await door.call("POST", "", sent)
    assert refused.status == 400


async def test_transactions_that_patch_one_resource_are_all_there_in_the_end(door):
    await door.give("PUT", "Patient/p1", patient("p1", name=[{"family": "0"}]))

    def sent(number):
        change = {"op": "add", "path": "/name/-", "value": {"family": str(number)}}
        return bundle("transaction", ("PATCH", "Patient/p1", binary_patch(change), {}))

    await asyncio.gather(*(door.give("POST", "", sent(number)) for number in range(1, 31)))
    found = await door.give("GET", "Patient/p1")
    assert len(found["name"]) == 31
