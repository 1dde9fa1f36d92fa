"""The whole FHIRPath grammar (FHIRPath N1)."""

from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from resources.definitions import load
from resources.fhirpath.expression import (
    Binary,
    Call,
    Empty,
    External,
    Index,
    Literal,
    Path,
    Quantity,
    Sign,
    This,
    TypeTest,
)
from resources.fhirpath.parse import SyntaxFault, parse

A, B, C = (Path(None, name) for name in "abc")
ONE = Literal(1, "integer")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a.b", Path(A, "b")),
        ("a.`given name`", Path(A, "given name")),
        ("a.text.div", Path(Path(A, "text"), "div")),
        ("a[1].b", Path(Index(A, ONE), "b")),
        ("where(a)", Call(None, "where", (A,))),
        ("a.f(b, 1)", Call(A, "f", (B, ONE))),
        ("$this", This()),
        ("$index", This("$index")),
        ("%resource", External("resource")),
        ("%`vs-name`", External("vs-name")),
        ("%'vs-name'", External("vs-name")),
        ("{}", Empty()),
        ("true", Literal(value=True, type="boolean")),
        ("1.50", Literal(Decimal("1.50"), "decimal")),
        (r"'it\'s \u0041\n'", Literal("it's A\n", "string")),
        ("@2015-02", Literal("2015-02", "date")),
        ("@2015-02-04T14:34:28.123+10:00", Literal("2015-02-04T14:34:28.123+10:00", "dateTime")),
        ("@2015T", Literal("2015T", "dateTime")),
        ("@T14:34", Literal("T14:34", "time")),
        ("4 'mg'", Quantity(Decimal(4), "mg")),
        ("3 days", Quantity(Decimal(3), "days", calendar=True)),
        ("-a.b", Sign("-", Path(A, "b"))),
        ("a or b and c", Binary("or", A, Binary("and", B, C))),
        ("a - b - c", Binary("-", Binary("-", A, B), C)),
        ("a + b * c", Binary("+", A, Binary("*", B, C))),
        ("a = b | c", Binary("=", A, Binary("|", B, C))),
        ("a as T | b", Binary("|", TypeTest("as", A, "T"), B)),
        ("(a as FHIR.T).b", Path(TypeTest("as", A, "FHIR.T"), "b")),
        ("a is T and b", Binary("and", TypeTest("is", A, "T"), B)),
        ("a implies b in c", Binary("implies", A, Binary("in", B, C))),
        ("a // note\n /* more\n */ .b", Path(A, "b")),
        ("a.contains('x')", Call(A, "contains", (Literal("x", "string"),))),
        ("as.is", Path(Path(None, "as"), "is")),
    ],
)
def test_text_becomes_a_tree(text, wanted):
    assert parse(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "a.", "a b", "a and", "and a", "(a", "a)", "f(a,)", "f(,)", "'x", "a[", "%", "§"]
)
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(SyntaxFault):
        parse(text)


def test_a_fault_names_the_place_and_not_the_text():
    with pytest.raises(SyntaxFault, match=r"^unexpected name at 7$"):
        parse("secret secret")


def test_every_expression_of_r4_parses_and_writes_itself_back():
    definitions = load()
    texts = {held.expression for held in definitions.search_parameters if held.expression}
    texts |= {rule.expression for rules in definitions.invariants.values() for rule in rules}
    assert len(texts) > 1000
    for text in texts:
        assert parse(str(parse(text))) == parse(text)


def test_the_official_suite_parses_where_its_syntax_is_valid(corpus):
    suite = ET.parse(corpus / "r4/fhirpath/tests-fhir-r4.xml")
    valid = [e for e in suite.iter("expression") if e.get("invalid") in {None, "semantic"}]
    assert len(valid) > 900
    for expression in valid:
        assert parse(str(parse(expression.text or ""))) == parse(expression.text or "")
    for expression in suite.iter("expression"):
        if expression.get("invalid") == "syntax":
            with pytest.raises(SyntaxFault):
                parse(expression.text or "")
