"""Search modifiers by R4's own sentences, on every store: search.html#modifiers, #token, #uri, #reference."""

import json

import pytest
from bodies import observation, patient
from msgspec.structs import replace

from fhir_server.access import Access, Grant

V3 = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
ANIMALS = "http://x.example/animals"
TYPED = {"coding": [{"system": V2, "code": "MR"}], "text": "Hospital number"}


def concept(code, *inner, **more):
    return {"code": code, **({"concept": list(inner)} if inner else {}), **more}


def animals(version="1", *more):
    return {
        "resourceType": "CodeSystem",
        "url": ANIMALS,
        "version": version,
        "status": "active",
        "content": "complete",
        "concept": [
            concept("mammal", concept("cat", concept("lion"), display="Cat"), concept("dog")),
            concept("bird"),
            *more,
        ],
    }


def value_set(id_, *include, exclude=(), **more):
    compose = {"include": list(include), **({"exclude": list(exclude)} if exclude else {})}
    return {
        "resourceType": "ValueSet",
        "id": id_,
        "url": f"http://x.example/vs/{id_}",
        "status": "active",
        "compose": compose,
        **more,
    }


def coded(id_, code, text=None, subject="p1", **more):
    body = observation(id_, f"Patient/{subject}", "x")
    held = {"coding": [{"system": ANIMALS, "code": code}]} if code else {}
    body["code"] = {**held, **({"text": text} if text else {})}
    return {**body, **more}


RESOURCES = [
    patient("p1", gender="male", identifier=[{"system": "urn:a", "value": "7", "type": TYPED}]),
    patient("p2", gender="female", identifier=[{"system": "urn:b", "value": "7"}]),
    patient("p3", identifier=[{"value": "a|b\\c", "type": TYPED}]),
    coded("o-cat", "cat", "A small tiger"),
    coded("o-lion", "lion"),
    coded("o-bird", "bird", "Bird of prey"),
    coded("o-text", None, "Headache, severe"),
    {
        **coded("o-both", "dog"),
        "code": {
            "coding": [
                {"system": ANIMALS, "code": "dog", "display": "Dög  Hound"},
                {"system": "http://other.example", "code": "cat"},
            ]
        },
    },
    {
        **coded("o-identified", "bird"),
        "subject": {"identifier": {"system": "urn:mrn", "value": "9"}},
    },
    {"resourceType": "Location", "id": "house"},
    {"resourceType": "Location", "id": "floor", "partOf": {"reference": "Location/house"}},
    {"resourceType": "Location", "id": "room", "partOf": {"reference": "Location/floor"}},
    {"resourceType": "Location", "id": "shed"},
    *(
        {
            "resourceType": "Encounter",
            "id": f"e-{place}",
            "status": "planned",
            "class": {"system": V3, "code": code},
            "location": [{"location": {"reference": f"Location/{place}"}}],
        }
        for place, code in (("house", "IMP"), ("floor", "ACUTE"), ("room", "AMB"), ("shed", "HH"))
    ),
    *(
        {
            "resourceType": "QuestionnaireResponse",
            "id": f"q{n}",
            "status": "completed",
            "questionnaire": f"http://x.example/q{version}",
        }
        for n, version in enumerate(("", "|1", "|1.2", "|1.2.3", "|12", "|2.0"))
    ),
    {
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "content": [{"attachment": {"contentType": "text/XML; charset=UTF-8"}}],
    },
    {
        "resourceType": "DocumentReference",
        "id": "d2",
        "status": "current",
        "content": [{"attachment": {"contentType": "text/xml"}}],
    },
    {
        "resourceType": "DocumentReference",
        "id": "d3",
        "status": "current",
        "content": [{"attachment": {"contentType": "text/xml2"}}],
    },
    animals() | {"id": "animals"},
    value_set("all", {"system": ANIMALS}),
    value_set(
        "cats",
        {"system": ANIMALS, "filter": [{"property": "concept", "op": "is-a", "value": "cat"}]},
    ),
    value_set(
        "mammals-not-cats",
        {"system": ANIMALS},
        exclude=[{"valueSet": ["http://x.example/vs/cats"]}],
    ),
    value_set("unknown-system", {"system": "http://x.example/unheld"}),
    value_set("listed", {"system": "http://other.example", "concept": [{"code": "cat"}]}),
    value_set("circle", {"valueSet": ["http://x.example/vs/circle"]}),
]

CASES = [
    # token :text is a normal string search: it starts so, without case and accents
    ("Observation?code:text=headache", "o-text"),
    ("Observation?code:text=severe", ""),
    ("Observation?code:text=dog%20hound", "o-both"),
    ("Observation?code:text=A%20SMALL,bird", "o-bird o-cat"),
    ("Patient?identifier:text=hospital", "p1 p3"),
    # :not takes the whole element, not one of its codes, and what lacks the element
    ("Patient?gender:not=male", "p2 p3"),
    ("Patient?gender:not=male,female", "p3"),
    ("Patient?gender:not=male&gender:not=female", "p3"),
    ("Observation?code:not=cat", "o-bird o-identified o-lion o-text"),
    ("Observation?code:not=http://other.example|cat,bird", "o-cat o-lion o-text"),
    ("Patient?_id:not=p1,p2", "p3"),
    # :below is subsumed by, :above subsumes; both with the code itself
    (f"Observation?code:below={ANIMALS}|cat", "o-cat o-lion"),
    (f"Observation?code:below={ANIMALS}|mammal", "o-both o-cat o-lion"),
    (f"Observation?code:above={ANIMALS}|lion", "o-cat o-lion"),
    (f"Observation?code:below={ANIMALS}|cat,{ANIMALS}|bird", "o-bird o-cat o-identified o-lion"),
    (f"Encounter?class:below={V3}|IMP", "e-floor e-house"),
    (f"Encounter?class:above={V3}|ACUTE", "e-floor e-house"),
    ("DocumentReference?contenttype:below=text/xml", "d1 d2"),
    ("DocumentReference?contenttype=text/xml", "d2"),
    # :in and :not-in, by url, by ValueSet/id, by R4's own definitions, by an implicit value set
    ("Observation?code:in=http://x.example/vs/cats", "o-cat o-lion"),
    ("Observation?code:in=ValueSet/cats", "o-cat o-lion"),
    ("Observation?code:in=http://test.example/fhir/ValueSet/cats", "o-cat o-lion"),
    ("Observation?code:in=http://x.example/vs/mammals-not-cats", "o-bird o-both o-identified"),
    ("Observation?code:in=http://x.example/vs/listed", "o-both"),
    (f"Observation?code:in={ANIMALS}?fhir_vs=isa/cat", "o-cat o-lion"),
    ("Observation?code:not-in=http://x.example/vs/cats", "o-bird o-both o-identified o-text"),
    ("Observation?code:not-in=ValueSet/cats,ValueSet/listed", "o-bird o-identified o-text"),
    ("Patient?gender:in=http://hl7.org/fhir/ValueSet/administrative-gender", "p1 p2"),
    ("Patient?gender:in=http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1", "p1 p2"),
    ("Patient?gender:not-in=http://hl7.org/fhir/ValueSet/administrative-gender", "p3"),
    (
        "Encounter?class:in=http://terminology.hl7.org/ValueSet/v3-ActEncounterCode",
        "e-floor e-house e-room e-shed",
    ),
    # :of-type has three parts, and the type is of the same identifier
    (f"Patient?identifier:of-type={V2}|MR|7", "p1"),
    (f"Patient?identifier:of-type={V2}|MR|8", ""),
    (f"Patient?identifier:of-type={V2}|MR|a\\|b\\\\c", "p3"),
    # uri: paths, not letters
    (
        "ValueSet?url:below=http://x.example/vs",
        "all cats circle listed mammals-not-cats unknown-system",
    ),
    ("ValueSet?url:below=http://x.example/v", ""),
    ("ValueSet?url:above=http://x.example/vs/cats/_history/5", "cats"),
    ("ValueSet?url:above=http://x.example/vs/cats", "cats"),
    ("ValueSet?url:above=http://x.example/vs/cat", ""),
    # reference: hierarchies, versions of canonicals, identifiers, types
    ("Encounter?location:below=floor", "e-floor e-room"),
    ("Encounter?location:below=Location/house", "e-floor e-house e-room"),
    ("Encounter?location:above=floor", "e-floor e-house"),
    ("QuestionnaireResponse?questionnaire:below=http://x.example/q", "q0 q1 q2 q3 q4 q5"),
    ("QuestionnaireResponse?questionnaire:below=http://x.example/q|1", "q1 q2 q3"),
    ("QuestionnaireResponse?questionnaire:below=http://x.example/q|1.2", "q2 q3"),
    ("QuestionnaireResponse?questionnaire=http://x.example/q|1.2", "q2"),
    ("Observation?subject:identifier=urn:mrn|9", "o-identified"),
    ("Observation?subject:Patient=p2", ""),
    # :missing: text alone is a value, and so is an identifier alone
    ("Observation?code:missing=true", ""),
    ("Observation?subject:missing=true", ""),
    ("Observation?encounter:missing=true&code=bird", "o-bird o-identified"),
    ("Patient?gender:missing=true", "p3"),
    ("Patient?gender:missing=false", "p1 p2"),
    ("Patient?birthdate:missing=false", ""),
    ("Patient?_id:missing=true", ""),
    ("Patient?_lastUpdated:missing=false", "p1 p2 p3"),
    # in chains and reverse chains
    ("Patient?_has:Observation:subject:code:in=ValueSet/cats", "p1"),
    ("Observation?subject.gender:not=male", ""),
    (f"Observation?subject:Patient.identifier:of-type={V2}|MR|7&code=bird", "o-bird"),
    (f"Patient?_has:Observation:patient:code:below={ANIMALS}|mammal", "p1"),
]

REFUSED = [
    ("Observation?code:in=http://x.example/vs/nowhere", "http://x.example/vs/nowhere"),
    ("Observation?code:in=ValueSet/nowhere", "ValueSet/nowhere"),
    ("Observation?code:not-in=http://x.example/vs/nowhere", "http://x.example/vs/nowhere"),
    ("Observation?code:in=http://x.example/vs/unknown-system", "http://x.example/unheld"),
    ("Observation?code:in=http://x.example/vs/circle", "includes itself"),
    ("Observation?code:below=http://snomed.info/sct|126851005", "http://snomed.info/sct"),
    (f"Observation?code:below={ANIMALS}|horse", "no such code"),
    ("Observation?code:below=126851005", "system|code"),
    ("Observation?code:contains=x", ":above, :below, :in, :missing, :not, :not-in, :text"),
    ("Observation?code:of-type=a|b|c", "it takes"),
    ("Patient?family:text=x", "it takes :contains, :exact, :missing"),
    ("Patient?birthdate:not=2000", "it takes :missing"),
    ("Patient?identifier:of-type=a|b", "all three"),
    ("Patient?gender:missing=maybe", "true or false"),
    ("ValueSet?url:below=urn:oid:1.2.3", "URN"),
    ("Observation?patient:below=p1", "Location, Organization, Encounter"),
    ("Encounter?location:below=http://elsewhere.example/Location/1", "no :below with a URL"),
    ("QuestionnaireResponse?questionnaire:identifier=x", "it takes :above, :below, :missing"),
    ("Patient?_id:text=p1", ":missing, :not"),
    ("Patient?_lastUpdated:not=2020", ":missing"),
    ("Observation?code-value-quantity:missing=true", "code-value-quantity"),
]


@pytest.fixture
async def world(door):
    return await door.holding(RESOURCES)


async def test_each_modifier_means_what_r4_says(world):
    assert await world.astray(CASES) == []


async def test_what_cannot_be_answered_is_refused_and_says_what_is_possible(world):
    assert await world.not_refused(REFUSED) == []


async def test_lenient_handling_leaves_out_an_unknown_modifier_and_says_so(world):
    bundle = await world.give(
        "GET", "Patient?gender:exact=x&gender=male&birthdate:exact=2000", prefer="handling=lenient"
    )
    assert [e["resource"].get("id") for e in bundle["entry"] if e["search"]["mode"] == "match"] == [
        "p1"
    ]
    outcome = bundle["entry"][-1]["resource"]
    assert outcome["resourceType"] == "OperationOutcome"
    assert [issue["severity"] for issue in outcome["issue"]] == ["warning"] * 2
    assert bundle["link"][0]["url"].endswith("Patient?gender=male")


async def test_a_value_set_follows_its_changes_at_once(world):
    url = "Observation?code:in=http://x.example/vs/all&_summary=count"
    assert (await world.give("GET", url))["total"] == 5
    await world.give("PUT", "Observation/o-new", coded("o-new", "snake"))
    assert (await world.give("GET", url))["total"] == 5
    await world.give(
        "PUT", "CodeSystem/animals", animals("1", concept("snake")) | {"id": "animals"}
    )
    assert (await world.give("GET", url))["total"] == 6
    await world.give(
        "PUT", "ValueSet/all", value_set("all", {"system": ANIMALS, "concept": [{"code": "snake"}]})
    )
    assert (await world.give("GET", url))["total"] == 1
    await world.call("DELETE", "ValueSet/all")
    assert (await world.call("GET", url)).status == 400


async def test_another_tenant_s_value_sets_are_not_known(world):
    other = type(world)(replace(world.context, tenant="elsewhere"))
    assert (await other.call("GET", "Observation?code:in=http://x.example/vs/all")).status == 400


async def test_the_newest_version_of_a_value_set_is_taken_unless_another_is_asked_for(world):
    for version, code in (("1.9", "cat"), ("1.10", "bird")):
        held = value_set(
            f"v{code}", {"system": ANIMALS, "concept": [{"code": code}]}, version=version
        )
        await world.give("PUT", f"ValueSet/v{code}", held | {"url": "http://x.example/vs/versions"})
    url = "Observation?code:in=http://x.example/vs/versions"
    assert set(await world.ids(url)) == {"o-bird", "o-identified"}
    assert await world.ids(url + "|1.9") == ["o-cat"]
    assert (await world.call("GET", url + "|2")).status == 400


async def test_a_hierarchy_shows_only_what_the_caller_may_see(world):
    grants = (
        Grant("Encounter", frozenset("rs")),
        Grant("Location", frozenset("rs"), query=(("_id", "floor"),)),
    )
    limited = world.as_(Access("app", grants))
    found = await limited.ids("Encounter?location:below=house")
    assert sorted(found) == ["e-floor", "e-house"]


async def test_conditional_interactions_know_the_tenant_s_value_sets(world):
    condition = "code:in=ValueSet/cats&code=http://x.example/animals|lion"
    kept = await world.call("POST", "Observation", coded("x", "lion"), if_none_exist=condition)
    assert (kept.status, json.loads(kept.body)["id"]) == (200, "o-lion")
    response = await world.call("PUT", "Observation?code:in=ValueSet/nowhere", coded("x", "cat"))
    assert response.status == 400


async def test_too_many_codes_are_refused_as_too_costly(world):
    listed = [{"code": f"c{n}"} for n in range(4_500)]
    await world.give(
        "PUT", "ValueSet/large", value_set("large", {"system": "urn:l", "concept": listed})
    )
    assert await world.ids("Observation?code:in=ValueSet/large&_id=o-cat") == []
    for url in (
        "?_type=Patient,Observation,List&_tag:in=ValueSet/large",
        "Observation?code:in=" + ",".join(["ValueSet/large"] * 3),
    ):
        response = await world.call("GET", url)
        assert json.loads(response.body)["issue"][0]["code"] == "too-costly"
    await world.give(
        "PUT",
        "ValueSet/larger",
        value_set(
            "larger",
            {"system": "urn:m", "concept": listed[:600]},
            {"valueSet": ["http://x.example/vs/large"]},
        ),
    )
    response = await world.call("GET", "Observation?code:in=ValueSet/larger")
    assert json.loads(response.body)["issue"][0]["code"] == "too-costly"


async def test_a_granular_scope_may_name_a_value_set_of_r4_s_own_and_fails_closed_on_others(world):
    def limited(value_set):
        grant = Grant("Patient", frozenset("rs"), query=(("gender:in", value_set),))
        return world.as_(Access("app", (grant,)))

    known = limited("http://hl7.org/fhir/ValueSet/administrative-gender")
    assert sorted(await known.ids("Patient")) == ["p1", "p2"]
    assert (await limited("http://x.example/vs/nowhere").call("GET", "Patient")).status == 400
