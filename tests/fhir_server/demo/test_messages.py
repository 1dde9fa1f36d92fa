"""The demo's HL7 v2 is read by the maps without a gap and says what the day looks for."""

import pytest

from fhir_server.demo import messages
from fhir_server.demo.patients import cases
from fhir_server.hl7v2 import translation
from fhir_server.hl7v2.sender import Senders

CASES = pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)


def _translated(message):
    read, sender = translation.read(message, Senders())
    return translation.translate_message(read, sender, 0)


def _resources(done):
    return {e["resource"]["resourceType"]: e["resource"] for e in done.bundle["entry"]}


@CASES
@pytest.mark.parametrize("write", [messages.admission, messages.order])
def test_nothing_of_a_message_is_left_unread(case, write):
    assert _translated(write(case)).coverage.gaps == ()


@CASES
def test_an_admission_makes_the_patient_and_the_visit(case):
    made = _resources(_translated(messages.admission(case)))
    assert made["Patient"]["identifier"][0]["value"] == case.person.number
    assert made["Encounter"]["identifier"][0]["value"] == case.visit
    assert made["Encounter"]["period"]["start"] == case.arrives.isoformat()


@CASES
def test_an_order_has_placer_filler_and_accession_number(case):
    made = _resources(_translated(messages.order(case)))
    values = [each["value"] for each in made["ServiceRequest"]["identifier"]]
    assert values == [case.placer, case.filler, case.accession]
    assert made["ServiceRequest"]["code"]["coding"][0]["system"] == "http://loinc.org"


def test_messages_are_the_same_each_time_and_have_control_ids_of_their_own():
    written = [write(c) for c in cases() for write in (messages.admission, messages.order)]
    again = [write(c) for c in cases() for write in (messages.admission, messages.order)]
    assert written == again
    assert len({messages.control_id(each) for each in written}) == len(written)


def test_the_code_and_the_control_id_of_an_answer_are_read():
    assert messages.answer(b"MSH|^~\\&|||||||ACK\rMSA|AE|C-1\r") == ("AE", "C-1")
    assert messages.answer(b"MSA|AA\r") == ("AA", "")
    assert messages.answer(b"MSH|^~\\&\r") == ("", "")


def test_the_patients_are_three_adults_with_numbers_of_their_own():
    found = cases()
    assert len({case.person.number for case in found}) == len(found) == 3
    assert len({case.study_uid for case in found}) == 3
    assert all(case.arrives.year - int(case.person.birth_date[:4]) > 18 for case in found)
