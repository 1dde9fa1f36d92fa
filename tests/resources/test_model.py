"""Parse and serialise: every digit comes back."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.validate import Validator
from resources import definitions
from resources.model import parse, plain, received, serialise
from resources.outcome import Invalid

DIGITS = [
    "0.00000001",
    "1e2",
    "1E5",
    "1E+05",
    "0e0",
    "1E-8",
    "72.50",
    "-0.0",
    "1.5e+3",
    "100000000000000000000.10",
    "0.0",
    "-0",
    "6.02214076E+23",
    "1e300",
    "9.99E300",
    "-1E-300",
    "0.1e301",
    "1e0000000000000000000000001",
]


@pytest.mark.parametrize("text", DIGITS)
def test_a_decimal_comes_back_as_it_was_written(text):
    raw = f'{{"resourceType":"Observation","valueQuantity":{{"value":{text}}}}}'.encode()
    resource = parse(raw)
    assert serialise(resource) == raw
    assert resource["valueQuantity"]["value"] == Decimal(text)
    assert serialise(plain(resource)).startswith(b'{"resourceType"')


@pytest.mark.parametrize("text", DIGITS)
def test_unusual_digits_are_valid_and_do_not_hide_other_faults(text):
    head = '{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":'
    check = Validator(definitions.load()).check
    right, wrong = (parse(f"{head}{text}}}{more}}}".encode()) for more in ("", ',"nonsense":1'))
    assert [issue.severity for issue in check(right)] in ([], ["warning"])
    assert "error" in [issue.severity for issue in check(wrong)]


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=9, min_value=-(10**9), max_value=10**9
    )
)
def test_any_decimal_comes_back(value):
    raw = f'{{"resourceType":"X","v":{value:f}}}'.encode()
    assert serialise(parse(raw)) == raw


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"3", b'{"resourceType":3}', b"\xff", b'{"a":1'])
def test_what_is_no_resource_is_refused_without_an_echo(raw):
    with pytest.raises(Invalid) as refused:
        parse(raw)
    assert json.dumps(str(refused.value))


@pytest.mark.parametrize(
    "text",
    [
        *("9" * 5000, "-" + "9" * 5000, "1e99999999999999999999", "1E-9999999999999999999"),
        *("1e301", "-1E+400", "10e300", "1e-301", "0.1e-300", "0e400", "0E-400", "1e999999999"),
        f"1e{'0' * 5000}301",
    ],
)
def test_a_number_that_is_too_long_is_refused_as_that(text):
    with pytest.raises(Invalid, match="A number has more digits, or a larger exponent") as refused:
        parse(f'{{"resourceType":"Observation","valueQuantity":{{"value":{text}}}}}'.encode())
    assert refused.value.issues[0].code == "value"


@pytest.mark.parametrize(
    "values",
    [
        "-0",
        "-0 ,-0\n,\t-0\r",
        "1e-0,1.5E-0,-0e0,-0.0,0,-0e00000000000000000000001",
        '"-0,","-0 ]}","a\\"-0,",{"-0 ":"-0\\\\"},-0,"\\\\",-0',
        '"no number: -0, here"',
        '"\\n\\n-0 "',
    ],
)
def test_negative_zero_keeps_its_sign_and_nothing_else_is_taken_for_it(values):
    raw = f'{{"resourceType":"X","v":[{values}]}}'.encode()
    told = re.sub(r'("(?:[^"\\]|\\.)*")|\s+', lambda found: found[1] or "", raw.decode())
    assert serialise(received(raw)).decode() == told
    for number in received(raw)["v"]:
        assert not isinstance(number, Decimal) or number == Decimal(str(number))


def test_long_strings_beside_a_negative_zero_are_stepped_over_at_once():
    text = "\\n" * 500_000 + "-0, "
    raw = f'{{"resourceType":"X","text":"{text}","v":-0}}'.encode()
    assert serialise(parse(raw)) == raw


TWICE = [
    b'{"resourceType":"Patient","active":true,"active":false}',
    b'{"resourceType":"Patient","name":[{"family":"a","family":"a"}]}',
    b'{"resourceType" : "Patient", "active" :true, "active": true}',
    b'{"resourceType":"Patient","\\u0061ctive":true,"active":false}',
    b'{"resourceType":"Patient","language":"\\":","active":true,"active":false}',
    b'{"resourceType":"Patient","active" :true,"active":false}',
    b'{"resourceType":"Patient","language":"\\u003a","active":true,"active":false}',
    b'{"resourceType":"Patient","language":"\\u0022:","active":true,"active":false}',
    b'{"resourceType":"Patient","language":"\\\\","id":"\\\\\\"","active":true,"active":false}',
]


@pytest.mark.parametrize("raw", TWICE)
def test_a_name_that_comes_twice_is_refused(raw):
    with pytest.raises(Invalid, match="twice"):
        received(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"resourceType":"Patient","language":":","id":"\\":"}',
        b'{ "resourceType" : "Patient",\n "contact" : [ {"name" : {"family":":x"}}, {"name":{}} ] }',
        b'{"resourceType":"Patient","language":"\\u0022:"}',
        b'{"resourceType":"Patient","language":"\\\\\\"\\\\","id":"\\u0022\\u005c\\"\\/\\n\\ud83d\\ude00"}',
    ],
)
def test_quotes_and_colons_in_values_are_no_names(raw):
    assert received(raw) == parse(raw)
