"""The text of _filter: what it is read as, and that nothing else than a refusal comes of any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.filter_text import OPERATORS, Comparison, Logical, Negation, Step, parse
from resources.outcome import Invalid, TooCostly


def comparison(name, operator, value, position, *, quoted=False):
    return Comparison((Step(name),), operator, value, quoted, position)


def test_and_and_or_go_from_left_to_right_without_precedence():
    a, b, c, d = (
        comparison(n, "eq", "1", at) for n, at in zip("abcd", (1, 12, 22, 33), strict=True)
    )
    assert parse("a eq 1 and b eq 1 or c eq 1 and d eq 1") == Logical(
        "and", (Logical("or", (Logical("and", (a, b)), c)), d)
    )
    assert parse("a eq 1 and  b eq 1") == Logical("and", (a, comparison("b", "eq", "1", 13)))


def test_parentheses_and_not_bind():
    assert parse("not (a eq 1)") == Negation(comparison("a", "eq", "1", 6))
    held = parse("a eq 1 or (b eq 1 and not(c eq 1))")
    assert isinstance(held, Logical)
    assert held.operator == "or"
    assert isinstance(held.parts[1], Logical)
    assert isinstance(held.parts[1].parts[1], Negation)


def test_not_and_and_may_also_be_names():
    assert parse("not eq 1") == comparison("not", "eq", "1", 1)
    assert parse("and eq or") == comparison("and", "eq", "or", 1)
    assert parse("order eq 1").path[0].name == "order"


def test_a_string_may_hold_what_a_token_may_not():
    assert parse('a eq "x y)]\\u00e9\\""') == comparison("a", "eq", 'x y)]é"', 1, quoted=True)
    assert parse("a eq x|y,z") == comparison("a", "eq", "x|y,z", 1)


def test_paths_have_steps_and_brackets():
    found = parse("a.b[c eq 1 or d eq 2].e co x")
    assert [step.name for step in found.path] == ["a", "b", "e"]
    assert isinstance(found.path[1].where, Logical)


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_every_operator_is_read(operator):
    assert parse(f"a {operator} x").operator == operator


pieces = st.sampled_from(
    ["a", "eq", " ", "and", "or", "not", "(", ")", "[", "]", ".", '"', "\\", "x|y", "é", "\0", "co"]
)


@given(st.lists(pieces, max_size=30).map("".join) | st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        found = parse(text)
    except (Invalid, TooCostly) as refused:
        told = str(refused)
    else:
        told = "_filter" if isinstance(found, Comparison | Logical | Negation) else ""
    assert "_filter" in told
