"""v2 data types as FHIR data types."""

import pytest

from fhir_server.hl7v2 import datatypes, identifiers
from fhir_server.hl7v2.sender import Sender
from fhir_server.hl7v2.times import Zone

ZONE = Zone()
SENDER = Sender()


def test_a_name_keeps_its_parts(field):
    name = datatypes.xpn(field("DOE&van&OWN^JANE^Q^III^DR^PHD^L^^^^^20200101^20210101"), ZONE)
    assert name == {
        "family": "DOE",
        "_family": {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/humanname-own-prefix",
                    "valueString": "van",
                },
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/humanname-own-name",
                    "valueString": "OWN",
                },
            ]
        },
        "given": ["JANE", "Q"],
        "prefix": ["DR"],
        "suffix": ["III", "PHD"],
        "use": "official",
        "period": {"start": "2020-01-01", "end": "2021-01-01"},
    }
    assert datatypes.xpn(field("^^^^^^L"), ZONE) is None


def test_an_address_keeps_its_parts(field):
    address = datatypes.xad(field("1&Main St^Apt 2^Paris^IDF^75007^FRA^M^^County"), ZONE)
    assert address == {
        "line": ["1", "Main St", "Apt 2"],
        "city": "Paris",
        "district": "County",
        "state": "IDF",
        "postalCode": "75007",
        "country": "FRA",
        "type": "postal",
    }
    assert datatypes.xad(field("^^^^^^H"), ZONE) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("8885551212", ("phone", "8885551212", "home")),
        ("^WPN^PH^^^^^^^^^(608)271-9001", ("phone", "(608)271-9001", "work")),
        ("^PRN^CP^^33^6^1234", ("phone", "+33 6 1234", "mobile")),
        ("^^PH^^1^608^2719001^12", ("phone", "+1 608 2719001 X12", "home")),
        ("^NET^Internet^a@example.org", ("email", "a@example.org", "home")),
        ("^^^a@example.org", ("email", "a@example.org", "home")),
        ("123^^FX", ("fax", "123", "home")),
        ("123^^BP", ("pager", "123", "home")),
    ],
)
def test_contact_points(field, value, expected):
    found = datatypes.xtn(field(value), "home")
    assert (found["system"], found["value"], found.get("use")) == expected


def test_a_contact_point_without_value_is_none(field):
    assert datatypes.xtn(field("^PRN^PH"), "home") is None


def test_codes_keep_system_version_display_and_text(field):
    concept = datatypes.cwe(field("1234-5^Scan^LN^CT1^CT^99RIS^2.7^1^What was said"), SENDER)
    assert concept == {
        "coding": [
            {"system": "http://loinc.org", "version": "2.7", "code": "1234-5", "display": "Scan"},
            {
                "system": "urn:hounsfield:code-system:99RIS",
                "version": "1",
                "code": "CT1",
                "display": "CT",
            },
        ],
        "text": "What was said",
    }


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("SCT", "http://snomed.info/sct"),
        ("I10", "http://hl7.org/fhir/sid/icd-10"),
        ("HL70005", "http://terminology.hl7.org/CodeSystem/v2-0005"),
        ("1.2.840.10008.2.16.4", "urn:oid:1.2.840.10008.2.16.4"),
        ("L", None),
        ("", None),
        ("HL7ABC", "urn:hounsfield:code-system:HL7ABC"),
    ],
)
def test_coding_systems(field, name, system):
    assert datatypes.cwe(field(f"X^Y^{name}"), SENDER)["coding"][0].get("system") == system


def test_configured_coding_systems_win(field):
    sender = Sender(code_systems={"99RIS": "https://ris.example.org/codes"})
    assert datatypes.cwe(field("X^Y^99RIS"), sender)["coding"][0]["system"].startswith(
        "https://ris"
    )


def test_what_fhir_codes_cannot_hold_becomes_text(field):
    assert datatypes.cwe(field("two  spaces"), SENDER) == {"text": "two  spaces"}
    assert datatypes.cwe(field("^only text"), SENDER) == {"text": "only text"}
    assert datatypes.cwe(field("^^LN"), SENDER) is None


def test_an_identifier_keeps_type_assigner_check_digit_and_period(field):
    found = identifiers.cx(field("12^3^M11^HOSP&1.2.3&ISO^MR^^20200101"), SENDER, "urn:x", ZONE)
    assert found == {
        "type": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]
        },
        "system": "urn:oid:1.2.3",
        "value": "12",
        "assigner": {"display": "HOSP"},
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/identifier-checkDigit",
                "valueString": "3",
            }
        ],
        "period": {"start": "2020-01-01"},
    }
    assert identifiers.cx(field("^^^HOSP"), SENDER, "urn:x", ZONE) is None


def test_the_assigning_facility_counts_where_there_is_no_authority(field):
    assert identifiers.cx(field("1^^^^^CITY"), SENDER, "urn:x", ZONE)["system"].endswith(":CITY")


def test_a_place_is_a_logical_reference(field):
    assert datatypes.place(field("WARD^12^B^HOSP^^^MAIN^3"), SENDER) == {
        "type": "Location",
        "identifier": {"system": "urn:hounsfield:assigner:HOSP", "value": "MAIN^3^WARD^12^B"},
        "display": "MAIN, 3, WARD, 12, B",
    }
    assert datatypes.place(field("^^^HOSP"), SENDER) == {"type": "Location", "display": "HOSP"}
    assert datatypes.place(field("^^^^^N"), SENDER) is None


def test_an_organization_is_a_logical_reference(field):
    found = identifiers.organization(
        field("City^L^^^^NPI&2.16.840.1.113883.4.6&ISO^NPI^^^77"), SENDER
    )
    assert found["display"] == "City"
    assert found["identifier"]["system"] == "http://hl7.org/fhir/sid/us-npi"
    assert found["identifier"]["value"] == "77"
    assert identifiers.organization(field("^L"), SENDER) is None
