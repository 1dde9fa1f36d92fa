"""hounsfield send."""

import json
import socket

import pytest

from fhir_server.cli import main


@pytest.fixture
def to(served):
    """Where the server listens for messages."""
    return f"127.0.0.1:{json.loads((served.data / 'ports.json').read_text())['mllp']}"


def test_the_ack_of_each_message_is_printed(hounsfield, file, message, to):
    ran = hounsfield("send", file("two.hl7", message("S1") + message("S2")), "--to", to)
    assert ran.status == 0
    assert [line for line in ran.out.splitlines() if line.startswith("MSA")] == [
        "MSA|AA|S1",
        "MSA|AA|S2",
    ]


def test_a_refusal_is_printed_too_and_what_follows_is_sent(hounsfield, file, message, to):
    path = file("mixed.hl7", message("S3", "XXX^A04") + message("S4"))
    ran = hounsfield("send", path, "--to", to)
    assert ran.status == 1
    assert "MSA|AR|S3" in ran.out
    assert "MSA|AA|S4" in ran.out


def test_the_listener_of_the_settings_is_the_default(hounsfield, file, message, to):
    path, port = file("one.hl7", message("S5")), to.rpartition(":")[2]
    assert "MSA|AA|S5" in hounsfield("send", path, "--mllp-port", port).out
    off = hounsfield("send", path, "--mllp-port", "off")
    assert (off.status, off.out) == (2, "")


def test_no_listener_no_message_and_no_file_are_told(hounsfield, file, message):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    ran = hounsfield("send", file("one.hl7", message()), "--to", nobody)
    assert (ran.status, ran.out) == (1, "")
    assert "one.hl7:1: The connection failed" in ran.err
    assert "ZIMT" not in ran.err
    assert hounsfield("send", file("no.hl7", b"x"), "--to", nobody).status == 1
    assert hounsfield("send", "nowhere.hl7", "--to", nobody).status == 2


@pytest.mark.parametrize("address", ["host", "host:", "host:x", "host:99999"])
def test_an_address_is_a_host_and_a_port(address):
    with pytest.raises(SystemExit) as ended:
        main(["send", "x.hl7", "--to", address])
    assert ended.value.code == 2
