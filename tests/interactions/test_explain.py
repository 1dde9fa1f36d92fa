"""_explain for administrators, and _orphan: docs/search-results.md."""

import json

import pytest
from bodies import observation, patient, transaction

from fhir_server.access import LETTERS, Access, Grant

FULL = (Grant("*", frozenset(LETTERS)),)


@pytest.fixture
async def some(door):
    account = {"resourceType": "Account", "id": "a1", "status": "active"}
    coverage = {
        "resourceType": "Coverage",
        "status": "active",
        "beneficiary": {"reference": "Patient/p2"},
        "payor": [{"reference": "Patient/p2"}],
    }
    resources = [
        patient("p1", name=[{"family": "Secretname"}]),
        patient("p2"),
        patient("p3"),
        observation("o1", "Patient/p1"),
        {**account, "coverage": [{"coverage": {"reference": "Coverage/c1"}}]},
        {**coverage, "id": "c1"},
        {**coverage, "id": "c2"},
    ]
    await door.give("POST", "", transaction(*resources))
    return door


def told(bundle):
    (outcome,) = [e for e in bundle["entry"] if e["search"]["mode"] == "outcome"]
    return [issue["diagnostics"] for issue in outcome["resource"]["issue"]]


async def test_an_administrator_is_told_the_plan_and_what_was_looked_at(some):
    url = "Observation?patient.family=secret&_sort=-date&_explain=true"
    bundle = await some.give("GET", url)
    plan, run = told(bundle)
    assert "Linked atom=Observation.subject type=Patient" in plan
    assert "Text atom=Patient.name.family value=secret how=starts" in plan
    assert "Sort by=value kind=date" in plan
    assert "examined" in run or "looks at" in run
    assert "Secretname" not in run
    assert "p1" not in run
    assert bundle["entry"][0]["resource"]["id"] == "o1"
    assert "_explain=true" in bundle["link"][0]["url"]
    counted = await some.give("GET", "Observation?_explain=true&_summary=count")
    assert len(told(counted)) == 2


@pytest.mark.parametrize(
    ("access", "status"),
    [
        (Access("us", FULL), 200),
        (Access("admin", FULL, scopes=("system/*.cruds",)), 200),
        (Access("doctor", FULL, scopes=("user/*.cruds",)), 403),
        (Access("reader", (Grant("*", frozenset("rs")),), scopes=("system/*.rs",)), 403),
        (Access("one", (Grant("*", frozenset(LETTERS), "p1"),), scopes=("system/*.cruds",)), 403),
        (
            Access(
                "few", (Grant("Patient", frozenset(LETTERS)),), scopes=("system/Patient.cruds",)
            ),
            403,
        ),
    ],
)
async def test_explanations_are_for_administrators(some, access, status):
    response = await some.as_(access).call("GET", "Patient?_explain=true")
    assert response.status == status
    if status == 403:
        assert json.loads(response.body)["resourceType"] == "OperationOutcome"
    assert (await some.as_(access).call("GET", "Patient?_explain=false")).status == 200


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("Patient?_orphan=true", {"p3"}),
        ("Patient?_orphan=false", {"p1", "p2"}),
        ("Observation?_orphan=true", {"o1"}),
        ("Coverage?_orphan=true", {"c2"}),
        ("Coverage?_orphan=false", {"c1"}),
        ("Patient?_orphan=true&_id=p1,p3", {"p3"}),
        ("?_type=Patient,Coverage&_orphan=true", {"p3", "c2"}),
    ],
)
async def test_orphans_are_what_nothing_refers_to_wherever_the_reference_stands(some, url, found):
    assert set(await some.ids(url)) == found


async def test_an_orphan_is_one_no_longer_when_it_is_referred_to(some):
    await some.give("PUT", "Observation/o1", observation("o1", "Patient/p3"))
    assert set(await some.ids("Patient?_orphan=true")) == {"p1"}
    await some.call("DELETE", "Observation/o1")
    assert set(await some.ids("Patient?_orphan=true")) == {"p1", "p3"}


async def test_who_looked_at_a_resource_does_not_keep_it_from_being_an_orphan(some):
    event = {
        "resourceType": "AuditEvent",
        "id": "e1",
        "type": {"code": "rest"},
        "recorded": "2020-01-01T00:00:00Z",
        "agent": [{"requestor": True}],
        "source": {"observer": {"display": "us"}},
        "entity": [{"what": {"reference": "Patient/p3"}}],
    }
    await some.give("PUT", "AuditEvent/e1", event)
    assert await some.ids("AuditEvent?entity=Patient/p3") == ["e1"]
    assert await some.ids("Patient?_orphan=true") == ["p3"]


async def test_orphans_tell_nothing_of_what_is_out_of_reach(some):
    mine = some.as_(Access("app", (Grant("Patient", frozenset("rs")),)))
    assert set(await mine.ids("Patient?_orphan=true")) == {"p1", "p2", "p3"}


@pytest.mark.parametrize("query", ["_orphan=maybe", "_orphan:not=true", "_orphan=true,false"])
async def test_orphan_takes_a_boolean(some, query):
    assert (await some.call("GET", f"Patient?{query}")).status == 400
