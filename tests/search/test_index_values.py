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


def test_a_number_keeps_the_precision_it_was_written_with():
    (found,) = values("ChargeItem", factorOverride=D("0.80")).numbers
    assert found == NumberValue("ChargeItem.factorOverride", D("0.80"), D("0.795"), D("0.805"))


def test_a_probability_range_is_found_by_each_end():
    prediction = [{"probabilityRange": {"low": {"value": 10}, "high": {"value": 20}}}]
    assert [n.value for n in values("RiskAssessment", prediction=prediction).numbers] == [10, 20]


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
        QuantityValue(atom, *pair, D("5.4"), D("5.35"), D("5.45")) for pair in wanted
    ]


def test_money_has_its_currency_and_an_age_range_both_ends():
    (found,) = values("Invoice", totalGross={"value": 5, "currency": "EUR"}).quantities
    assert (found.system, found.code, found.value) == ("urn:iso:std:iso:4217", "EUR", 5)
    ages = {"low": {"value": 1, "unit": "a"}, "high": {"value": 2, "unit": "a"}}
    found = values("Condition", onsetRange=ages).quantities
    assert [(q.atom, q.value) for q in found] == [
        ("Condition.onset.ofType(Range)", 1),
        ("Condition.onset.ofType(Range)", 2),
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
    assert found == [ReferenceValue(atom, *one) for one in wanted]


def test_a_canonical_is_found_with_and_without_its_version():
    found = values("QuestionnaireResponse", questionnaire="http://x.example/q|2").references
    assert [r.url for r in found] == ["http://x.example/q|2", "http://x.example/q"]


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


def test_values_are_distinct():
    coding = {"system": "urn:a", "code": "1"}
    found = values(
        "Observation", code={"coding": [coding, coding]}, category=[{"coding": [coding]}]
    )
    assert [t.atom for t in found.tokens] == ["Observation.code", "Observation.category"]


def test_nothing_gives_no_values():
    assert PARAMETERS.values({"resourceType": "Observation"}) == no_values()
