"""Every ADT A01, A04, A08 and ORM O01 message of the corpus becomes valid R4 with the facts it tells."""

import gzip
import json

import hl7
import pytest

from conformance.validate import Validator
from fhir_server.hl7v2 import message, translation
from fhir_server.hl7v2.refusal import UnsupportedEvent, UnsupportedMessage
from fhir_server.hl7v2.sender import Sender
from resources import definitions

MAPPED = ("ADT_A01", "ADT_A04", "ADT_A08", "ORM_O01")


@pytest.fixture(scope="module")
def messages(corpus):
    """Give every message of the corpus by its path below hl7v2."""
    folder = corpus / "hl7v2"
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.hl7"))}
    assert found
    return found


@pytest.fixture(scope="module")
def mapped(messages):
    found = {n: raw for n, raw in messages.items() if any(kind in n for kind in MAPPED)}
    assert len(found) >= len(MAPPED)
    return found


@pytest.fixture(scope="module")
def validator():
    return Validator(definitions.load())


def by_type(raw, type_, **settings):
    entries = translation.translate(raw, Sender(**settings), 0).bundle["entry"]
    return [e["resource"] for e in entries if e["resource"]["resourceType"] == type_]


def expected(corpus, name, type_):
    path = corpus / "hl7v2" / name.replace(".hl7", "-expected.json.gz")
    if not path.exists():
        return []
    bundle = json.loads(gzip.decompress(path.read_bytes()))
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == type_]


def test_every_message_is_read_as_the_hl7_package_splits_it(messages):
    for name, raw in messages.items():
        ours = message.parse(raw)
        theirs = hl7.parse(ours.text)
        assert [s.name for s in ours] == [str(s[0]) for s in theirs], name
        for mine, other in zip(ours, theirs, strict=True):
            texts = [str(field) for field in other]
            assert mine.fields == texts, name


def test_every_mapped_message_becomes_valid_resources(mapped, validator):
    for name, raw in mapped.items():
        for settings in ({}, {"zone": "Europe/Paris"}):
            bundle = translation.translate(raw, Sender(**settings), 0).bundle
            for entry in bundle["entry"]:
                issues = validator.check(entry["resource"])
                errors = [i for i in issues if i.severity in {"error", "fatal"}]
                assert errors == [], (name, entry["resource"]["resourceType"])


def test_the_validator_would_have_told(validator):
    wrong = {"resourceType": "Patient", "birthDate": "1979-13-28", "gender": "Q"}
    assert any(issue.severity == "error" for issue in validator.check(wrong))


def test_every_other_message_is_refused_for_its_type(messages, mapped):
    for name, raw in messages.items():
        if name not in mapped:
            with pytest.raises((UnsupportedEvent, UnsupportedMessage)):
                translation.translate(raw)


def test_patients_have_the_identifiers_names_birth_date_and_gender_of_the_expected_bundles(
    corpus, mapped
):
    compared = 0
    for name, raw in mapped.items():
        for other in expected(corpus, name, "Patient"):
            (ours,) = by_type(raw, "Patient")
            compared += 1
            values = {each["value"] for each in ours["identifier"]}
            theirs = {each["value"] for each in other["identifier"] if "value" in each}
            assert values <= theirs, name
            assert ours["birthDate"] == other["birthDate"][:10]
            assert ours["gender"] == other["gender"]
            families = [n.get("family") for n in other["name"]]
            assert ours["name"][0]["family"] in families, name
    assert compared >= 5


def test_orders_have_the_numbers_that_the_message_tells(mapped):
    for name, raw in mapped.items():
        if "ORM_O01" not in name:
            continue
        found = message.parse(raw)
        requests = by_type(raw, "ServiceRequest")
        assert len(requests) == len(found.all("ORC")), name
        for orc, request in zip(found.all("ORC"), requests, strict=True):
            kinds = {i["type"]["coding"][0]["code"]: i["value"] for i in request["identifier"]}
            assert kinds["PLAC"] == orc.value("2"), name
            assert kinds.get("FILL", "") == orc.value("3"), name


def test_the_french_order_is_read_with_its_accents_and_its_senders_zone(mapped):
    (raw,) = [raw for name, raw in mapped.items() if "ans-teleradiology" in name]
    (request,) = by_type(raw, "ServiceRequest", zone="Europe/Paris")
    assert request["identifier"][0]["system"] == "urn:oid:1.2.250.1.748.12345678.12"
    assert request["identifier"][0]["value"] == "OPN101"
    assert request["authoredOn"] == "2026-01-06T13:44:18+01:00"
    assert request["code"]["text"].startswith("Transmission d’une demande")
    assert request["note"][0]["text"] == "Commentaire sur la finalité de l'examen"
    (patient,) = by_type(raw, "Patient")
    assert patient["identifier"][0]["system"] == "urn:oid:1.2.250.1.213.1.4.10"
    (plain,) = by_type(raw, "ServiceRequest")
    assert plain["authoredOn"] == "2026-01-06"


def test_segments_that_no_map_reads_are_all_told(mapped):
    for name, raw in mapped.items():
        done = translation.translate(raw, Sender(), 0)
        told = {gap.segment for gap in done.coverage.gaps}
        read = {"MSH", "EVN", "PID", "PV1", "ORC", "OBR", "TQ1", "ZDS", "NTE", "DG1"}
        assert {s.name for s in message.parse(raw)} - read <= told, name
