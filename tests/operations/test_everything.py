"""Patient/$everything, $disclosures, $erase: one person's record, who saw it, and its end."""

from dataclasses import replace as with_

import pytest
from msgspec.structs import replace

from fhir_server.access import LETTERS, Access, Grant


@pytest.fixture
def world(world):
    services = replace(world.context.services, purge=world.store.purge)
    return with_(world, context=replace(world.context, services=services))


def of(patient, id_, day):
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{patient}"},
        "performer": [{"reference": "Practitioner/d1"}],
        "effectiveDateTime": day,
    }


@pytest.fixture
async def ward(world):
    await world.put(
        {"resourceType": "Patient", "id": "p1"},
        {"resourceType": "Patient", "id": "p2"},
        {"resourceType": "Practitioner", "id": "d1"},
        of("p1", "o1", "2026-01-01"),
        of("p1", "o2", "2026-02-01"),
        of("p1", "o3", "2026-03-01"),
        of("p2", "o4", "2026-02-01"),
        {
            "resourceType": "Observation",
            "id": "focus",
            "status": "final",
            "code": {"text": "x"},
            "subject": {"reference": "Patient/p2"},
            "focus": [{"reference": "Patient/p1"}],
        },
        {
            "resourceType": "Appointment",
            "id": "both",
            "status": "proposed",
            "participant": [
                {"actor": {"reference": f"Patient/{one}"}, "status": "accepted"}
                for one in ("p1", "p2")
            ],
        },
        {
            "resourceType": "AuditEvent",
            "id": "a1",
            "type": {"system": "urn:x", "code": "rest"},
            "action": "R",
            "outcome": "0",
            "recorded": "2026-02-02T10:00:00Z",
            "agent": [
                {
                    "who": {"identifier": {"value": "=cmd()"}},
                    "requestor": False,
                    "network": {"address": "10.0.0.1", "type": "2"},
                },
                {"who": {"reference": "Practitioner/d1"}, "requestor": True},
            ],
            "source": {"observer": {"display": "x"}},
            "entity": [{"what": {"reference": "Patient/p1"}}],
        },
    )
    return world


def named(bundle, mode=None):
    return sorted(
        f"{e['resource']['resourceType']}/{e['resource']['id']}"
        for e in bundle.get("entry", [])
        if mode is None or e["search"]["mode"] == mode
    )


MINE = [f"Observation/o{n}" for n in (1, 2, 3)]


async def test_everything_of_one_patient_and_nothing_of_another(ward):
    bundle = await ward.give("GET", "Patient/p1/$everything")
    assert named(bundle, "match") == ["Appointment/both", "AuditEvent/a1", *MINE, "Patient/p1"]
    assert named(bundle, "include") == ["Practitioner/d1"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("_type=Observation", MINE),
        ("_type=Observation,Patient", [*MINE, "Patient/p1"]),
        ("_type=Observation&start=2026-02-01", MINE[1:]),
        ("_type=Observation&end=2026-02-01", MINE[:2]),
        ("_type=Observation&start=2026-02&end=2026-02", MINE[1:2]),
        ("_type=Observation&_since=2100-01-01T00:00:00Z", []),
        ("_type=Observation&_since=2000-01-01T00:00:00Z", MINE),
    ],
)
async def test_a_part_of_it_is_what_was_asked_for(ward, query, found):
    bundle = await ward.give("GET", f"Patient/p1/$everything?{query}")
    assert named(bundle, "match") == found


async def test_its_pages_give_each_once(ward):
    url, seen = "Patient/p1/$everything?_count=2", []
    while url:
        bundle = await ward.give("GET", url)
        seen += named(bundle, "match")
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url = links["next"].partition("/fhir/")[2] if "next" in links else None
    assert sorted(seen) == ["Appointment/both", "AuditEvent/a1", *MINE, "Patient/p1"]


async def test_a_page_of_another_patient_or_caller_is_refused(ward):
    bundle = await ward.give("GET", "Patient/p1/$everything?_count=1")
    link = next(one["url"] for one in bundle["link"] if one["relation"] == "next")
    path = link.partition("/fhir/")[2]
    assert (await ward.call("GET", path.replace("p1", "p2"))).status == 400
    other = ward.as_(Access("other", (Grant("*", frozenset(LETTERS)),)))
    assert (await other.call("GET", path)).status == 400


@pytest.mark.parametrize(
    ("grants", "found"),
    [
        (("Patient",), ["Patient/p1"]),
        (("Patient", "Observation"), [*MINE, "Patient/p1"]),
    ],
)
async def test_it_gives_what_the_scopes_name(ward, grants, found):
    held = tuple(Grant(type_, frozenset("rs"), "p1") for type_ in grants)
    limited = ward.as_(Access("app", held, patient="p1"))
    assert named(await limited.give("GET", "Patient/p1/$everything")) == found
    assert (await limited.call("GET", "Patient/p2/$everything")).status == 404
    assert (await limited.call("GET", "Patient/nobody/$everything")).status == 404


async def test_what_it_cannot_answer_is_refused(ward):
    for query in ("_type=Practitioner", "start=x", "_count=0"):
        assert (await ward.call("GET", f"Patient/p1/$everything?{query}")).status == 400


async def test_who_saw_a_patient_is_told_as_a_bundle_and_as_a_table(ward):
    bundle = await ward.give("GET", "Patient/p1/$disclosures")
    assert named(bundle) == ["AuditEvent/a1"]
    later = await ward.give("GET", "Patient/p1/$disclosures?start=2026-03-01")
    assert "entry" not in later
    table = await ward.call("GET", "Patient/p1/$disclosures?_outputFormat=text/csv")
    head, row = table.body.decode().splitlines()
    assert head == "recorded,action,what,user,client,address,purpose,outcome"
    assert row == "2026-02-02T10:00:00Z,read,Patient/p1,Practitioner/d1,'=cmd(),10.0.0.1,,done"


async def test_the_report_is_for_who_may_read_the_trail(ward):
    user = Access("u", (Grant("*", frozenset("rs"), apart=frozenset({"AuditEvent"})),))
    assert (await ward.as_(user).call("GET", "Patient/p1/$disclosures")).status == 403
    own = Access("p", tuple(Grant(t, frozenset("rs"), "p1") for t in ("Patient", "AuditEvent")))
    assert named(await ward.as_(own).give("GET", "Patient/p1/$disclosures")) == ["AuditEvent/a1"]
    assert (await ward.as_(own).call("GET", "Patient/p2/$disclosures")).status == 404


def reason(text):
    return {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": text}]}


async def test_one_person_s_record_goes_and_the_trail_and_what_is_shared_stay(ward):
    told = await ward.give("POST", "Patient/p1/$erase", reason("her own wish"))
    assert {p["name"]: p["valueInteger"] for p in told["parameter"]} == {"erased": 4, "shared": 1}
    for place in ("Patient/p1", "Observation/o1", "Observation/o2/_history/1"):
        assert (await ward.call("GET", place)).status in {404, 410}
    for place in ("Patient/p2", "Observation/o4", "Appointment/both", "AuditEvent/a1"):
        assert (await ward.call("GET", place)).status == 200


async def test_an_erasure_needs_every_right_and_a_reason(ward):
    user = Access("u", (Grant("*", frozenset("rs")), Grant("Patient", frozenset("d"))))
    asked = reason("her own wish")
    assert (await ward.as_(user).call("POST", "Patient/p1/$erase", asked)).status == 403
    assert (await ward.call("POST", "Patient/p1/$erase")).status == 400
    assert (await ward.call("POST", "Patient/p1/$erase", reason("because"))).status == 400
    assert (await ward.call("GET", "Patient/p1/$erase")).status == 405
    assert (await ward.call("POST", "Patient/nobody/$erase", asked)).status == 404
    assert (await ward.call("GET", "Patient/p1")).status == 200
