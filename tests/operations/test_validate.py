"""$validate: at type and instance, by mode, by profiles; and what a write does about claimed profiles."""

import pytest
from fhir_package import PROFILE, named
from job_world import limited, opened

from fhir_server.interactions.profiles import CLAIMED, SETTINGS

NAMED = named()
RIGHT = {"resourceType": "Patient", "active": True}
CLAIMING = {**RIGHT, "meta": {"profile": [PROFILE]}}


def errors(outcome):
    assert outcome["resourceType"] == "OperationOutcome"
    return [
        issue.get("expression", [""])[0]
        for issue in outcome["issue"]
        if issue["severity"] in {"error", "fatal"}
    ]


def parameters(*pairs):
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, **value} for name, value in pairs],
    }


async def test_a_resource_comes_by_itself_or_in_parameters(world):
    wrong = {**RIGHT, "gender": "none"}
    for body in (wrong, parameters(("resource", {"resource": wrong}))):
        assert errors(await world.give("POST", "Patient/$validate", body)) == ["Patient.gender"]
    assert errors(await world.give("POST", "Patient/$validate", RIGHT)) == []


async def test_an_outcome_always_has_an_issue(world):
    right = {**RIGHT, "text": {"status": "generated", "div": DIV}}
    (issue,) = (await world.give("POST", "Patient/$validate", right))["issue"]
    assert (issue["severity"], issue["code"]) == ("information", "informational")


DIV = '<div xmlns="http://www.w3.org/1999/xhtml">A</div>'


async def test_a_named_profile_is_asked_and_what_it_must_support_is_told(world):
    supported = {**NAMED["differential"]["element"][0], "mustSupport": True}
    await world.put({**NAMED, "differential": {"element": [supported]}})
    told = await world.give("POST", f"Patient/$validate?profile={PROFILE}", RIGHT)
    assert errors(told) == ["Patient.name"]
    assert "mustSupport, not there: Patient.name" in str(told)


async def test_a_profile_that_is_not_known_is_a_warning_that_names_it(world):
    told = await world.give("POST", "Patient/$validate?profile=urn:unknown", RIGHT)
    assert errors(told) == []
    assert "urn:unknown" in str([i for i in told["issue"] if i["severity"] == "warning"])


async def test_a_changed_or_deleted_profile_counts_at_once(world):
    await world.put(NAMED)
    asked = ("POST", f"Patient/$validate?profile={PROFILE}", RIGHT)
    assert errors(await world.give(*asked)) == ["Patient.name"]
    other = {"id": "Patient.gender", "path": "Patient.gender", "min": 1}
    await world.put({**NAMED, "differential": {"element": [other]}})
    assert errors(await world.give(*asked)) == ["Patient.gender"]
    await world.call("DELETE", "StructureDefinition/named")
    assert errors(await world.give(*asked)) == []


async def test_an_instance_is_validated_as_it_is_stored(world):
    await world.put(NAMED, {**RIGHT, "id": "p"})
    assert errors(await world.give("GET", "Patient/p/$validate")) == []
    assert errors(await world.give("GET", f"Patient/p/$validate?profile={PROFILE}")) == [
        "Patient.name"
    ]
    assert (await world.call("GET", "Patient/none/$validate")).status == 404


@pytest.mark.parametrize(
    ("url", "body", "places"),
    [
        ("Patient/p/$validate?mode=update", {**RIGHT, "id": "p"}, []),
        ("Patient/p/$validate?mode=update", {**RIGHT, "id": "q"}, ["Patient.id"]),
        ("Patient/p/$validate?mode=delete", None, []),
        ("Patient/none/$validate?mode=delete", None, [""]),
        ("Patient/$validate?mode=create", RIGHT, []),
        ("Patient/$validate", {"resourceType": "Group"}, ["resourceType"]),
    ],
)
async def test_modes_tell_what_is_planned(world, url, body, places):
    await world.put({**RIGHT, "id": "p"})
    assert errors(await world.give("POST", url, body)) == places


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("Patient/$validate", None),
        ("Patient/$validate?mode=none", RIGHT),
        ("Patient/$validate?mode=delete", RIGHT),
        ("Patient/p/$validate?mode=create", RIGHT),
        ("Patient/$validate?other=1", RIGHT),
        ("Patient/$validate", b"no json"),
    ],
)
async def test_a_request_that_is_wrong_itself_is_400(world, url, body):
    assert (await world.call("POST", url, body)).status == 400


async def test_a_delete_that_would_be_refused_is_told(tmp_path):
    async with opened("memory", tmp_path, refuse_dangling=True) as world:
        observation = {
            "resourceType": "Observation",
            "id": "o",
            "status": "final",
            "code": {"text": "c"},
            "subject": {"reference": "Patient/p"},
        }
        await world.put({**RIGHT, "id": "p"}, observation)
        assert errors(await world.give("POST", "Patient/p/$validate?mode=delete")) == [""]


async def test_what_is_out_of_reach_is_not_validated(world):
    await world.put({**RIGHT, "id": "p"})
    someone = world.as_(limited(("Observation", "rs")))
    assert (await someone.call("GET", "Patient/p/$validate")).status == 403
    assert (await someone.call("POST", "Patient/$validate", RIGHT)).status == 403


# --- profiles claimed in what is written ---------------------------------------------------------------


@pytest.fixture(params=["off", "report", "reject"])
async def policy(request, tmp_path):
    async with opened("sqlite", tmp_path, claimed=request.param) as world:
        await world.put(NAMED)
        yield request.param, world


async def test_a_broken_claim_is_passed_told_or_refused(policy):
    name, world = policy
    response = await world.call("POST", "Patient", CLAIMING, prefer="return=OperationOutcome")
    assert response.status == (422 if name == "reject" else 201)
    assert (b"Patient.name" in response.body) is (name != "off")
    whole = {**CLAIMING, "name": [{"text": "A"}]}
    assert (await world.call("POST", "Patient", whole)).status == 201


async def test_updates_patches_and_transactions_are_held_to_it_too(policy):
    name, world = policy
    refused = name == "reject"
    named = {**CLAIMING, "id": "p", "name": [{"text": "A"}]}
    await world.put(named)
    response = await world.call("PUT", "Patient/p", {**CLAIMING, "id": "p"})
    assert (response.status == 422) is refused
    patch = b'[{"op": "remove", "path": "/name"}]'
    kind = {"content_type": "application/json-patch+json"}
    await world.put(named)
    assert ((await world.call("PATCH", "Patient/p", patch, **kind)).status == 422) is refused
    entry = {"resource": CLAIMING, "request": {"method": "POST", "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    answered = await world.call("POST", "", bundle)
    assert (answered.status == 422) is refused
    assert (b"Bundle.entry[0].resource.name" in answered.body) is refused


async def test_a_tenant_overrides_the_setting(policy):
    _, world = policy
    for wanted, status in ((b"reject", 422), (b"off", 201)):
        await world.documents.put("default", SETTINGS, CLAIMED, wanted)
        assert (await world.call("POST", "Patient", CLAIMING)).status == status


async def test_an_unknown_claim_never_refuses(tmp_path):
    async with opened("memory", tmp_path, claimed="reject") as world:
        claiming = {**RIGHT, "meta": {"profile": ["urn:unknown"]}}
        response = await world.call("POST", "Patient", claiming, prefer="return=OperationOutcome")
        assert response.status == 201
        assert b"urn:unknown" in response.body
