"""JSON Patch (RFC 6902): the corpus's cases, forms that are refused, and limits."""

import json
from decimal import Decimal

import pytest

from resources import model, patch
from resources.outcome import FhirError, Invalid, TooCostly, Unprocessable

RECORDED = 16


def applied(document, *operations):
    return patch.apply(document, patch.parse(json.dumps(operations).encode()))


def test_the_cases_of_the_corpus_hold(corpus, capsys):
    cases = json.loads((corpus / "r4" / "patch" / "json-patch-tests.json").read_bytes())
    held = 0
    for case in cases:
        try:
            found = applied(case["doc"], *case["patch"])
        except FhirError:
            held += "error" in case
        else:
            held += found == case.get("expected")
    with capsys.disabled():
        print(f"\nJSON Patch: {held} of {len(cases)}")
    assert held == len(cases)
    assert held >= RECORDED


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", Invalid),
        (b"{}", Invalid),
        (b"[1]", Invalid),
        (b'[{"op":"spam","path":""}]', Invalid),
        (b'[{"op":["add"],"path":""}]', Invalid),
        (b'[{"op":"add","path":"/a"}]', Invalid),
        (b'[{"op":"add","value":1}]', Invalid),
        (b'[{"op":"add","path":"a","value":1}]', Invalid),
        (b'[{"op":"add","path":"/~2","value":1}]', Invalid),
        (b'[{"op":"add","path":7,"value":1}]', Invalid),
        (b'[{"op":"move","path":"/a"}]', Invalid),
        (b'[{"op":"add","path":"/a","path":"/b","value":1}]', Invalid),
        (b'[{"op":"add","path":"/a","value":[{"b":"x","b":"y"}]}]', Invalid),
        (b"[" * 5000 + b"]" * 5000, Invalid),
        (b"[" + b",".join([b'{"op":"remove","path":"/a"}'] * 1001) + b"]", TooCostly),
    ],
)
def test_what_is_no_patch_is_refused_as_malformed(body, kind):
    with pytest.raises(kind) as refused:
        patch.parse(body)
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["1e9999999999999999999", "1e400", "-1E-301", "9" * 5000])
def test_a_number_that_is_not_read_is_told_as_that(text):
    with pytest.raises(Invalid, match="A number has more digits, or a larger exponent") as refused:
        patch.parse(f'[{{"op":"add","path":"/a","value":{text}}}]'.encode())
    assert refused.value.issues[0].code == "value"


def test_a_patch_keeps_the_sign_of_zero():
    operations = patch.parse(b'[{"op":"add","path":"/a","value":-0}]')
    assert model.serialise(patch.apply({}, operations)) == b'{"a":-0}'


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "replace", "path": "/list/-", "value": 1},
        {"op": "add", "path": "/list/3", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/list/-1", "value": 1},
        {"op": "add", "path": "/text/a", "value": 1},
        {"op": "move", "from": "/object", "path": "/object/inner"},
        {"op": "copy", "from": "/none", "path": "/a"},
        {"op": "test", "path": "/one", "value": True},
        {"op": "test", "path": "/list", "value": [2, 1]},
        {"op": "remove", "path": ""},
    ],
)
def test_what_does_not_fit_is_422_and_changes_nothing(operation):
    document = {"one": 1, "list": [1, 2], "text": "a", "object": {"inner": 1}}
    before = json.dumps(document)
    with pytest.raises(Unprocessable) as refused:
        applied(document, {"op": "add", "path": "/new", "value": 1}, operation)
    assert refused.value.status == 422
    assert json.dumps(document) == before


def test_decimals_keep_their_digits():
    found = patch.apply({}, patch.parse(b'[{"op":"add","path":"/v","value":72.50}]'))
    assert str(found["v"]) == "72.50"
    tested = patch.parse(b'[{"op":"test","path":"/v","value":72.5}]')
    assert patch.apply({"v": Decimal("72.50")}, tested)


def test_what_is_copied_stands_for_itself():
    found = applied(
        {"a": {"b": 1}},
        {"op": "copy", "from": "/a", "path": "/c"},
        {"op": "replace", "path": "/c/b", "value": 2},
        {"op": "move", "from": "/c", "path": "/c"},
    )
    assert found == {"a": {"b": 1}, "c": {"b": 2}}


def test_the_whole_document_can_be_replaced():
    assert applied({"a": 1}, {"op": "replace", "path": "", "value": {"b": 2}}) == {"b": 2}


def test_copies_of_copies_are_stopped():
    doubling = [{"op": "copy", "from": "/list", "path": "/list/-"} for _ in range(40)]
    with pytest.raises(TooCostly):
        applied({"list": [1]}, *doubling)
