"""`hounsfield serve`: what keeps it from beginning is said in a sentence, and the exit status is 2."""

import pytest

FREE = ("--port", "0", "--mllp-port", "off", "--dimse-port", "off")


@pytest.mark.parametrize("data", ["/proc/nope", "file"])
def test_a_folder_that_cannot_be_made_is_said(hounsfield, file, data):
    path = file("file", b"") if data == "file" else data
    ran = hounsfield("serve", *FREE, "--data", path)
    assert ran.status == 2
    assert ran.err.startswith(f"hounsfield: data: {path} cannot be made")


@pytest.mark.parametrize("names", [("missing", "missing"), ("empty", "empty")])
def test_a_certificate_that_cannot_be_used_is_said(hounsfield, file, tmp_path, names):
    file("empty", b"")
    cert, key = (tmp_path / name for name in names)
    tls = ("--tls-cert", cert, "--tls-key", key)
    ran = hounsfield("serve", *FREE, *tls, "--data", tmp_path / "d")
    assert ran.status == 2
    assert "tls_cert and tls_key: " in ran.err


@pytest.mark.parametrize("command", [("keys", "list"), ("token", "--scope", "system/*.rs")])
def test_commands_without_a_store_say_it_too(hounsfield, command):
    ran = hounsfield(*command, "--data", "/proc/nope")
    assert ran.status == 2
    assert "data: /proc/nope cannot be used" in ran.err
