"""The meaning of expressions on one resource, node by node, and of sort keys."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from stored import values_of

from fhir_server.search.expression import (
    ALWAYS,
    NEVER,
    And,
    DateRange,
    Expression,
    Ids,
    Linked,
    LinkedFrom,
    Missing,
    Not,
    Number,
    Or,
    Quantity,
    Reference,
    Sort,
    Text,
    Token,
    Updated,
    Uri,
)
from fhir_server.search.match import UNDATED, Candidate, compare, matches, own_keys, sort_keys
from fhir_server.search.values import (
    DateValue,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    TextValue,
    TokenValue,
    UriValue,
)


def candidate(*values: Any, type: str = "Patient", id: str = "a", clinical: int = 0) -> Candidate:
    return Candidate(type, id, 1000, values_of(*values, clinical=clinical))


class Others:
    """The other resources of a tenant."""

    def __init__(self, *others: Candidate) -> None:
        self._others = others

    def referring(self, type: str, atom: str, target: Candidate) -> Iterable[Candidate]:
        to = (atom, target.type, target.id)
        for other in self._others:
            held = {(v.atom, v.type, v.id) for v in other.values.references}
            if other.type == type and to in held:
                yield other

    def get(self, type: str, id: str) -> Candidate | None:
        return next((o for o in self._others if (o.type, o.id) == (type, id)), None)


def holds(where: Expression, one: Candidate, *others: Candidate) -> bool:
    return matches(where, one, Others(*others))


MALE = candidate(TokenValue("P.gender", "", "male"), TokenValue("P.id", "s", "1"))


@pytest.mark.parametrize(
    ("system", "code", "expected"),
    [
        (None, "male", True),
        ("", "male", True),
        ("s", "male", False),
        (None, "Male", False),
        ("", None, True),
        ("s", None, False),
        (None, None, True),
    ],
)
def test_a_token_is_a_system_and_a_code(system: Any, code: Any, expected: bool) -> None:
    assert holds(Token("P.gender", system, code), MALE) is expected


def test_system_and_code_are_of_one_value() -> None:
    two = candidate(TokenValue("P.id", "s", "1"), TokenValue("P.id", "t", "2"))
    assert not holds(Token("P.id", "s", "2"), two)
    assert holds(And((Token("P.id", "s", None), Token("P.id", None, "2"))), two)


@pytest.mark.parametrize(
    ("value", "how", "expected"),
    [
        ("müll", "starts", True),
        ("üll", "starts", False),
        ("üll", "contains", True),
        ("Müller", "exact", True),
        ("müller", "exact", False),
        ("", "starts", True),
    ],
)
def test_a_text_starts_contains_or_is(value: str, how: Any, expected: bool) -> None:
    assert holds(
        Text("P.name", value, how), candidate(TextValue("P.name", "müller", "Müller"))
    ) is (expected)


def test_a_date_compares_intervals() -> None:
    day = candidate(DateValue("P.birth", 100, 199))
    held = {p for p in PREFIXES if holds(DateRange("P.birth", p, 150, 160), day)}
    assert held == {"ne", "gt", "lt", "ge", "le", "ap"}
    assert holds(DateRange("P.birth", "eq", 100, 199), day)
    assert not holds(DateRange("P.birth", "ne", 100, 199), day)
    assert holds(DateRange("P.birth", "sa", 0, 99), day)
    assert not holds(DateRange("P.birth", "sa", 0, 100), day)
    assert holds(DateRange("P.birth", "eb", 200, 300), day)


PREFIXES: tuple[Any, ...] = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (100.0, "eq ge le ap"),
        (99.5, "eq lt le eb ap"),
        (100.5, "ne gt ge sa ap"),
        (99.4, "ne lt le eb"),
        (102.0, "ne gt ge sa"),
    ],
)
def test_a_number_equals_within_the_asked_precision(stored: float, expected: str) -> None:
    held = [p for p in PREFIXES if compare(p, (100.0, 99.5, 100.5), (stored, stored))]
    assert sorted(held) == sorted(expected.split())


def test_an_exact_number_equals_itself() -> None:
    assert compare("eq", (2.0, 2.0, 2.0), (2.0, 2.0))
    assert not compare("ne", (2.0, 2.0, 2.0), (2.0, 2.0))


def test_a_quantity_has_value_system_and_code_of_one_value() -> None:
    def quantity(value: int, code: str) -> QuantityValue:
        number = Decimal(value)
        return QuantityValue("P.dose", "ucum", code, number, number)

    two = candidate(quantity(5, "mg"), quantity(9, "g"))

    def asked(prefix: Any, value: int, code: str | None, system: str | None = None) -> Quantity:
        number = Decimal(value)
        return Quantity("P.dose", prefix, number, number, number, system, code)

    assert holds(asked("gt", 6, "g"), two)
    assert not holds(asked("gt", 6, "mg"), two)
    assert holds(asked("gt", 6, None, "ucum"), two)
    assert not holds(asked("gt", 6, None, ""), two)


def test_a_number_compares_as_a_double() -> None:
    one = candidate(NumberValue("P.n", Decimal("0.10"), Decimal("0.10")))
    tenth = Decimal("0.1")
    assert holds(Number("P.n", "eq", tenth, tenth, tenth), one)


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ("http://x|1", "http://x", True),
        ("http://x|1", "http://x|1", True),
        ("http://x|1", "http://x|2", False),
        ("http://x", "http://x|1", False),
        ("http://x/y", "http://x", False),
        ("", "", False),
    ],
)
def test_a_canonical_without_version_is_any_version(
    stored: str, asked: str, expected: bool
) -> None:
    one = candidate(ReferenceValue("P.ref", "", "", stored))
    assert holds(Reference("P.ref", "", "", asked), one) is expected


def test_a_reference_here_is_type_and_id() -> None:
    one = candidate(ReferenceValue("P.ref", "Device", "7", ""))
    assert holds(Reference("P.ref", "Device", "7"), one)
    assert not holds(Reference("P.ref", "Patient", "7"), one)


@pytest.mark.parametrize(
    ("asked", "below", "expected"),
    [
        ("http://x/a", False, False),
        ("http://x/a", True, True),
        ("http://x/a/", True, True),
        ("http://x/a/b", True, True),
        ("http://x/a/b/", True, False),
        ("http://x", False, False),
        ("http://x/", True, True),
        ("http://x/a/bc", True, False),
        ("http://x/A", True, False),
    ],
)
def test_a_uri_is_below_its_path_prefixes(asked: str, below: bool, expected: bool) -> None:
    one = candidate(UriValue("P.url", "http://x/a/b"))
    assert holds(Uri("P.url", asked, below), one) is expected


def test_missing_looks_at_kind_and_atom() -> None:
    assert not holds(Missing("token", ("P.gender",)), MALE)
    assert not holds(Missing("token", ("P.none", "P.gender")), MALE)
    assert holds(Missing("text", ("P.gender",)), MALE)


def test_logic_has_its_empty_cases() -> None:
    assert holds(ALWAYS, MALE)
    assert not holds(NEVER, MALE)
    assert not holds(Not(ALWAYS), MALE)
    assert holds(Or((NEVER, Ids(("a",)))), MALE)
    assert not holds(And((ALWAYS, Ids(("b",)))), MALE)


def test_not_includes_resources_without_the_element() -> None:
    assert holds(Not(Token("P.gender", None, "male")), candidate())


def test_updated_is_an_instant() -> None:
    held = {p for p in PREFIXES if holds(Updated(p, 1000, 1999), MALE)}
    assert held == {"eq", "ge", "le", "ap"}


def test_a_chain_leads_to_what_is_there_and_satisfies() -> None:
    study = candidate(ReferenceValue("S.subject", "Patient", "a", ""), type="S", id="s")
    male = Token("P.gender", None, "male")
    assert holds(Linked("S.subject", "Patient", male), study, MALE)
    assert not holds(Linked("S.subject", "Patient", Not(male)), study, MALE)
    assert not holds(Linked("S.subject", "Patient", ALWAYS), study)
    assert not holds(Linked("S.subject", "Group", ALWAYS), study, MALE)
    assert holds(LinkedFrom("S", "S.subject", Ids(("s",))), MALE, study)
    assert not holds(LinkedFrom("S", "S.subject", Ids(("t",))), MALE, study)
    assert not holds(LinkedFrom("S", "S.other", ALWAYS), MALE, study)
    assert not holds(LinkedFrom("S", "S.subject", ALWAYS), candidate(id="b"), study)


def dated(type: str) -> str | None:
    return "O.effective" if type == "O" else None


def test_sort_keys_are_the_least_or_the_greatest_value() -> None:
    one = candidate(
        TokenValue("P.id", "z", "1"), TokenValue("P.id", "a", "2"), DateValue("P.birth", 5, 9)
    )
    rising = (Sort("value", "token", ("P.id",)), Sort("_id"), Sort("_lastUpdated"))
    assert sort_keys(rising, one, dated, Others()) == ("1", "a", 1000)
    falling = (
        Sort("value", "token", ("P.id", "P.more"), descending=True),
        Sort("value", "date", ("P.birth",), descending=True),
        Sort("value", "text", ("P.name",)),
    )
    assert sort_keys(falling, one, dated, Others()) == ("2", 5, None)


def test_the_clinical_date_is_a_key_only_where_there_is_one() -> None:
    by_date = (Sort("value", "date", ("O.effective",)),)
    with_date = candidate(DateValue("O.effective", 7, 9), type="O", clinical=7)
    without = candidate(DateValue("O.issued", 7, 9), type="O")
    assert sort_keys(by_date, with_date, dated, Others()) == (7,)
    assert sort_keys(by_date, without, dated, Others()) == (None,)
    assert own_keys(with_date, dated) == ("O", 7)
    assert own_keys(without, dated) == ("O", UNDATED)
    assert own_keys(candidate(clinical=3), dated) == ("Patient", 3)
