"""Header fields as text, in several lines too."""

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
        ([(b"if-none-exist", "a=ü".encode())], {"if-none-exist": "a=ü"}),
        ([(b"if-none-exist", b"a=\xfc")], {"if-none-exist": "a=ü"}),
        ([(b"if-none-exist", "a=ü".encode())] * 2, {"if-none-exist": "a=ü, a=ü"}),
        ([(b"prefer", "ü".encode())], {"prefer": "\u00c3\u00bc"}),
    ],
)
def test_the_fields_are_text_and_lines_of_one_name_one_list(raw, found):
    assert fields(raw) == found
