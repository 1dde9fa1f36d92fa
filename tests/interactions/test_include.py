"""_include and _revinclude: wildcards, targets, canonicals, iteration, limits: search.html#include."""

import json

import pytest
from bodies import observation, patient, transaction

from fhir_server.access import Access, Grant
from fhir_server.interactions import include

MEMBERS = "Observation?_id=o4&_include:iterate=Observation:has-member"
GROUPS = "Observation?_id=o1&_revinclude:iterate=Observation:has-member"
PLAN = "http://plans.example/follow-up"


@pytest.fixture
async def linked(door):
    """Observations with members, a patient with a doctor and links, plans that refer to definitions."""
    doctor = [{"reference": "Practitioner/d1"}, {"reference": "Organization/g1"}]
    other = [{"other": {"reference": "Patient/p1"}, "type": "seealso"}]
    performers = [{"reference": "Practitioner/d1"}, {"reference": "Patient/p1"}]
    resources = [
        {"resourceType": "Practitioner", "id": "d1"},
        {"resourceType": "Organization", "id": "g1", "name": "Clinic"},
        patient("p1", generalPractitioner=doctor),
        patient("p2", link=other),
        observation("o1", "Patient/p1", performer=performers),
    ]
    for n in (2, 3, 4):
        member = [{"reference": f"Observation/o{n - 1}"}]
        resources.append(observation(f"o{n}", "Patient/p2", hasMember=member))
    for id_, version in (("a1", "1"), ("a2", "2")):
        body = {"resourceType": "PlanDefinition", "id": id_, "status": "active", "url": PLAN}
        resources.append({**body, "version": version})
    for id_, canonical in (("c1", f"{PLAN}|1"), ("c2", PLAN), ("c3", f"{PLAN}|3")):
        body = {
            "resourceType": "CarePlan",
            "id": id_,
            "status": "active",
            "intent": "plan",
            "subject": {"reference": "Patient/p1"},
            "instantiatesCanonical": [canonical],
        }
        resources.append(body)
    await door.give("POST", "", transaction(*resources))
    return door


async def beside(door, url):
    bundle = await door.give("GET", url)
    found = [e["resource"]["id"] for e in bundle["entry"] if e["search"]["mode"] == "include"]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("Observation?_id=o1&_include=Observation:subject", {"p1"}),
        ("Observation?_id=o1&_include=Observation:patient", {"p1"}),
        ("Observation?_id=o1&_include=Observation:performer", {"d1", "p1"}),
        ("Observation?_id=o1&_include=Observation:performer:Practitioner", {"d1"}),
        ("Observation?_id=o1&_include=Observation:performer:Organization", set()),
        ("Observation?_id=o1&_include=Observation:*", {"d1", "p1"}),
        ("Observation?_id=o1&_include=*", {"d1", "p1"}),
        ("Observation?_id=o1&_include=*:performer", {"d1", "p1"}),
        ("Observation?_id=o4&_include=Observation:has-member", {"o3"}),
        ("Observation?_id=o4&_include:iterate=Observation:has-member", {"o3", "o2", "o1"}),
        (
            f"{MEMBERS}&_include:iterate=Observation:performer:Practitioner",
            {"o3", "o2", "o1", "d1"},
        ),
        ("Observation?_id=o1&_include=Observation:subject&_include:iterate=*", {"p1", "d1", "g1"}),
        ("Observation?_id=o1&_include:recurse=*", {"p1", "d1", "g1"}),
        ("Observation?_include=Observation:has-member", set()),
        ("Patient?_id=p1&_revinclude=Observation:subject", {"o1"}),
        ("Patient?_id=p1&_revinclude=Observation:*", {"o1"}),
        ("Patient?_id=p1&_revinclude=Patient:link", {"p2"}),
        ("Patient?_id=p1&_revinclude=*", {"o1", "p2", "c1", "c2", "c3"}),
        ("Patient?_id=p1&_revinclude=*:subject", {"o1", "c1", "c2", "c3"}),
        ("Practitioner?_revinclude=Observation:performer:Patient", set()),
        ("Practitioner?_revinclude=Observation:performer:Practitioner", {"o1"}),
        (
            f"{GROUPS}&_include:iterate=Observation:subject",
            {"o2", "o3", "o4", "p1", "p2"},
        ),
        ("CarePlan?_id=c1&_include=CarePlan:instantiates-canonical", {"a1"}),
        ("CarePlan?_id=c2&_include=CarePlan:instantiates-canonical", {"a1", "a2"}),
        ("CarePlan?_id=c3&_include=CarePlan:instantiates-canonical", set()),
        ("CarePlan?_id=c1&_include=CarePlan:instantiates-canonical:Measure", set()),
        ("CarePlan?_id=c1&_include=*", {"a1", "p1"}),
        ("PlanDefinition?_id=a1&_revinclude=CarePlan:instantiates-canonical", {"c1", "c2"}),
        ("PlanDefinition?_id=a2&_revinclude=CarePlan:instantiates-canonical", {"c2"}),
    ],
)
async def test_inclusions_lead_to_what_is_referred_to(linked, url, found):
    assert await beside(linked, url) == found


@pytest.mark.parametrize(
    "query",
    [
        "_include=Observation:nonsense",
        "_include=Observation:code",
        "_include=Nonsense:subject",
        "_include=Observation:subject:Nonsense",
        "_include=Observation:subject:Practitioner",
        "_include=Observation",
        "_include:foo=Observation:subject",
        "_revinclude=Observation",
        "_include=Observation:subject&_summary=text",
    ],
)
async def test_an_inclusion_that_leads_nowhere_is_refused(linked, query):
    assert (await linked.call("GET", f"Observation?{query}")).status == 400
    assert (await linked.call("GET", f"Observation?_id=none&{query}")).status == 400


async def test_matches_are_counted_and_what_is_included_is_not(linked):
    bundle = await linked.give("GET", "Observation?_count=2&_include=*&_total=accurate")
    modes = [e["search"]["mode"] for e in bundle["entry"]]
    assert modes.count("match") == 2
    assert bundle["total"] == 4
    whole = await linked.give("GET", "Observation?_include=Observation:has-member")
    assert [e["search"]["mode"] for e in whole["entry"]] == ["match"] * 4


async def test_a_reader_is_told_that_inclusions_were_cut(linked, monkeypatch):
    limited = linked.with_policy(include_limit=2)
    bundle = await limited.give("GET", "Patient?_id=p1&_revinclude=*")
    modes = [e["search"]["mode"] for e in bundle["entry"]]
    assert modes == ["match", "include", "include", "outcome"]
    (issue,) = bundle["entry"][-1]["resource"]["issue"]
    assert (issue["severity"], issue["code"]) == ("warning", "too-costly")
    exact = linked.with_policy(include_limit=5)
    bundle = await exact.give("GET", "Patient?_id=p1&_revinclude=*")
    assert [e["search"]["mode"] for e in bundle["entry"]][-1] == "include"
    monkeypatch.setattr(include, "_ROUNDS", 2)
    url = "Observation?_id=o4&_include:iterate=Observation:has-member"
    bundle = await linked.give("GET", url)
    assert [e["search"]["mode"] for e in bundle["entry"]] == [
        "match",
        "include",
        "include",
        "outcome",
    ]


async def test_what_is_more_than_a_store_gives_at_once_is_included(linked, monkeypatch):
    monkeypatch.setattr(include, "_FEW", 1)
    assert await beside(linked, "Patient?_id=p1&_revinclude=*") == {"o1", "p2", "c1", "c2", "c3"}


async def test_a_circle_of_references_ends(linked):
    member = [{"reference": "Observation/o4"}]
    await linked.give("PUT", "Observation/o1", observation("o1", hasMember=member))
    url = "Observation?_id=o1&_include:iterate=Observation:has-member"
    assert await beside(linked, url) == {"o2", "o3", "o4"}


@pytest.mark.parametrize(
    ("grants", "url", "found"),
    [
        ((Grant("Observation", frozenset("rs")),), "Observation?_id=o1&_include=*", set()),
        (
            (Grant("Observation", frozenset("rs")), Grant("Patient", frozenset("r"), "p2")),
            "Observation?_include=Observation:subject",
            {"p2"},
        ),
        (
            (Grant("Patient", frozenset("rs")), Grant("Observation", frozenset("rs"), "p2")),
            "Patient?_revinclude=Observation:subject",
            {"o2", "o3", "o4"},
        ),
        ((Grant("*", frozenset("rs"), "p1"),), "Patient?_revinclude=*", {"o1", "c1", "c2", "c3"}),
        (
            (
                Grant("CarePlan", frozenset("rs")),
                Grant("PlanDefinition", frozenset("rs"), None, (("version", "2"),)),
            ),
            "CarePlan?_include=CarePlan:instantiates-canonical",
            {"a2"},
        ),
        (
            (
                Grant("Observation", frozenset("rs")),
                Grant("Practitioner", frozenset("r"), None, (("_id", "none"),)),
            ),
            "Observation?_include=Observation:performer",
            set(),
        ),
    ],
)
async def test_inclusions_keep_to_the_token(linked, grants, url, found):
    assert await beside(linked.as_(Access("app", grants)), url) == found


async def test_included_resources_are_shortened_as_the_matches_are(linked):
    bundle = await linked.give("GET", "Observation?_id=o1&_include=*&_summary=true")
    tags = [e["resource"]["meta"]["tag"][0]["code"] for e in bundle["entry"]]
    assert tags == ["SUBSETTED"] * 3
    assert json.dumps(bundle["link"]).count("_summary=true") == 1
