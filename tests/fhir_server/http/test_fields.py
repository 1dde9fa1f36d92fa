"""Header fields in several lines."""

import pytest

from fhir_server.http.fields import fields


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ([(b"accept", b"a/b"), (b"prefer", b"x")], {"accept": "a/b", "prefer": "x"}),
        (
            [(b"prefer", b"return=minimal"), (b"a", b"1"), (b"prefer", b"respond-async")],
            {"prefer": "return=minimal, respond-async", "a": "1"},
        ),
        ([(b"cookie", b"a=1"), (b"cookie", b"b=2")], {"cookie": "a=1; b=2"}),
    ],
)
def test_lines_of_one_name_are_one_list(raw, found):
    assert fields(raw) == found
