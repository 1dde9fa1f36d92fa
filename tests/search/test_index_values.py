"""What resources can be found by: the specification's traps as tables (FHIR R4 search.html#ptypes)."""

from decimal import Decimal
from itertools import chain

import pytest

from fhir_server.search.parameters import SearchParameters
from fhir_server.search.values import (
    MAX_INSTANT,
    MIN_INSTANT,
    DateValue,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    TextValue,
    TokenValue,
    UriValue,
    no_values,
)
from resources import model
from resources.datatypes import interval
from resources.definitions import load

PARAMETERS = SearchParameters(load())
UCUM = "http://unitsofmeasure.org"
D = Decimal


def values(type_, **elements):
    return PARAMETERS.values({"resourceType": type_, **elements})


def everything(found):
    return list(
        chain(
            found.tokens,
            found.texts,
            found.dates,
            found.numbers,
            found.quantities,
            found.references,
            found.uris,
        )
    )


TOKENS = [
    (
        "Patient",
        {"gender": "male"},
        "gender",
        [("http://hl7.org/fhir/administrative-gender", "male")],
    ),
    ("Patient", {"gender": "unheard-of"}, "gender", [("", "unheard-of")]),
    ("Patient", {"active": True}, "active", [("http://hl7.org/fhir/special-values", "true")]),
    ("Patient", {"active": "true"}, "active", []),
    (
        "Patient",
        {"identifier": [{"system": "urn:a", "value": "1"}]},
        "identifier",
        [("urn:a", "1")],
    ),
    ("Patient", {"identifier": [{"value": "1"}]}, "identifier", [("", "1")]),
    ("Patient", {"identifier": [{"system": "urn:a"}]}, "identifier", []),
    (
        "Patient",
        {
            "telecom": [
                {"system": "phone", "use": "home", "value": "1"},
                {"system": "fax", "value": "2"},
            ]
        },
        "telecom",
        [("home", "1"), ("", "2")],
    ),
    (
        "Patient",
        {"telecom": [{"system": "phone", "value": "1"}, {"system": "fax", "value": "2"}]},
        "telecom.where(system = 'phone')",
        [("", "1")],
    ),
    (
        "Observation",
        {"code": {"coding": [{"system": "urn:a", "code": "1"}, {"code": "2"}], "text": "no code"}},
        "code",
        [("urn:a", "1"), ("", "2")],
    ),
    (
        "ImagingStudy",
        {"series": [{"modality": {"system": "urn:dcm", "code": "CT"}}] * 3},
        "series.modality",
        [("urn:dcm", "CT")],
    ),
    ("ImagingStudy", {"series": [{"uid": "1.2.3"}]}, "series.uid", [("", "1.2.3")]),
    (
        "Patient",
        {"deceasedDateTime": "2024"},
        "deceased.exists() and (Patient.deceased != false)",
        [("http://hl7.org/fhir/special-values", "true")],
    ),
    (
        "Patient",
        {"deceasedBoolean": False},
        "deceased.exists() and (Patient.deceased != false)",
        [("http://hl7.org/fhir/special-values", "false")],
    ),
    (
        "Patient",
        {},
        "deceased.exists() and (Patient.deceased != false)",
        [("http://hl7.org/fhir/special-values", "false")],
    ),
    (
        "Observation",
        {"subject": {"identifier": {"system": "urn:mrn", "value": "7"}}},
        "subject.identifier",
        [("urn:mrn", "7")],
    ),
]


@pytest.mark.parametrize(("type_", "elements", "path", "wanted"), TOKENS)
def test_tokens_are_codes_with_their_systems(type_, elements, path, wanted):
    atom = f"{type_}.{path}"
    found = [t for t in values(type_, **elements).tokens if t.atom == atom]
    assert found == [TokenValue(atom, *pair) for pair in wanted]


def test_a_name_is_found_by_each_of_its_parts():
    name = {"text": "Dr. Zoë  Ng", "family": "Ng", "given": ["Zoë", None], "prefix": ["Dr."]}
    found = values("Patient", name=[name]).texts
    parts = [("dr. zoe ng", "Dr. Zoë  Ng"), ("ng", "Ng"), ("zoe", "Zoë"), ("dr.", "Dr.")]
    assert found == [
        *(TextValue("Patient.name", *part) for part in parts),
        TextValue("Patient.name.family", "ng", "Ng"),
        TextValue("Patient.name.given", "zoe", "Zoë"),
    ]


def test_an_address_is_found_by_each_of_its_parts_but_not_by_its_use():
    address = {
        "use": "home",
        "line": ["1 High St"],
        "city": "Ely",
        "postalCode": "CB7",
        "country": "UK",
    }
    found = values("Patient", address=[address])
    whole = [t.exact for t in found.texts if t.atom == "Patient.address"]
    assert whole == ["1 High St", "Ely", "CB7", "UK"]
    assert [t.code for t in found.tokens if t.atom == "Patient.address.use"] == ["home"]


@pytest.mark.parametrize(
    ("elements", "low", "high"),
    [
        ({"effectiveDateTime": "2024"}, *interval("2024")),
        ({"effectiveDateTime": "2024-05-01T10:00:00+02:00"}, *interval("2024-05-01T08:00:00Z")),
        ({"effectiveInstant": "2024-05-01T10:00:00.5Z"}, *interval("2024-05-01T10:00:00.5Z")),
        ({"effectivePeriod": {"start": "2024"}}, interval("2024")[0], MAX_INSTANT),
        ({"effectivePeriod": {"end": "2024"}}, MIN_INSTANT, interval("2024")[1]),
        (
            {"effectiveTiming": {"event": ["2024-05-03", "2024-05-01"]}},
            interval("2024-05-01")[0],
            interval("2024-05-03")[1],
        ),
    ],
)
def test_a_date_is_an_interval_and_the_clinical_date_its_low_end(elements, low, high):
    found = values("Observation", **elements)
    assert found.dates == [DateValue("Observation.effective", low, high)]
    assert found.clinical == low


def test_no_clinical_date_is_zero():
    assert values("Observation", issued="2024-05-01T10:00:00Z").clinical == 0


@pytest.mark.parametrize("digits", ["1E5", "1e2", "0.00000001", "100.0"])
def test_a_decimal_is_indexed_however_it_is_written(digits):
    [value] = model.parse_json(f"[{digits}]".encode())
    [found] = values("Observation", valueQuantity={"value": value}).quantities
    assert (found.low, found.high, type(found.low)) == (D(digits), D(digits), D)


def test_a_number_is_an_interval_of_one_point():
    (found,) = values("ChargeItem", factorOverride=D("0.80")).numbers
    assert found == NumberValue("ChargeItem.factorOverride", D("0.80"), D("0.80"))


RANGES = [
    ({"low": {"value": 10}, "high": {"value": 20}}, [(10, 20)]),
    ({"low": {"value": 10}}, [(10, D("Infinity"))]),
    ({"high": {"value": 20}}, [(D("-Infinity"), 20)]),
    ({"low": {"value": 20}, "high": {"value": 10}}, []),
    ({"low": {"unit": "%"}}, []),
]


@pytest.mark.parametrize(("given", "wanted"), RANGES)
def test_a_range_is_an_interval_from_end_to_end(given, wanted):
    found = values("RiskAssessment", prediction=[{"probabilityRange": given}]).numbers
    assert [(n.low, n.high) for n in found] == wanted


QUANTITIES = [
    (
        {"value": D("5.4"), "unit": "milligram", "system": UCUM, "code": "mg"},
        [(UCUM, "mg"), ("", "milligram")],
    ),
    ({"value": D("5.4"), "unit": "mg", "system": UCUM, "code": "mg"}, [(UCUM, "mg")]),
    ({"value": D("5.4"), "unit": "mg"}, [("", "mg")]),
    ({"value": D("5.4")}, [("", "")]),
    ({"unit": "mg"}, []),
    ({"value": D("1e999999")}, []),
]


@pytest.mark.parametrize(("quantity", "wanted"), QUANTITIES)
def test_a_quantity_is_found_by_its_code_or_its_unit(quantity, wanted):
    atom = "Observation.value.ofType(Quantity)"
    assert values("Observation", valueQuantity=quantity).quantities == [
        QuantityValue(atom, *pair, D("5.4"), D("5.4")) for pair in wanted
    ]


def based(value, code, **more):
    given = {"value": D(value), "system": UCUM, "code": code, **more}
    return [
        (n.atom.rpartition(".ucum")[2], n.low, n.high)
        for n in values("Observation", valueQuantity=given).numbers
    ]


def test_a_quantity_with_a_ucum_code_has_a_number_in_base_units():
    assert based("5.4", "mg") == [("(g)", D("0.0054"), D("0.0054"))]
    assert based("5.4", "mg") == based("5400", "ug") == based("0.0000054", "kg")
    assert based("37", "Cel") == based("310.15", "K") == [("(K)", D("310.15"), D("310.15"))]
    assert based("1", "[in_i]") == based("2.54", "cm")
    assert based("90", "mm[Hg]")[0][0] == based("12", "kPa")[0][0] == "(g.m-1.s-2)"
    assert based("7", "not a unit") == []


def test_a_third_is_the_same_number_however_it_is_written():
    assert based("98.6", "[degF]") == based("37.0", "Cel")
    assert based("1", "m/h") == based("100", "cm/h")


def test_a_comparator_opens_the_interval():
    assert based("5", "g", comparator="<") == [("(g)", D("-Infinity"), 5)]
    assert based("5", "g", comparator=">=") == [("(g)", 5, D("Infinity"))]
    (found,) = values(
        "Observation", valueQuantity={"value": D("0.1"), "unit": "mg", "comparator": "<="}
    ).quantities
    assert (found.low, found.high) == (D("-Infinity"), D("0.1"))


def test_money_has_its_currency_and_an_age_range_its_unit():
    (found,) = values("Invoice", totalGross={"value": 5, "currency": "EUR"}).quantities
    assert (found.system, found.code, found.low) == ("urn:iso:std:iso:4217", "EUR", 5)
    ages = {"low": {"value": 1, "unit": "a"}, "high": {"value": 2, "unit": "a"}}
    found = values("Condition", onsetRange=ages).quantities
    assert [(q.atom, q.code, q.low, q.high) for q in found] == [
        ("Condition.onset.ofType(Range)", "a", 1, 2),
    ]


REFERENCES = [
    ({"reference": "Patient/1"}, [("Patient", "1", "")]),
    ({"reference": "Patient/1/_history/2"}, [("Patient", "1", "")]),
    (
        {"reference": "http://x.example/fhir/Patient/1"},
        [("", "", "http://x.example/fhir/Patient/1")],
    ),
    (
        {"reference": "http://x.example/fhir/Patient/1/_history/2"},
        [("", "", "http://x.example/fhir/Patient/1")],
    ),
    ({"reference": "urn:uuid:1"}, [("", "", "urn:uuid:1")]),
    ({"reference": "#contained"}, []),
    ({"reference": "Patient?identifier=1"}, []),
    ({"reference": "Nothing/1"}, [("", "", "Nothing/1")]),
    ({"display": "someone"}, []),
]


@pytest.mark.parametrize(("reference", "wanted"), REFERENCES)
def test_a_reference_is_found_by_what_it_says(reference, wanted):
    atom = "Observation.subject"
    found = values("Observation", subject=reference).references
    assert [r for r in found if r.atom == atom] == [ReferenceValue(atom, *one) for one in wanted]


def test_a_canonical_is_found_with_and_without_its_version():
    found = values("QuestionnaireResponse", questionnaire="http://x.example/q|2").references
    assert [r.url for r in found if ":" not in r.atom] == [
        "http://x.example/q|2",
        "http://x.example/q",
    ]


def test_the_first_resource_of_a_document_is_found_by_type_and_id():
    entry = [{"resource": {"resourceType": "Composition", "id": "c"}}, {"resource": {"id": "x"}}]
    found = values("Bundle", entry=entry).references
    assert found == [ReferenceValue("Bundle.entry[0].resource", "Composition", "c", "")]


def test_a_uri_is_found_as_written():
    found = values("ValueSet", url="http://x.example/V").uris
    assert found == [UriValue("ValueSet.url", "http://x.example/V")]


def test_an_extension_is_found_by_its_value():
    url = "http://hl7.org/fhir/StructureDefinition/observation-geneticsGene"
    gene = {"url": url, "valueCodeableConcept": {"coding": [{"code": "BRCA"}]}}
    (found,) = values("Observation", extension=[gene, {"url": "urn:x", "valueCode": "no"}]).tokens
    assert (found.atom, found.code) == (f"Observation.extension('{url}').value", "BRCA")


def test_contained_resources_are_not_what_a_resource_is_found_by():
    held = {"resourceType": "Patient", "id": "p", "name": [{"family": "Ng"}], "active": True}
    assert everything(values("Observation", contained=[held])) == []


def test_a_place_is_three_whole_numbers_and_nothing_outside_the_globe():
    (found,) = values("Location", position={"latitude": D(90), "longitude": D("11.5")}).positions
    assert (found.atom, found.z) == ("Location.position", 637_100_880)
    assert abs(found.x) <= 1
    assert abs(found.y) <= 1
    assert values("Location", position={"latitude": D(91), "longitude": D(0)}).positions == []
    assert values("Location", position={"latitude": D(1)}).positions == []


def test_each_repetition_of_an_element_has_its_values_apart():
    def component(code, value):
        return {
            "code": {"coding": [{"system": "urn:a", "code": code}]},
            "valueQuantity": {"value": value, "unit": "x"},
        }

    found = values("Observation", component=[component("1", 10), component("2", 20)])
    assert [
        (e.atom, [t.code for t in e.values.tokens], [q.low for q in e.values.quantities])
        for e in found.elements
    ] == [("Observation.component", ["1"], [10]), ("Observation.component", ["2"], [20])]
    assert {t.atom for e in found.elements for t in e.values.tokens} <= {
        t.atom for t in found.tokens
    }


def test_values_are_distinct():
    coding = {"system": "urn:a", "code": "1"}
    found = values(
        "Observation", code={"coding": [coding, coding]}, category=[{"coding": [coding]}]
    )
    assert [t.atom for t in found.tokens] == ["Observation.code", "Observation.category"]


def test_nothing_gives_no_values():
    assert PARAMETERS.values({"resourceType": "Observation"}) == no_values()
