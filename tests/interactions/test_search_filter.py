"""_filter by its page's own sentences, and _list, on every store: search_filter.html, search.html#list."""

import json
from urllib.parse import quote

import pytest
from bodies import observation, patient

from fhir_server.access import Access, Grant

V3 = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
LOINC = "http://loinc.org"


def named(id_, family, given, **more):
    return patient(id_, name=[{"family": family, "given": given}], **more)


def measured(id_, subject, code, *more_codes, **more):
    body = observation(id_, f"Patient/{subject}", code)
    coding = [{"system": LOINC, "code": one} for one in (code, *more_codes)]
    return {**body, "code": {"coding": coding}, **more}


def quantity(value, code="mg"):
    return {"value": value, "system": "http://unitsofmeasure.org", "code": code}


RESOURCES = [
    named("p1", "Petersen", ["Peter", "Zoe"], birthDate="1970-05-01", gender="male", active=True),
    named("p2", "Étienne", ["Ann"], birthDate="1980", gender="female"),
    named("p3", "Aalto", ["Peter"], birthDate="1990-12-24"),
    measured("o1", "p1", "1234-5", valueQuantity=quantity(5.4), effectiveDateTime="2020-06-15"),
    measured("o2", "p1", "8867-4", "1234-5", valueQuantity=quantity(80), effectiveDateTime="2021"),
    measured(
        "o3",
        "p2",
        "8867-4",
        valueQuantity=quantity(7, "g"),
        effectivePeriod={"start": "2020-06-01", "end": "2020-06-30"},
    ),
    measured("o4", "p3", "9999-9"),
    {
        "resourceType": "RiskAssessment",
        "id": "r1",
        "status": "final",
        "subject": {"reference": "Patient/p1"},
        "prediction": [{"probabilityDecimal": 0.8}],
    },
    *(
        {
            "resourceType": "Encounter",
            "id": id_,
            "status": status,
            "class": {"system": V3, "code": code},
            "subject": {"reference": f"Patient/{subject}"},
        }
        for id_, code, status, subject in (
            ("e1", "IMP", "planned", "p1"),
            ("e2", "ACUTE", "finished", "p2"),
            ("e3", "AMB", "planned", "p3"),
        )
    ),
    {
        "resourceType": "List",
        "id": "l1",
        "status": "current",
        "mode": "working",
        "entry": [{"item": {"reference": f"Patient/{one}"}} for one in ("p1", "p3")]
        + [{"item": {"reference": "Observation/o1"}}],
    },
    {
        "resourceType": "List",
        "id": "l2",
        "status": "current",
        "mode": "working",
        "entry": [{"item": {"reference": "Patient/p2"}}],
    },
]

CASES = [
    # strings: eq is the whole, without case and accents
    ("Patient", 'given eq "peter"', "p1 p3"),
    ("Patient", "given eq pet", ""),
    ("Patient", "family eq ETIENNE", "p2"),
    ("Patient", 'name co "ETER"', "p1 p3"),
    ("Patient", "family sw pet", "p1"),
    ("Patient", "family ew sen", "p1"),
    ("Patient", "given ew eter", "p1 p3"),
    ("Patient", "given ne peter", "p1 p2"),
    ("Patient", "family gt b", "p1 p2"),
    ("Patient", "family lt b", "p3"),
    ("Patient", "family ge etienne and family le etienne", "p2"),
    # dates by the prefixes; co includes, po overlaps
    ("Patient", 'given eq "peter" and birthdate ge 1980-10-10', "p3"),
    ("Patient", "birthdate eq 1980", "p2"),
    ("Patient", "birthdate ne 1980", "p1 p3"),
    ("Patient", "birthdate co 1980-03-03", "p2"),
    ("Patient", "birthdate po 1980-03-03", "p2"),
    ("Patient", "birthdate po 1975", ""),
    ("Patient", "birthdate sa 1980", "p3"),
    ("Patient", "birthdate eb 1980", "p1"),
    ("Observation", "date co 2020-06-15", "o1 o3"),
    ("Observation", "date po 2020-06-20", "o3"),
    ("Observation", "date ap 2020-06-15", "o1 o2 o3"),
    # tokens: ne is some other code, not no such code
    ("Observation", "code eq http://loinc.org|1234-5", "o1 o2"),
    ("Observation", "code eq loinc|1234-5", "o1 o2"),
    ("Observation", "code ne loinc|1234-5", "o2 o3 o4"),
    ("Observation", "not (code eq loinc|1234-5)", "o3 o4"),
    ("Patient", "gender ne male", "p2"),
    ("Patient", "not(gender eq male)", "p2 p3"),
    ("Patient", "active eq true", "p1"),
    ("Encounter", f"class ss {V3}|IMP", "e1 e2"),
    ("Encounter", f"class sb {V3}|ACUTE", "e1 e2"),
    ("Encounter", "class in http://terminology.hl7.org/ValueSet/v3-ActEncounterCode", "e1 e2 e3"),
    ("Encounter", "class ni http://terminology.hl7.org/ValueSet/v3-ActEncounterCode", ""),
    # numbers and quantities
    ("RiskAssessment", "probability gt 0.5", "r1"),
    ("RiskAssessment", "probability co 0.8", "r1"),
    ("RiskAssessment", "probability eq 0.9", ""),
    ("Observation", "value-quantity gt 6", "o2 o3"),
    ("Observation", "value-quantity lt 100|ucum|mg", "o1 o2"),
    ("Observation", "value-quantity eq 5.4|http://unitsofmeasure.org|mg", "o1"),
    # present, references, ids
    ("Observation", "value-quantity pr false", "o4"),
    ("Observation", "date pr true", "o1 o2 o3"),
    ("Patient", "gender pr false", "p3"),
    ("Observation", "subject re Patient/p1", "o1 o2"),
    ("Observation", "subject re http://test.example/fhir/Patient/p2", "o3"),
    ("Patient", "_id eq p2", "p2"),
    ("Patient", "_id ne p2", "p1 p3"),
    ("Patient", "_lastUpdated gt 2000-01-01 and family sw a", "p3"),
    # left to right, without precedence; parentheses
    ("Patient", "gender eq male or gender eq female and family sw e", "p2"),
    ("Patient", "gender eq male or (gender eq female and family sw e)", "p1 p2"),
    ("Patient", "(gender eq male or gender eq female) and not (family sw e)", "p1"),
    ("Patient", "  gender   eq  male ", "p1"),
    ("Patient", "((gender eq male))", "p1"),
    # chains and brackets: of one resource at a time
    ("Observation", 'subject.name co "pet"', "o1 o2 o4"),
    ("Observation", "subject[gender eq male].name co pet", "o1 o2"),
    ("Observation", "subject[gender eq female].name co pet", ""),
    ("Observation", "code eq loinc|1234-5 and subject.birthdate lt 1975", "o1 o2"),
    ("Patient", 'name eq "a \\"b\\" )]"', ""),
]

REFUSED = [
    ("Patient", "", "character 1: the name"),
    ("Patient", "name", "character 5: an operator"),
    ("Patient", "name is x", "character 6: one of"),
    ("Patient", "name eq", "character 8: a value"),
    ("Patient", 'name eq "x', "character 9: the string has no end"),
    ("Patient", 'name eq "\\q"', "character 9: this is no JSON string"),
    ("Patient", "name eq x and", "character 14: the name"),
    ("Patient", "(name eq x", "character 11: ) is wanted"),
    ("Patient", "name eq x)", "character 10: and, or"),
    ("Patient", "name[given eq x] eq y", "behind the brackets"),
    ("Patient", "nothing eq x", "no search parameter named nothing"),
    (
        "Patient",
        "gender co x",
        "co does not apply to gender, a token parameter; it takes eq, ne, ss",
    ),
    ("Patient", "name ap x", "it takes eq, ne, co, sw, ew"),
    ("Patient", "birthdate eq xx2000", "begins with a letter"),
    ("Patient", "birthdate eq soon", "begins with a letter"),
    ("Patient", "gender pr maybe", "true or false"),
    ("Patient", "name.given eq x", "not a reference"),
    ("Observation", "subject eq Patient/p1", "it takes re, pr"),
    (
        "Observation",
        "related[type eq has-component].target pr true",
        "no search parameter named related",
    ),
    ("Encounter", "class in http://x.example/unheld", "http://x.example/unheld"),
    ("Patient", "(" * 20 + "active eq true" + ")" * 20, "nested deeper"),
    ("Patient", " or ".join(["active eq true"] * 201), "more than 200 tests"),
    ("Patient", "name eq " + "x" * 9_000, "longer than"),
    ("Observation", "subject." * 7 + "name eq x", "path of more than"),
]


@pytest.fixture
async def world(door):
    return await door.holding(RESOURCES)


def filtered(cases):
    """The searches by the filters of a table, each with what is said of it."""
    return [(f"{type_}?_filter={quote(text)}", said) for type_, text, said in cases]


async def test_each_operator_means_what_its_page_says(world):
    assert await world.astray(filtered(CASES)) == []


async def test_what_cannot_be_read_is_refused_with_its_position(world):
    assert await world.not_refused(filtered(REFUSED)) == []


async def test_a_filter_is_one_criterion_among_others_and_stands_in_the_self_link(world):
    bundle = await world.give("GET", "Patient?gender=male&_filter=" + quote("given eq peter"))
    assert [entry["resource"]["id"] for entry in bundle["entry"]] == ["p1"]
    assert bundle["link"][0]["url"].endswith("Patient?gender=male&_filter=given%20eq%20peter")


async def test_lenient_handling_does_not_leave_out_a_filter(world):
    url = "Patient?_filter=" + quote("nothing eq x")
    assert (await world.call("GET", url, prefer="handling=lenient")).status == 400


async def test_a_filter_looks_no_further_than_the_caller_may(world):
    grants = (
        Grant("Observation", frozenset("rs")),
        Grant("Patient", frozenset("rs"), query=(("_id", "p3"),)),
    )
    limited = world.as_(Access("app", grants))
    assert await limited.found('Observation?_filter=subject.name%20co%20"pet"') == ["o4"]
    assert await limited.found("Observation?_filter=not(subject.name%20co%20pet)") == [
        "o1",
        "o2",
        "o3",
    ]


async def test_filters_stand_in_chains_and_over_all_types(world):
    assert await world.found("Patient?_has:Observation:subject:_filter=code%20eq%209999-9") == [
        "p3"
    ]
    assert await world.found("?_type=Patient,List&_filter=_id%20eq%20p1%20or%20_id%20eq%20l1") == [
        "l1",
        "p1",
    ]


async def test_a_list_gives_what_its_entries_refer_to(world):
    assert await world.found("Patient?_list=l1") == ["p1", "p3"]
    assert await world.found("Patient?_list=List/l1&gender=male") == ["p1"]
    assert await world.found("Patient?_list=l1,l2") == ["p1", "p2", "p3"]
    assert await world.found("?_list=l1&_type=Patient,Observation") == ["o1", "p1", "p3"]
    assert await world.found("Patient?_list=nowhere") == []
    assert await world.found("Observation?subject:Patient._list=l2") == ["o3"]


async def test_a_list_out_of_reach_lists_nothing(world):
    only_patients = world.as_(Access("app", (Grant("Patient", frozenset("rs")),)))
    assert await only_patients.found("Patient?_list=l1") == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("AllergyIntolerance?_list=$current-allergies", "not offered"),
        ("Patient?_list=a b", "id of a List"),
        ("Patient?_list:not=l1", "it takes none"),
        ("Patient?_query=x", "Named queries are not offered"),
        ("Patient?_contained=true", "contained resources is not offered"),
        ("Patient?_contained=both", "contained resources is not offered"),
        ("Patient?_containedType=container", "contained resources is not offered"),
    ],
)
async def test_what_is_not_offered_says_so(world, url, told):
    response = await world.call("GET", url)
    assert response.status == 400
    assert told in json.loads(response.body)["issue"][0]["diagnostics"]


async def test_the_default_of_contained_is_taken(world):
    assert await world.found("Patient?_contained=false&gender=male") == ["p1"]
