"""The nodes that _filter and modifiers lower to, over every store: strings compared, values that differ."""

from __future__ import annotations

from typing import Any

import pytest
from stored import ids, key, plan, put

from fhir_server.search.expression import (
    And,
    DateRange,
    Differs,
    Expression,
    LinkedFrom,
    Not,
    Or,
    Text,
    TextMatch,
    Token,
    Updated,
    Uri,
)
from fhir_server.search.values import MAX_INSTANT, DateValue, TextValue, TokenValue, UriValue

NAME, CODE, PROFILE, BIRTH = "Patient.name", "Patient.code", "Patient.profile", "Patient.birth"


def name(text: str) -> TextValue:
    return TextValue(NAME, text, text.upper())


def text(value: str, how: TextMatch) -> Text:
    return Text(NAME, value, how)


RESOURCES = [
    put(
        key("ann"),
        name("ann"),
        TokenValue(CODE, "s", "x"),
        UriValue(PROFILE, "http://a"),
        DateValue(BIRTH, 10, 20),
    ),
    put(
        key("bob"),
        name("bob"),
        name("bobby z"),
        TokenValue(CODE, "s", "x"),
        TokenValue(CODE, "t", "x"),
        UriValue(PROFILE, "http://a"),
        UriValue(PROFILE, "http://b"),
        DateValue(BIRTH, 10, MAX_INSTANT),
    ),
    put(key("cyd"), name("z\U0001f600"), TokenValue(CODE, "", "y"), DateValue(BIRTH, 12, 14)),
    put(key("dee"), TextValue(NAME, "ann", ""), TokenValue("Patient.other", "s", "x")),
    put(key("eve")),
]

CASES: list[tuple[Expression, str]] = [
    (text("ann", "same"), "ann dee"),
    (text("an", "same"), ""),
    (text("z", "ends"), "bob"),
    (text("\U0001f600", "ends"), "cyd"),
    (text("bobby z", "ends"), "bob"),
    (text("a bobby z", "ends"), ""),
    (text("", "ends"), "ann bob cyd dee"),
    (text("bob", "gt"), "bob cyd"),
    (text("bob", "ge"), "bob cyd"),
    (text("bob", "lt"), "ann dee"),
    (text("bob", "le"), "ann bob dee"),
    (text("z\uffff", "gt"), "cyd"),
    (text("ANN", "exact"), "ann"),
    (text("", "exact"), ""),
    (Differs(text("bob", "same")), "ann bob cyd dee"),
    (Differs(text("bob", "starts")), "ann cyd dee"),
    (Differs(text("b", "contains")), "ann cyd dee"),
    (Differs(Token(CODE, "s", "x")), "bob cyd"),
    (Differs(Token(CODE, None, "x")), "cyd"),
    (Differs(Token(CODE, "s", None)), "bob cyd"),
    (Differs(Token(CODE, None, None)), ""),
    (Differs(Token("Patient.nothing", None, "x")), ""),
    (Not(Differs(Token(CODE, None, "x"))), "ann bob dee eve"),
    (Differs(Uri(PROFILE, "http://a")), "bob"),
    (Differs(Uri(PROFILE, "http://c")), "ann bob"),
    (DateRange(BIRTH, "co", 12, 14), "ann bob cyd"),
    (DateRange(BIRTH, "co", 11, 14), "ann bob"),
    (DateRange(BIRTH, "co", 11, 21), "bob"),
    (DateRange(BIRTH, "co", 5, 12), ""),
    (Updated("co", 1_700_000_000_000, 1_700_000_000_000), "ann bob cyd dee eve"),
    (Updated("co", 1_700_000_000_000, 1_700_000_000_001), ""),
    (And((Differs(Token(CODE, "s", "x")), text("bob", "same"))), "bob"),
    (Or((Differs(Token(CODE, None, "x")), text("ann", "same"))), "ann cyd dee"),
    (
        Or((*(Token(CODE, "s", str(n)) for n in range(4_999)), Token(CODE, "s", "x"))),
        "ann bob",
    ),
    (LinkedFrom("Patient", "Patient.link", Differs(Token(CODE, None, "x"))), ""),
]


@pytest.fixture
async def filled(store: Any) -> Any:
    await store.commit(RESOURCES)
    return store


async def test_every_node_finds_what_it_says_and_counts_it(filled: Any) -> None:
    wrong = []
    for where, wanted in CASES:
        found = sorted(ids(await filled.search(plan(where))))
        if found != wanted.split() or await filled.count(plan(where)) != len(found):
            wrong.append((where, wanted, found))
    assert wrong == []
