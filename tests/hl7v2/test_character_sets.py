"""MSH-18, byte order marks, and bytes that contradict what is declared."""

import pytest

from fhir_server.hl7v2 import message
from fhir_server.hl7v2.refusal import WrongDatatype


def raw(declared: str, name: bytes) -> bytes:
    head = f"MSH|^~\\&|A|B|||1||ADT^A04|7|P|2.5.1||||||{declared}\rPID|||1||".encode("ascii")
    return head + name + b"^X\r"


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("8859/1", "latin-1"),
        ("8859/15", "iso8859-15"),
        ("8859/2", "iso8859-2"),
        ("", "utf-8"),
    ],
)
def test_declared_sets_are_read(declared, codec):
    found = message.parse(
        raw(declared, "Dvořák".encode(codec))
        if codec in {"utf-8", "iso8859-2"}
        else raw(declared, "Müller".encode(codec))
    )
    assert found["PID"].value("5.1") in {"Dvořák", "Müller"}
    assert found.fault == ""


def test_japanese_escapes_are_read_where_the_second_set_declares_them():
    name = "山田".encode("iso2022_jp")
    assert message.parse(raw("ASCII~ISO IR87", name))["PID"].value("5.1") == "山田"


def test_without_declaration_bytes_that_are_no_utf_8_are_latin_1_and_told():
    found = message.parse(raw("", "Müller".encode("latin-1")))
    assert found["PID"].value("5.1") == "Müller"
    assert "No character set" in found.fault


def test_bytes_that_contradict_the_declaration_are_read_and_told():
    found = message.parse(raw("UNICODE UTF-8", "Müller".encode("latin-1")))
    assert found["PID"].value("5.1") == "Müller"
    assert "not in the declared" in found.fault
    assert message.parse(raw("ASCII", "Müller".encode()))["PID"].value("5.1") == "Müller"


def test_the_senders_set_counts_where_none_is_declared():
    name = "Dvořák".encode("iso8859-2")
    assert message.parse(raw("", name), "8859/2")["PID"].value("5.1") == "Dvořák"
    assert message.parse(raw("8859/2", name), "8859/1")["PID"].value("5.1") == "Dvořák"


def test_an_unknown_set_is_refused_only_where_it_matters():
    assert message.parse(raw("CNS 11643-1992", b"DOE"))["PID"].value("5.1") == "DOE"
    with pytest.raises(WrongDatatype) as refusal:
        message.parse(raw("CNS 11643-1992", "Müller".encode()))
    assert refusal.value.location == "MSH-18"


def test_utf_16_with_its_byte_order_mark_is_read():
    found = message.parse(raw("UNICODE UTF-16", b"M").decode().encode("utf-16"))
    assert found["PID"].value("5.1") == "M"
