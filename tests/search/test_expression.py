"""Trees are built as small as what they mean allows."""

from fhir_server.search.expression import ALWAYS, NEVER, And, Not, Or, Token, both, either

A, B, C = (Token(name, None, "x") for name in "abc")


def test_one_part_is_itself():
    assert either([A]) == both([A]) == A
    assert either([Or((A,)), NEVER]) == A
    assert both([And((A,)), ALWAYS]) == A


def test_parts_of_the_same_kind_are_put_together():
    assert either([A, Or((B, C))]) == Or((A, B, C))
    assert both([A, And((B, C))]) == And((A, B, C))
    assert both([A, Or((B, C))]) == And((A, Or((B, C))))
    assert either([And((A, B)), Not(C)]) == Or((And((A, B)), Not(C)))


def test_what_decides_alone_is_the_whole():
    assert either([A, ALWAYS, B]) == ALWAYS
    assert both([A, NEVER, B]) == NEVER
    assert either([]) == NEVER
    assert both([]) == ALWAYS
