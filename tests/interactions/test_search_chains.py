"""Chains and reverse chains, nested in one another, under access: search.html#chaining, search.html#has."""

import pytest
from bodies import observation, patient

from fhir_server.access import Access, Grant


def reference(text):
    return {"reference": text}


def audit(id_, observed, agent):
    return {
        "resourceType": "AuditEvent",
        "id": id_,
        "type": {"system": "urn:t", "code": "rest"},
        "recorded": "2020-01-01T00:00:00Z",
        "agent": [{"requestor": True, "who": reference(agent)}],
        "source": {"observer": reference("Device/d1")},
        "entity": [{"what": reference(observed)}],
    }


RESOURCES = [
    {"resourceType": "Organization", "id": "north", "name": "North"},
    {
        "resourceType": "Organization",
        "id": "ward",
        "name": "Ward",
        "partOf": reference("Organization/north"),
    },
    {"resourceType": "Practitioner", "id": "house", "name": [{"family": "House"}]},
    {"resourceType": "Practitioner", "id": "wilson", "name": [{"family": "Wilson"}]},
    patient(
        "p1",
        name=[{"family": "One"}],
        generalPractitioner=[reference("Practitioner/house"), reference("Organization/ward")],
        managingOrganization=reference("Organization/ward"),
    ),
    patient("p2", name=[{"family": "Two"}], generalPractitioner=[reference("Practitioner/wilson")]),
    *(
        {
            "resourceType": "Encounter",
            "id": f"e-{subject}",
            "status": "planned",
            "class": {"system": "urn:c", "code": "AMB"},
            "subject": reference(f"Patient/{subject}"),
        }
        for subject in ("p1", "p2")
    ),
    {**observation("o1", "Patient/p1", "a"), "encounter": reference("Encounter/e-p1")},
    {**observation("o2", "Patient/p2", "a"), "encounter": reference("Encounter/e-p2")},
    observation("o3", "Patient/p2", "b"),
    {"resourceType": "Device", "id": "d1", "deviceName": [{"name": "One", "type": "other"}]},
    observation("o4", "Device/d1", "a"),
    audit("a1", "Observation/o1", "Practitioner/house"),
    audit("a3", "Observation/o3", "Practitioner/wilson"),
]

CASES = [
    ("Observation?subject.name=one", "o1"),
    ("Observation?subject:Patient.name=one", "o1"),
    ("Observation?subject:Device.device-name=one", "o4"),
    ("Observation?subject:Device.patient.name=one", ""),
    ("Observation?encounter.subject:Patient.general-practitioner:Practitioner.name=house", "o1"),
    ("Observation?encounter.subject.organization.partof.name=north", "o1"),
    ("Observation?subject.general-practitioner.name=house", "o1"),
    ("Observation?subject.general-practitioner:Organization.name=ward", "o1"),
    # each chain is a criterion of its own, each value one of several
    ("Patient?general-practitioner.name=house,wilson", "p1 p2"),
    ("Patient?general-practitioner.name=house&general-practitioner.name=wilson", ""),
    # R4's own example of _has in _has
    ("Patient?_has:Observation:patient:_has:AuditEvent:entity:agent=Practitioner/house", "p1"),
    ("Patient?_has:Observation:patient:_has:AuditEvent:entity:agent.name=wilson", "p2"),
    ("Patient?_has:Observation:patient:code=a,b", "p1 p2"),
    ("Patient?_has:Observation:patient:code=a&_has:Observation:patient:code=b", "p2"),
    ("Patient?_has:Observation:patient:code:not=b", "p1 p2"),
    ("Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:code=b", "wilson"),
    # chains in _has, _has in chains, both in both
    ("Patient?_has:Observation:subject:encounter.status=planned", "p1 p2"),
    ("Patient?_has:Observation:subject:encounter.subject:Patient.name=two", "p2"),
    ("Observation?subject:Patient._has:Encounter:patient:status=planned", "o1 o2 o3"),
    ("Observation?encounter._has:Observation:encounter:_id=o2", "o2"),
    ("Encounter?subject:Patient._has:Observation:patient:_has:AuditEvent:entity:_id=a3", "e-p2"),
    ("Observation?_has:AuditEvent:entity:agent:Practitioner.name=house", "o1"),
    # _tag and the like, through chains too
    ("Observation?subject:Patient._id=p1", "o1"),
    ("Observation?subject:Patient._lastUpdated=gt2000-01-01&code=b", "o3"),
]

REFUSED = [
    ("Observation?subject.nothing=x", "nothing"),
    ("Observation?subject:Practitioner.name=x", "does not refer to that type"),
    ("Observation?code.name=x", "not a reference"),
    ("Patient?_has:Observation=x", "_has is written"),
    ("Patient?_has:Observation:encounter:code=x", "does not refer to Patient"),
    ("Patient?_has:Nothing:subject:code=x", "does not have"),
    ("Basic?subject.subject.subject.subject._id=x", "too many types"),
    ("Observation?" + "subject." * 20 + "name=x", "longer than is allowed"),
]


@pytest.fixture
async def world(door):
    return await door.holding(RESOURCES)


async def test_chains_go_either_way_and_in_one_another(world):
    assert await world.astray(CASES) == []


async def test_a_chain_that_leads_nowhere_is_refused_and_says_why(world):
    assert await world.not_refused(REFUSED) == []


async def test_every_resource_on_the_way_is_one_that_the_caller_may_search(world):
    grants = tuple(
        Grant(type_, frozenset("rs")) for type_ in ("Observation", "Patient", "Encounter")
    )
    limited = world.as_(Access("app", grants))
    assert await limited.found("Observation?encounter.subject:Patient.name=one") == ["o1"]
    assert (
        await limited.found("Observation?subject.general-practitioner:Practitioner.name=house")
        == []
    )
    assert (
        await limited.found("Patient?_has:Observation:patient:_has:AuditEvent:entity:_id=a1") == []
    )


async def test_lenient_handling_leaves_out_what_is_unknown_and_the_self_link_tells_what_was_used(
    world,
):
    url = "Observation?subject.nothing=x&code=b&foo=1&_has:Encounter:nothing:status=x"
    assert (await world.call("GET", url)).status == 400
    bundle = await world.give("GET", url, prefer="handling=lenient")
    assert [e["resource"]["id"] for e in bundle["entry"] if e["search"]["mode"] == "match"] == [
        "o3"
    ]
    assert bundle["link"][0]["url"].endswith("Observation?code=b")
    warned = bundle["entry"][-1]["resource"]["issue"]
    assert [issue["severity"] for issue in warned] == ["warning"] * 3


async def test_a_value_that_cannot_be_read_is_refused_however_lenient(world):
    for url in (
        "Patient?birthdate=xx2000",
        "Patient?birthdate=soon",
        "Patient?_id:missing=perhaps",
    ):
        assert (await world.call("GET", url, prefer="handling=lenient")).status == 400
