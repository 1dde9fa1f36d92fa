"""People in roles at the real doors: rules on whose patients, Consents, labels, and the broken glass."""

import time

import pytest
from attacked import ALICE, BOB, DOCTOR, STUDIES, refused
from dicomweb import ROOT

REASON = "found unconscious in the ward"


@pytest.fixture(scope="module")
def person(world):
    """Give the token of someone in a role, with every scope of a user."""

    def of(role):
        scope = "user/*.cruds user/AuditEvent.rs"
        return world.token(scope, user=DOCTOR, sub=f"a {role}")

    return of


def study(who):
    return f"dicom-web/studies/{ROOT}.{STUDIES[who]}/metadata"


def test_a_referrer_sees_her_patients_by_every_door_and_no_other(world, person):
    held = person("referrer")
    for who, status in ((ALICE, 200), (BOB, 404)):
        for path in (f"fhir/Patient/{who}-1", f"fhir/Observation/{who}-1", study(who)):
            assert world.ask(held, "GET", path).status_code == status, path
    found = world.ask(held, "GET", "fhir/Observation?_count=100").text
    assert ALICE in found
    assert BOB not in found
    studies = world.ask(held, "GET", "dicom-web/studies").json()
    assert len(studies) == 1
    assert world.ask(held, "GET", f"fhir/Practitioner/{DOCTOR[13:]}").status_code == 200


def test_a_clerk_sees_no_findings(world, person):
    held = person("clerk")
    assert world.ask(held, "GET", f"fhir/Patient/{BOB}-1").status_code == 200
    for path in (
        f"fhir/Observation/{BOB}-1",
        "fhir/Observation",
        "fhir/DiagnosticReport",
        study(BOB),
    ):
        assert world.ask(held, "GET", path).status_code == 403, path
    included = world.ask(held, "GET", f"fhir/Patient?_id={BOB}-1&_revinclude=Observation:subject")
    assert "Observation/" not in included.text


def test_a_researcher_sees_what_is_de_identified(world, person):
    found = world.ask(person("researcher"), "GET", "fhir/Observation?_count=100")
    assert found.json()["total"] == 0


def test_the_trail_is_the_administrator_s(world, person):
    assert world.ask(person("administrator"), "GET", "fhir/AuditEvent").status_code == 200
    assert world.ask(person("radiologist"), "GET", "fhir/AuditEvent").status_code == 403


def test_a_consent_keeps_a_record_and_its_frames_from_the_doctor_it_names(world, person):
    held, path = person("radiologist"), f"fhir/Observation/{BOB}-1"
    assert world.ask(held, "GET", path).status_code == 200
    assert world.ask(held, "GET", study(BOB)).status_code == 200
    world.put(refused())
    time.sleep(1.2)
    try:
        assert world.ask(held, "GET", path).status_code == 404
        assert world.ask(held, "GET", study(BOB)).status_code == 404
        assert BOB not in world.ask(held, "GET", "dicom-web/studies").text
        found = world.ask(held, "GET", "fhir/Observation?_count=100&_include=Observation:subject")
        assert BOB not in found.text
        assert world.ask(held, "GET", f"fhir/Observation/{ALICE}-1").status_code == 200
        assert world.ask(person("administrator"), "GET", path).status_code == 404
        assert world.ask(world.operator, "GET", path).status_code == 200
        opened = world.ask(held, "GET", path, x_break_glass=REASON)
        assert opened.status_code == 200
        assert world.ask(held, "GET", study(BOB), x_break_glass=REASON).status_code == 200
        assert world.ask(held, "GET", path).status_code == 404
    finally:
        world.ask(world.operator, "DELETE", f"fhir/Consent/{BOB}-no")


def test_a_broken_glass_is_told_with_its_reason_and_raises_an_alert(world, person):
    held, path = person("radiologist"), f"fhir/Observation/{ALICE}-v"
    assert world.ask(held, "GET", path).status_code == 404
    assert world.ask(held, "GET", path, x_break_glass=REASON).status_code == 200
    assert world.ask(held, "GET", path, x_break_glass="because").status_code == 403
    assert world.ask(person("clerk"), "GET", path, x_break_glass=REASON).status_code == 403
    query = f"fhir/AuditEvent?entity=Observation/{ALICE}-v&_count=100"
    told, alerts = [], []
    for _ in range(75):
        entries = world.ask(world.operator, "GET", query).json().get("entry", [])
        told = [e for e in entries if "purposeOfEvent" in e["resource"]]
        alerts = world.ask(world.operator, "GET", "fhir/Flag?subject=" + DOCTOR).json()
        if told and alerts["total"]:
            break
        time.sleep(0.2)
    assert told[0]["resource"]["purposeOfEvent"][0]["text"] == REASON
    assert alerts["total"] >= 1
