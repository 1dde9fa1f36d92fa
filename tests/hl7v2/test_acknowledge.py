"""ACKs: parties exchanged, MSA-2 the message's control id, ERR by version, modes of acknowledgement."""

import hl7
import pytest
from v2 import segment, text

from fhir_server.hl7v2 import acknowledge, message
from fhir_server.hl7v2.refusal import FieldMissing, UnknownCode, Unreadable, UnsupportedEvent

AT = 1_767_703_458_123


def header(**fields):
    given = {"f3": "ADT^1.2^ISO", "f4": "HOSP", "f5": "HOUNSFIELD", "f6": "RAD"}
    given |= {"f9": "ADT^A04^ADT_A01", "f10": "C1", "f11": "T", "f12": "2.5.1"}
    return message.parse(text(segment("MSH", **(given | fields))))


def answer(found, refusal=None):
    return hl7.parse(acknowledge.acknowledge(found, "ID1", AT, refusal).decode())


def test_a_positive_ack_exchanges_the_parties_and_names_the_message():
    ack = answer(header())
    msh = ack.segment("MSH")
    assert [str(msh[n]) for n in (3, 4, 5, 6)] == ["HOUNSFIELD", "RAD", "ADT^1.2^ISO", "HOSP"]
    assert str(msh[7]) == "20260106124418.123+0000"
    assert str(msh[9]) == "ACK^A04^ACK"
    assert [str(msh[n]) for n in (10, 11, 12)] == ["ID1", "T", "2.5.1"]
    assert str(ack.segment("MSA")) == "MSA|AA|C1"
    assert len(ack) == 2


def test_every_segment_ends_in_cr():
    raw = acknowledge.acknowledge(header(), "ID1", AT)
    assert raw.endswith(b"\r")
    assert b"\n" not in raw


def test_a_refusal_tells_location_code_severity_and_a_sentence():
    ack = answer(header(), FieldMissing("Nothing identifies the patient", location="PID-3"))
    assert str(ack.segment("MSA")) == "MSA|AE|C1"
    err = ack.segment("ERR")
    assert str(err[2]) == "PID^1^3"
    assert str(err[3]) == "101^Required field missing^HL70357"
    assert str(err[4]) == "E"
    assert str(err[8]) == "Nothing identifies the patient"


def test_what_is_rejected_for_its_type_is_ar_and_what_for_its_content_is_ae():
    assert str(answer(header(), UnsupportedEvent("no", location="MSH-9.2"))[1]) == "MSA|AR|C1"
    assert str(answer(header(), UnknownCode("no"))[1]) == "MSA|AE|C1"
    assert str(answer(header(), UnsupportedEvent("no", location="MSH-9.2"))[2][2]) == "MSH^1^9^1^2"


def test_before_version_2_5_the_error_stands_in_err_1_and_msa_3():
    ack = answer(header(f12="2.3"), FieldMissing("Nothing here", location="ORC[2]-2"))
    assert str(ack.segment("MSA")) == "MSA|AE|C1|Nothing here"
    assert str(ack.segment("ERR")) == "ERR|ORC^2^2^101&Required field missing&HL70357"


@pytest.mark.parametrize(
    ("accept", "application", "positive", "negative"),
    [
        ("", "", "AA", "AE"),
        ("AL", "NE", "CA", "CE"),
        ("NE", "AL", "AA", "AE"),
        ("AL", "AL", "AA", "AE"),
        ("ER", "NE", "", "CE"),
        ("NE", "NE", "", ""),
        ("AL", "ER", "CA", "AE"),
        ("SU", "", "CA", ""),
    ],
)
def test_msh_15_and_16_say_which_acknowledgement_is_due(accept, application, positive, negative):
    found = header(f15=accept, f16=application)
    refusal = FieldMissing("no")
    for expected, given in ((positive, None), (negative, refusal)):
        raw = acknowledge.acknowledge(found, "ID1", AT, given)
        code = hl7.parse(raw.decode()).segment("MSA")[1] if raw else ""
        assert str(code) == expected


def test_the_senders_separators_are_used():
    raw = rb"MSH$%*!@$A$B$C$D$1$$ADT%A04$C!E!1$P$2.5" + b"\r"
    refusal = FieldMissing("costs $5 at @", location="PID-3")
    ack = acknowledge.acknowledge(message.parse(raw), "ID1", AT, refusal).decode()
    assert ack.startswith("MSH$%*!@$C$D$A$B$")
    assert "\rMSA$AE$C!E!1\r" in ack
    assert "PID%1%3$101%Required field missing%HL70357$E" in ack
    assert "costs !F!5 at !T!" in ack


def test_the_character_set_of_the_message_is_kept():
    raw = text(segment("MSH", f4="Hôpital", f9="ADT^A04", f10="1", f12="2.5", f18="8859/1"))
    found = message.parse(raw.decode().encode("latin-1"))
    assert "Hôpital" in acknowledge.acknowledge(found, "ID1", AT).decode("latin-1")


def test_bytes_that_are_no_message_still_get_an_answer():
    ack = hl7.parse(acknowledge.unreadable(b"hello", "ID1", AT, Unreadable("no")).decode())
    assert str(ack.segment("MSA")) == "MSA|AR"
    assert str(ack.segment("ERR")[3]) == "100^Segment sequence error^HL70357"


def test_what_the_header_of_an_unreadable_message_tells_is_used():
    raw = text(segment("MSH", f3="X", f9="ADT^A04", f10="C9", f12="2.5", f18="KLINGON"), "PID|é")
    ack = hl7.parse(acknowledge.unreadable(raw, "ID1", AT, Unreadable("no")).decode())
    assert str(ack.segment("MSA")) == "MSA|AR|C9"


def test_a_message_without_event_is_answered_by_a_plain_ack():
    assert str(answer(header(f9="ADT")).segment("MSH")[9]) == "ACK"
