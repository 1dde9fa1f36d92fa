"""The specification's own examples for each type of search parameter, in all three interpreters.

https://hl7.org/fhir/R4/search.html: what is found, and what is beside it and is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from three_ways import ThreeWays

from resources.outcome import FhirError

UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
SCT = "http://snomed.info/sct"


def dated(id: str, **when: Any) -> dict[str, Any]:
    return {"resourceType": "Encounter", "id": id, "period": when}


def effective(id: str, text: str) -> dict[str, Any]:
    return {"resourceType": "Observation", "id": id, "effectiveDateTime": text}


def chance(id: str, value: Any) -> dict[str, Any]:
    return {
        "resourceType": "RiskAssessment",
        "id": id,
        "prediction": [{"probabilityDecimal": Decimal(value)}],
    }


def between(id: str, low: Any, high: Any) -> dict[str, Any]:
    ends = {"low": {"value": Decimal(low)}, "high": {"value": Decimal(high)}}
    return {
        "resourceType": "RiskAssessment",
        "id": id,
        "prediction": [{"probabilityRange": ends}],
    }


def amount(id: str, value: str, code: str = "", unit: str = "", **more: Any) -> dict[str, Any]:
    quantity: dict[str, Any] = {"value": Decimal(value), **more}
    if code:
        quantity |= {"system": UCUM, "code": code}
    if unit:
        quantity["unit"] = unit
    return {"resourceType": "Observation", "id": id, "valueQuantity": quantity}


def named(id: str, *given: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "name": [{"given": list(given)}]}


def pressure(id: str, *pairs: tuple[str, int]) -> dict[str, Any]:
    components = [
        {
            "code": {"coding": [{"system": LOINC, "code": code}]},
            "valueQuantity": {"value": value, "system": UCUM, "code": "mm[Hg]", "unit": "mmHg"},
        }
        for code, value in pairs
    ]
    return {"resourceType": "Observation", "id": id, "component": components}


def lying(id: str, latitude: str, longitude: str) -> dict[str, Any]:
    position = {"latitude": Decimal(latitude), "longitude": Decimal(longitude)}
    return {"resourceType": "Location", "id": id, "position": position}


def about(id: str, focus: str, value: str) -> dict[str, Any]:
    return {
        "code": {"system": "urn:usage", "code": focus},
        "valueCodeableConcept": {"coding": [{"system": SCT, "code": value}]},
    }


RESOURCES = [
    effective("day14", "2013-01-14"),
    effective("midnight14", "2013-01-14T00:00:00Z"),
    effective("ten14", "2013-01-14T10:00:00Z"),
    effective("noon14", "2013-01-14T12:00:00Z"),
    effective("noon13", "2013-01-13T12:00:00Z"),
    effective("midnight15", "2013-01-15T00:00:00Z"),
    effective("east", "2013-01-14T00:30:00+02:00"),
    effective("month", "2013-01"),
    {
        "resourceType": "Observation",
        "id": "schedule",
        "effectiveTiming": {
            "event": ["2013-01-31"],
            "repeat": {"boundsPeriod": {"start": "2013-01-31", "end": "2013-03-24"}},
        },
    },
    {
        "resourceType": "Observation",
        "id": "overnight",
        "effectivePeriod": {"start": "2013-01-14T08:00:00Z", "end": "2013-01-15T08:00:00Z"},
    },
    dated("from15mar", start="2013-03-15"),
    dated("from21jan", start="2013-01-21"),
    dated("to21jan", end="2013-01-21"),
    dated("march", start="2013-03-14", end="2013-03-14"),
    *(chance(f"n{text}", text) for text in ("99.4", "99.5", "100", "100.001", "100.49", "100.5")),
    *(chance(f"n{text}", text) for text in ("94", "95", "104.9", "105", "-1")),
    between("r90-110", "90", "110"),
    between("r100-100.2", "100", "100.2"),
    between("r101-120", "101", "120"),
    amount("mg5.4", "5.4", "mg"),
    amount("ug5400", "5400", "ug", unit="microgram"),
    amount("mg5.449", "5.449", "mg"),
    amount("mg5.45", "5.45", "mg"),
    amount("g5.4", "5.4", "g"),
    amount("written", "5.4", unit="mg"),
    amount("bare", "5.4"),
    amount("below5", "5", "mg", comparator="<"),
    amount("tablets", "2", unit="tablets"),
    named("eve", "Eve"),
    named("evelyn", "Evelyn"),
    named("severine", "Severine"),
    named("comma", "Anne, Marie"),
    named("bar", "a|b$c\\d"),
    named("accent", "\u00c9ve-Marie"),
    {
        "resourceType": "Condition",
        "id": "c1",
        "subject": {"reference": "Patient/eve"},
        "code": {"coding": [{"system": "http://acme.org/conditions/codes", "code": "ha129"}]},
    },
    {
        "resourceType": "Condition",
        "id": "c2",
        "subject": {"reference": "Patient/evelyn"},
        "code": {"coding": [{"code": "ha129"}, {"system": "urn:other", "code": "x|y"}]},
    },
    {"resourceType": "Condition", "id": "c3", "subject": {"reference": "Group/eve"}},
    {"resourceType": "ValueSet", "id": "v1", "url": "http://acme.org/fhir/ValueSet/123"},
    {"resourceType": "ValueSet", "id": "v2", "url": "http://acme.org/fhir/ValueSet/124"},
    {"resourceType": "ValueSet", "id": "v3", "url": "urn:oid:1.2.3.4.5"},
    pressure("low", ("8480-6", 55), ("8462-4", 40)),
    pressure("crossed", ("8480-6", 120), ("8462-4", 55)),
    pressure("twice", ("8480-6", 120), ("8480-6", 58)),
    {
        **amount("potassium", "6.1", "mmol/L"),
        "code": {"coding": [{"system": LOINC, "code": "2823-3"}]},
    },
    {
        **amount("sodium", "140", "mmol/L"),
        "code": {"coding": [{"system": LOINC, "code": "2951-2"}]},
    },
    {
        "resourceType": "DiagnosticReport",
        "id": "report",
        "result": [{"reference": "Observation/potassium"}],
    },
    {
        "resourceType": "Questionnaire",
        "id": "q1",
        "useContext": [about("q1", "focus", "408934002"), about("q1", "venue", "1")],
    },
    {
        "resourceType": "Questionnaire",
        "id": "q2",
        "useContext": [about("q2", "focus", "1"), about("q2", "venue", "408934002")],
    },
    {
        "resourceType": "MolecularSequence",
        "id": "m1",
        "referenceSeq": {
            "chromosome": {"coding": [{"code": "1"}]},
            "windowStart": 10,
            "windowEnd": 20,
        },
        "variant": [{"start": 1, "end": 50}, {"start": 60, "end": 70}],
    },
    {
        "resourceType": "DocumentReference",
        "id": "d1",
        "relatesTo": [
            {"code": "replaces", "target": {"reference": "DocumentReference/d2"}},
            {"code": "appends", "target": {"reference": "DocumentReference/d3"}},
        ],
    },
    lying("boston", "42.360", "-71.058"),
    lying("cambridge", "42.374", "-71.106"),
    lying("worcester", "42.263", "-71.802"),
    lying("fiji", "-17", "179.9"),
    lying("samoa", "-17", "-179.9"),
    lying("pole", "89.99", "10"),
    lying("otherpole", "89.99", "-170"),
]

DATES = [
    ("date=eq2013-01-14", "day14 midnight14 noon14 ten14"),
    ("date=2013-01-14", "day14 midnight14 noon14 ten14"),
    (
        "date=ne2013-01-14",
        "east midnight15 month noon13 overnight schedule",
    ),
    ("date=lt2013-01-14T10:00", "day14 east midnight14 month noon13 overnight"),
    ("date=gt2013-01-14T10:00", "day14 midnight15 month noon14 overnight schedule"),
    ("date=ge2013-01-14T10:00Z", "day14 midnight15 month noon14 overnight schedule ten14"),
    ("date=le2013-01-13", "east month noon13"),
    ("date=sa2013-01-14", "midnight15 schedule"),
    ("date=eb2013-01-14", "east noon13"),
    ("date=2013-01-13T22:30:00Z", "east"),
    ("date=2013-01-14T00:30:00%2B02:00", "east"),
    ("date=ge2013-02-10&date=le2013-02-20", "schedule"),
    ("date=2013-01-31,2013-01-13T12:00", "noon13"),
    (
        "date=ap2013-01-14",
        "day14 east midnight14 midnight15 month noon13 noon14 overnight schedule ten14",
    ),
]
PERIODS = [
    ("date=ge2013-03-14", "from15mar from21jan march"),
    ("date=le2013-03-14", "from21jan march to21jan"),
    ("date=sa2013-03-14", "from15mar"),
    ("date=eb2013-03-14", "to21jan"),
    ("date=gt2013-03-14", "from15mar from21jan"),
    ("date=lt2013-03-14", "from21jan to21jan"),
    ("date=2013-03-14", "march"),
    ("date=2013-03", "march"),
]
NUMBERS = [
    ("probability=100", "n100 n100.001 n100.49 n99.5 r100-100.2"),
    ("probability=100.00", "n100 n100.001"),
    ("probability=1e2", "n100 n100.001 n100.49 n100.5 n104.9 n95 n99.4 n99.5 r100-100.2"),
    ("probability=lt100", "n-1 n94 n95 n99.4 n99.5 r90-110"),
    ("probability=le100", "n-1 n100 n94 n95 n99.4 n99.5 r100-100.2 r90-110"),
    ("probability=gt100", "n100.001 n100.49 n100.5 n104.9 n105 r100-100.2 r101-120 r90-110"),
    ("probability=ge100", "n100 n100.001 n100.49 n100.5 n104.9 n105 r100-100.2 r101-120 r90-110"),
    ("probability=ne100", "n-1 n100.5 n104.9 n105 n94 n95 n99.4 r101-120 r90-110"),
    ("probability=sa100", "n100.001 n100.49 n100.5 n104.9 n105 r101-120"),
    ("probability=eb100", "n-1 n94 n95 n99.4 n99.5"),
    (
        "probability=ap100",
        "n100 n100.001 n100.49 n100.5 n104.9 n105 n94 n95 n99.4 n99.5 r100-100.2 r101-120 r90-110",
    ),
    ("probability=-1", "n-1"),
]
QUANTITIES = [
    (f"value-quantity=5.4|{UCUM}|mg", "mg5.4 mg5.449 ug5400"),
    (f"value-quantity=5400|{UCUM}|ug", "mg5.4 ug5400"),
    (f"value-quantity=5.40e-3|{UCUM}|g", "mg5.4 ug5400"),
    (f"value-quantity=ge5.45|{UCUM}|mg", "g5.4 mg5.45"),
    (f"value-quantity=lt5|{UCUM}|mg", "below5"),
    (f"value-quantity=eb6|{UCUM}|mg", "below5 mg5.4 mg5.449 mg5.45 ug5400"),
    ("value-quantity=5.4||mg", "mg5.4 mg5.449 written"),
    ("value-quantity=5400||microgram", "ug5400"),
    ("value-quantity=5.4", "bare g5.4 mg5.4 mg5.449 written"),
    ("value-quantity=2||tablets", "tablets"),
    (f"value-quantity=5.4|{UCUM}|", "g5.4 mg5.4 mg5.449"),
    (f"value-quantity=5.4|{UCUM}|unheard-of", ""),
    (f"value-quantity=ap5|{UCUM}|mg", "below5 mg5.4 mg5.449 mg5.45 ug5400"),
]
STRINGS = [
    ("given=eve", "accent eve evelyn"),
    ("given:contains=eve", "accent eve evelyn severine"),
    ("given:exact=Eve", "eve"),
    ("given=Anne\\,", "comma"),
    ("given=Anne\\, Marie,Evelyn", "comma evelyn"),
    ("given=a\\|b\\$c\\\\d", "bar"),
    ("given=eve&given=marie", ""),
    ("given=eve,severine", "accent eve evelyn severine"),
]
TOKENS = [
    ("code=http://acme.org/conditions/codes|ha129", "c1"),
    ("code=ha129", "c1 c2"),
    ("code=|ha129", "c2"),
    ("code=urn:other|", "c2"),
    ("code=urn:other|x\\|y", "c2"),
    ("code=x\\|y", "c2"),
    ("code:not=ha129", "c3"),
    ("code=ha129&code=x\\|y", "c2"),
    ("code=HA129", ""),
]
REFERENCES = [
    ("subject=Patient/eve", "c1"),
    ("subject=eve", "c1 c3"),
    ("subject:Patient=eve", "c1"),
    ("patient=eve", "c1"),
    ("subject:Patient.given=eve", "c1 c2"),
    ("patient.given:exact=Eve", "c1"),
    ("subject=Practitioner/eve", ""),
]
URIS = [
    ("url=http://acme.org/fhir/ValueSet/123", "v1"),
    ("url=http://acme.org/fhir/ValueSet", ""),
    ("url:below=http://acme.org/fhir", "v1 v2"),
    ("url:above=http://acme.org/fhir/ValueSet/123/_history/5", "v1"),
    ("url=urn:oid:1.2.3.4.5", "v3"),
]
COMPOSITES = [
    (f"component-code-value-quantity={LOINC}|8480-6$lt60", "low twice"),
    ("component-code-value-quantity=8480-6$lt60||mmHg", "low twice"),
    (f"component-code-value-quantity=8480-6$lt8|{UCUM}|kPa", "low twice"),
    (f"component-code-value-quantity={LOINC}|8462-4$gt50", "crossed"),
    ("component-code-value-quantity=8462-4$gt50,8480-6$lt56", "crossed low"),
    (f"code-value-quantity={LOINC}|2823-3$gt5.4|{UCUM}|mmol/L", "potassium"),
    (f"combo-code-value-quantity={LOINC}|2823-3$gt5.4,8480-6$58", "potassium twice"),
]
NEAR = [
    ("near=42.360|-71.058|10|km", "boston cambridge"),
    ("near=42.360|-71.058|3", "boston"),
    ("near=42.360|-71.058", "boston cambridge"),
    ("near=42.360|-71.058|50|[mi_i]", "boston cambridge worcester"),
    ("near=42.360|-71.058|4400|m", "boston cambridge"),
    ("near=42.360|-71.058|0|m", "boston"),
    ("near=-17|180|12|km", "fiji samoa"),
    ("near=90|0|2|km", "otherpole pole"),
    ("near=0|0|20100|km", "boston cambridge fiji otherpole pole samoa worcester"),
]
CASES = [
    *(("Observation", *case) for case in DATES),
    *(("Encounter", *case) for case in PERIODS),
    *(("RiskAssessment", *case) for case in NUMBERS),
    *(("Observation", *case) for case in QUANTITIES),
    *(("Patient", *case) for case in STRINGS),
    *(("Condition", *case) for case in TOKENS),
    *(("Condition", *case) for case in REFERENCES),
    *(("ValueSet", *case) for case in URIS),
    *(("Observation", *case) for case in COMPOSITES),
    *(("Location", *case) for case in NEAR),
    (
        "DiagnosticReport",
        f"result.code-value-quantity={LOINC}|2823-3$gt5.4|{UCUM}|mmol/L",
        "report",
    ),
    ("Questionnaire", f"context-type-value=urn:usage|focus${SCT}|408934002", "q1"),
    ("Questionnaire", "context-type-value=venue$1", "q1"),
    ("MolecularSequence", "chromosome-variant-coordinate=1$lt2$gt45", "m1"),
    ("MolecularSequence", "chromosome-variant-coordinate=1$lt2$gt60", ""),
    ("MolecularSequence", "chromosome-window-coordinate=1$gt5$lt25", "m1"),
    ("DocumentReference", "relationship=replaces$DocumentReference/d2", "d1"),
    ("DocumentReference", "relationship=replaces$DocumentReference/d3", ""),
    ("Patient", "_has:Condition:patient:code=ha129", "eve evelyn"),
    ("Patient", "_has:Condition:patient:code=http://acme.org/conditions/codes|", "eve"),
]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, mongo_url: str) -> Iterator[ThreeWays]:
    with ThreeWays(tmp_path_factory.mktemp("three"), mongo_url) as made:
        yield made.holding(RESOURCES)


@pytest.mark.parametrize(("type_", "query", "expected"), CASES)
def test_the_specification_s_examples_find_what_it_says(
    stores: ThreeWays, type_: str, query: str, expected: str
) -> None:
    assert sorted(stores.found(type_, query)) == expected.split()


REFUSED = [
    ("RiskAssessment", "probability=1,x"),
    ("RiskAssessment", "probability=xx1"),
    ("RiskAssessment", "probability=NaN"),
    ("Observation", "date=2013-13-01"),
    ("Observation", "date=2013-01-14T10"),
    ("Observation", "date=zz2013"),
    ("Observation", "value-quantity=5|a|b|c"),
    ("Observation", "value-quantity=|a|b"),
    ("Observation", "component-code-value-quantity=8480-6"),
    ("Observation", "component-code-value-quantity=8480-6$5$6"),
    ("Observation", "component-code-value-quantity=$5"),
    ("Observation", "component-code-value-quantity=8480-6$x"),
    ("Location", "near=91|0"),
    ("Location", "near=10"),
    ("Location", "near=10|0|-1"),
    ("Location", "near=10|0|1|kg"),
    ("Location", "near=10|0|1|km|1"),
    ("Location", "_sort=near"),
    ("Condition", "code=a|b|c"),
]


@pytest.mark.parametrize(("type_", "query"), REFUSED)
def test_a_value_that_cannot_be_read_is_refused(stores: ThreeWays, type_: str, query: str) -> None:
    with pytest.raises(FhirError):
        stores.found(type_, query)
