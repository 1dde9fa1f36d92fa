"""Roles: named sets of grants that a person's token stays within, attribute rules, breaking the glass."""

import pytest

from fhir_server.access import LETTERS, Access, Grant
from fhir_server.store.memory import MemoryStore
from resources.outcome import Forbidden
from smart_auth import roles
from smart_auth.records import Records
from smart_auth.users import Subject

EVERYTHING = Access("s1", (Grant("*", frozenset(LETTERS)),), fhir_user="Practitioner/7")
KNOWN = roles.load()


def test_the_six_roles_come_along():
    assert set(KNOWN) == {
        *("radiologist", "technologist", "referrer", "clerk", "administrator", "researcher")
    }


@pytest.mark.parametrize(
    ("role", "type_", "letter", "may"),
    [
        ("radiologist", "Observation", "r", True),
        ("radiologist", "DiagnosticReport", "c", True),
        ("radiologist", "Patient", "d", False),
        ("radiologist", "AuditEvent", "r", False),
        ("technologist", "ImagingStudy", "u", True),
        ("technologist", "DiagnosticReport", "c", False),
        ("clerk", "Observation", "r", False),
        ("clerk", "DiagnosticReport", "s", False),
        ("clerk", "Appointment", "c", True),
        ("administrator", "AuditEvent", "r", True),
        ("administrator", "Patient", "d", True),
        ("referrer", "Observation", "c", False),
        ("researcher", "Patient", "u", False),
    ],
)
def test_a_token_stays_within_its_role(role, type_, letter, may):
    limited = KNOWN[role].limit(EVERYTHING)
    assert bool(limited.grants_for(type_, letter)) is may


def test_a_role_gives_nothing_that_the_scopes_do_not():
    narrow = Access("s1", (Grant("Patient", frozenset("r")),))
    limited = KNOWN["administrator"].limit(narrow)
    assert not limited.grants_for("Observation", "r")
    assert limited.granted("Patient", "r")


def test_attribute_rules_name_the_person():
    limited = KNOWN["referrer"].limit(EVERYTHING)
    (rule,) = {grant.whose for grant in limited.within}
    assert rule == (("_has:ServiceRequest:patient:requester", "Practitioner/7"),)
    assert not limited.granted("Patient", "r")
    nobody = KNOWN["referrer"].limit(Access("s1", EVERYTHING.grants))
    assert nobody.within[0].whose == (("_has:ServiceRequest:patient:requester", "-/-"),)


def test_a_broken_glass_lifts_the_patients_and_the_clearance_and_keeps_the_reason():
    opened = KNOWN["referrer"].opened(EVERYTHING, "found unconscious")
    assert opened.granted("Patient", "r")
    assert not opened.grants_for("Patient", "d")
    assert (opened.clearance, opened.purpose) == ("V", "found unconscious")


@pytest.mark.parametrize("reason", ["", "help", "x" * 501 + " y", "two\nlines"])
def test_a_glass_is_not_broken_without_a_reason(reason):
    with pytest.raises(Forbidden):
        KNOWN["radiologist"].opened(EVERYTHING, reason)


def test_a_role_that_may_not_break_the_glass_does_not():
    with pytest.raises(Forbidden):
        KNOWN["clerk"].opened(EVERYTHING, "found unconscious")


async def test_a_person_is_limited_by_the_account_s_role_and_a_service_is_not():
    documents = MemoryStore(clock=lambda: 0)
    known = roles.Roles(documents, KNOWN)
    subjects = Records(documents, "smart.subjects", Subject)
    await subjects.put("default", "s1", Subject("clerk"))
    limited = await known.limited("default", EVERYTHING)
    assert not limited.grants_for("Observation", "r")
    assert await known.limited("north", EVERYTHING) is EVERYTHING
    await subjects.put("default", "s1", Subject("gone from the file"))
    nothing = await known.limited("default", EVERYTHING)
    assert not nothing.grants_for("Patient", "r")
    with pytest.raises(Forbidden):
        await known.limited("north", EVERYTHING, "found unconscious")


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        '[x]\ngrants = ["Patient"]',
        '[x]\ngrants = ["Patient.z"]',
        '[x]\nclearance = "U"',
        "[x]\nwhat = 1",
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text):
    file = tmp_path / "roles.toml"
    file.write_text(text)
    with pytest.raises(roles.RolesError):
        roles.load(file)
    with pytest.raises(roles.RolesError):
        roles.load(tmp_path / "none.toml")
