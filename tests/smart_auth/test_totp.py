"""One-time passwords, by the vectors of RFC 6238 appendix B and RFC 4226 appendix D."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from smart_auth import totp

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("seconds", "eight"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds, eight):
    assert totp.code(SECRET, seconds // 30) == eight[-6:]


def test_codes_are_those_of_rfc_4226():
    wanted = ["755224", "287082", "359152", "969429", "338314"]
    assert [totp.code(SECRET, count) for count in range(5)] == wanted


def test_one_step_of_skew_is_forgiven_and_a_used_step_is_not():
    here = 1_800_000_000_000
    step = here // totp.STEP_MS
    for near in (step - 1, step, step + 1):
        assert totp.step_of(SECRET, totp.code(SECRET, near), here, -1) == near
    for far in (step - 2, step + 2):
        assert totp.step_of(SECRET, totp.code(SECRET, far), here, -1) is None
    assert totp.step_of(SECRET, totp.code(SECRET, step), here, step) is None
    assert totp.step_of(SECRET, "", here, -1) is None
    assert totp.step_of(SECRET, "é" * 6, here, -1) is None


def test_the_address_is_what_apps_read():
    parts = urlsplit(totp.address(SECRET, "doc@a", "Hounsfield"))
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert parts.path == "/Hounsfield%3Adoc%40a"
    assert dict(parse_qsl(parts.query))["secret"] == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


def test_each_secret_is_new_and_160_bits_long():
    assert len(totp.new_secret()) == 20
    assert totp.new_secret() != totp.new_secret()
