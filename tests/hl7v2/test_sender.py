"""Senders: who is meant, and which system an assigning authority's identifiers have."""

import pytest

from fhir_server.hl7v2 import sender as sender_
from fhir_server.hl7v2.sender import Assigner, Sender, Senders, SendersError


@pytest.mark.parametrize(
    ("assigner", "system"),
    [
        (Assigner("HOSP"), "urn:hounsfield:assigner:HOSP"),
        (Assigner("A B:C"), "urn:hounsfield:assigner:A%20B%3AC"),
        (Assigner("HOSP", "1.2.250.1", "ISO"), "urn:oid:1.2.250.1"),
        (Assigner("", "1.2.250.1"), "urn:oid:1.2.250.1"),
        (Assigner("X", "not an oid", "ISO"), "urn:hounsfield:assigner:X"),
        (Assigner("X", "000897406", "M"), "urn:hounsfield:assigner:X"),
        (
            Assigner("", "426D2726-51fc-89fe-a946-8596e80a80eb", "GUID"),
            "urn:uuid:426d2726-51fc-89fe-a946-8596e80a80eb",
        ),
        (Assigner("", "no-uuid", "UUID"), "urn:hounsfield:assigner:no-uuid"),
        (Assigner("", "https://ids.example.org/mrn", "URI"), "https://ids.example.org/mrn"),
        (Assigner("USSSA"), "http://hl7.org/fhir/sid/us-ssn"),
        (Assigner("NPI", "2.16.840.1.113883.4.6", "ISO"), "http://hl7.org/fhir/sid/us-npi"),
    ],
)
def test_the_system_of_an_assigner(assigner, system):
    assert Sender().system(assigner) == system


def test_configured_systems_win_by_universal_id_then_by_namespace():
    sender = Sender(assigners={"HOSP": "urn:one", "1.2.3": "urn:two"})
    assert sender.system(Assigner("HOSP")) == "urn:one"
    assert sender.system(Assigner("HOSP", "1.2.3", "ISO")) == "urn:two"


def test_the_most_specific_sender_is_found():
    exact = Sender(application="ADT", facility="HOSP")
    facility = Sender(facility="HOSP")
    other = Sender(application="RIS")
    senders = Senders((facility, other, exact), None)
    assert senders.find("ADT", "HOSP") is exact
    assert senders.find("LAB", "HOSP") is facility
    assert senders.find("RIS", "CITY") is other
    assert senders.find("LAB", "CITY") is None
    assert Senders((exact,)).find("LAB", "CITY") == Sender()


def test_senders_are_configured_in_toml():
    text = b"""
        [default]
        assigner = "CITY"
        [[known]]
        application = "ADT"
        zone = "Europe/Paris"
        assigners = { A = "urn:a" }
        [[known]]
        application = "RIS"
        accession = "filler"
    """
    senders = sender_.configured(text, "America/Chicago")
    assert [each.zone for each in senders.known] == ["Europe/Paris", "America/Chicago"]
    assert senders.known[0].system(Assigner("A")) == "urn:a"
    assert (senders.default.assigner, senders.default.zone) == ("CITY", "America/Chicago")
    assert sender_.configured(b"default = false").default is None
    assert sender_.configured(b"").default == Sender()


@pytest.mark.parametrize(
    "text",
    [
        b"[[known]]\nzone = 'Mars/Olympus'",
        b"[[known]]\nno_such_setting = 1",
        b"[[known]]\naccession = 'OBR-99'",
        b"[[",
        b"\xff",
    ],
)
def test_a_wrong_configuration_is_told(text):
    with pytest.raises(SendersError, match="cannot be read"):
        sender_.configured(text)
