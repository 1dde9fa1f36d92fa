"""FHIR values are told in words that lose nothing that matters."""

from decimal import Decimal

import pytest

from fhir_server.pages import words


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("2026", "2026"),
        ("2026-03", "March 2026"),
        ("2026-03-04", "4 March 2026"),
        ("2026-03-04T09:41:07+01:00", "4 March 2026, 09:41:07 UTC+01:00"),
        ("2026-03-04T09:41:00.000Z", "4 March 2026, 09:41 UTC"),
        ("2026-03-04T09:41:00-05:00", "4 March 2026, 09:41 UTC\u221205:00"),
        ("2026-13-04", "2026-13-04"),
        ("not a date", "not a date"),
    ],
)
def test_a_moment_keeps_its_precision_and_its_zone(value, told):
    assert words.moment(value) == told


def test_a_list_shows_a_moment_up_to_the_minute():
    assert words.minute("2026-03-04T09:41:07+01:00") == "4 March 2026, 09:41"
    assert words.minute("2026-03") == "March 2026"


def test_a_quantity_keeps_its_digits():
    assert words.quantity({"value": Decimal("1.10"), "unit": "cm³"}) == "1.10\u00a0cm³"
    assert words.quantity({"value": Decimal(-837), "code": "[hnsf'U]"}) == "\u2212837\u00a0[hnsf'U]"


def test_a_quantity_of_dimension_one_has_no_unit_and_a_comparator_is_told():
    assert words.quantity({"comparator": "<", "value": 3, "unit": "1"}) == "<3"


def test_a_concept_is_told_by_its_text_then_its_display_then_its_code():
    loinc = {"system": "http://loinc.org", "code": "24627-2", "display": "CT Chest"}
    assert words.concept({"text": "CT of the chest", "coding": [loinc]}) == "CT of the chest"
    assert words.concept({"coding": [loinc]}) == "CT Chest"
    assert words.concept({"coding": [{"code": "x"}]}) == "x"
    assert words.concept({}) == ""
    assert words.codes({"coding": [loinc]}) == "LOINC 24627-2"


def test_a_modality_is_told_by_its_name():
    dicom = "http://dicom.nema.org/resources/ontology/DCM"
    assert words.coding({"system": dicom, "code": "MR"}) == "Magnetic resonance"
    assert words.coding({"system": dicom, "code": "ZZ"}) == "ZZ"


def test_a_code_that_is_the_words_is_not_told_twice():
    uid = {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.3"}
    assert (words.coding(uid), words.origin(uid)) == ("1.2.3", "URI")


def test_an_identifier_is_told_without_its_prefix_and_with_its_kind():
    accession = {"type": {"coding": [{"code": "ACSN"}]}, "value": "A7"}
    assert words.identifier_type(accession) == "Accession number"
    assert words.identifier({"value": "urn:oid:1.2.3"}) == "1.2.3"


def test_the_official_name_goes_before_a_maiden_name():
    names = [
        {"use": "maiden", "family": "Old"},
        {"use": "official", "prefix": ["Dr"], "given": ["Ada", "B"], "family": "Okafor"},
    ]
    assert words.usual_name(names) == "Dr Ada B Okafor"
    assert words.usual_name([]) == ""


def test_periods_say_which_ends_they_have():
    assert words.period({"start": "2026-01", "end": "2026-02"}) == "January 2026 to February 2026"
    assert words.period({"start": "2026-01"}) == "from January 2026"
    assert words.period({"end": "2026-01"}) == "until January 2026"
    assert words.period({}) == ""


@pytest.mark.parametrize(
    ("name", "label"),
    [("basedOn", "Based on"), ("uid", "UID"), ("sopClass", "SOP class"), ("id", "ID")],
)
def test_element_names_are_words(name, label):
    assert words.label(name) == label


def test_counts_have_their_plural():
    assert words.counted(1, "image") == "1 image"
    assert words.counted(0, "image") == "0 images"
    assert words.counted(2, "is", "are") == "2 are"
