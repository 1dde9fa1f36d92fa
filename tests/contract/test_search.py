"""Search over every store adapter: each node of the expression tree, orders, pages and counts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from stored import TENANT, delete, ids, key, plan, put

from fhir_server.search.expression import (
    ALWAYS,
    NEVER,
    And,
    Branch,
    Cursor,
    DateRange,
    Expression,
    Ids,
    Linked,
    LinkedFrom,
    Missing,
    Not,
    Number,
    Or,
    Plan,
    Quantity,
    Reference,
    Sort,
    Text,
    Token,
    Updated,
    Uri,
)
from fhir_server.search.values import (
    MAX_INSTANT,
    MIN_INSTANT,
    DateValue,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    TextValue,
    TokenValue,
    UriValue,
)

UID = "urn:oid:1.2.840.99.7"


def name(text: str) -> TextValue:
    return TextValue("Patient.name", text.casefold(), text)


def quantity(value: str, code: str = "mg", system: str = "ucum") -> QuantityValue:
    number = Decimal(value)
    return QuantityValue("Patient.dose", system, code, number, number)


def number(value: str) -> NumberValue:
    exact = Decimal(value)
    return NumberValue("Patient.score", exact, exact)


def asked(prefix: Any, value: str) -> Number:
    exact = Decimal(value)
    half = Decimal(5).scaleb(exact.as_tuple().exponent - 1)  # type: ignore[operator]
    return Number("Patient.score", prefix, exact, exact - half, exact + half)


def dose(prefix: Any, value: str, system: str | None = None, code: str | None = None) -> Quantity:
    number = Decimal(value)
    return Quantity("Patient.dose", prefix, number, number - 1, number + 1, system, code)


def to(type: str, id: str, atom: str = "Patient.link") -> ReferenceValue:
    return ReferenceValue(atom, type, id, "")


def url(text: str) -> ReferenceValue:
    return ReferenceValue("Patient.link", "", "", text)


PATIENTS = [
    put(
        key("ann"),
        TokenValue("Patient.identifier", "urn:mrn", "17"),
        TokenValue("Patient.gender", "", "female"),
        name("Ann Ärger"),
        DateValue("Patient.birth", 1_000, 1_999),
        number("7.0"),
        quantity("5"),
        UriValue("Patient.profile", "http://x.org/a/b"),
    ),
    put(
        key("bob"),
        TokenValue("Patient.identifier", "urn:mrn", "18"),
        TokenValue("Patient.identifier", "urn:other", "17"),
        TokenValue("Patient.gender", "", "male"),
        name("Bob"),
        name("Bobby_%"),
        DateValue("Patient.birth", 5_000, MAX_INSTANT),
        number("7.04"),
        quantity("5", "g"),
        quantity("80"),
        UriValue("Patient.profile", "http://x.org/a"),
        to("Patient", "ann"),
        url("http://e.org/v|2"),
    ),
    put(
        key("cyd"),
        TokenValue("Patient.identifier", "", UID + ".12"),
        DateValue("Patient.birth", MIN_INSTANT, 900),
        number("-3"),
        quantity("5", "mg", ""),
        UriValue("Patient.profile", "http://x.org/ab"),
        to("Patient", "bob"),
        to("Device", "d"),
        url("http://e.org/v"),
    ),
    put(key("dee"), to("Patient", "gone"), to("Patient", "ann", "Patient.other")),
    put(key("gone"), name("Gone")),
]
OTHERS = [
    put(
        key("o1", "Observation"),
        TokenValue("Observation.code", "loinc", "8867-4"),
        to("Patient", "ann", "Observation.subject"),
    ),
    put(
        key("o2", "Observation"),
        TokenValue("Observation.code", "loinc", "8310-5"),
        TokenValue("Observation.status", "", "final"),
        to("Patient", "bob", "Observation.subject"),
        to("Observation", "o1", "Observation.member"),
    ),
]

CASES: list[tuple[Expression, str]] = [
    (ALWAYS, "ann bob cyd dee"),
    (NEVER, ""),
    (Token("Patient.identifier", "urn:mrn", "17"), "ann"),
    (Token("Patient.identifier", None, "17"), "ann bob"),
    (Token("Patient.identifier", "urn:other", "18"), ""),
    (Token("Patient.identifier", "urn:mrn", None), "ann bob"),
    (Token("Patient.identifier", "", None), "cyd"),
    (Token("Patient.identifier", None, None), "ann bob cyd"),
    (Token("Patient.gender", "", "male"), "bob"),
    (Token("Patient.gender", None, "MALE"), ""),
    (Token("Patient.identifier", None, UID + ".12"), "cyd"),
    (Token("Patient.identifier", None, UID + ".1"), ""),
    (Token("Patient.identifier", None, UID + ".012"), ""),
    (Token("Patient.nothing", None, "17"), ""),
    (Text("Patient.name", "bob"), "bob"),
    (Text("Patient.name", "ann ä"), "ann"),
    (Text("Patient.name", "nn"), ""),
    (Text("Patient.name", ""), "ann bob"),
    (Text("Patient.name", "ärg", "contains"), "ann"),
    (Text("Patient.name", "_%", "contains"), "bob"),
    (Text("Patient.name", "Bob", "exact"), "bob"),
    (Text("Patient.name", "bob", "exact"), ""),
    (DateRange("Patient.birth", "eq", 1_000, 2_000), "ann"),
    (DateRange("Patient.birth", "eq", 1_100, 2_000), ""),
    (DateRange("Patient.birth", "ne", 1_000, 2_000), "bob cyd"),
    (DateRange("Patient.birth", "lt", 1_000, 2_000), "cyd"),
    (DateRange("Patient.birth", "le", 1_000, 2_000), "ann cyd"),
    (DateRange("Patient.birth", "gt", 1_500, 1_600), "ann bob"),
    (DateRange("Patient.birth", "ge", 1_000, 2_000), "ann bob"),
    (DateRange("Patient.birth", "sa", 1_999, 4_000), "bob"),
    (DateRange("Patient.birth", "eb", 1_000, 2_000), "cyd"),
    (DateRange("Patient.birth", "ap", 900, 1_000), "ann cyd"),
    (asked("eq", "7"), "ann bob"),
    (asked("eq", "7.0"), "ann bob"),
    (asked("eq", "7.00"), "ann"),
    (asked("ne", "7.00"), "bob cyd"),
    (asked("gt", "7"), "bob"),
    (asked("ge", "7"), "ann bob"),
    (asked("lt", "7"), "cyd"),
    (asked("le", "7"), "ann cyd"),
    (asked("sa", "-3"), "ann bob"),
    (asked("eb", "7"), "cyd"),
    (asked("ap", "7.0"), "ann bob"),
    (dose("eq", "5"), "ann bob cyd"),
    (dose("eq", "5", "ucum", "mg"), "ann"),
    (dose("eq", "5", "", "mg"), "cyd"),
    (dose("eq", "5", None, "g"), "bob"),
    (dose("gt", "5", None, "mg"), "bob"),
    (dose("gt", "5", None, "g"), ""),
    (Reference("Patient.link", "Patient", "ann"), "bob"),
    (Reference("Patient.link", "Device", "ann"), ""),
    (Reference("Patient.link", "", "", "http://e.org/v"), "bob cyd"),
    (Reference("Patient.link", "", "", "http://e.org/v|2"), "bob"),
    (Reference("Patient.link", "", "", "http://e.org/v|3"), ""),
    (Uri("Patient.profile", "http://x.org/a"), "bob"),
    (Uri("Patient.profile", "http://x.org/a", below=True), "ann bob"),
    (Uri("Patient.profile", "http://x.org/", below=True), "ann bob cyd"),
    (Missing("token", ("Patient.gender",)), "cyd dee"),
    (Missing("token", ("Patient.gender", "Patient.identifier")), "dee"),
    (Missing("text", ("Patient.gender",)), "ann bob cyd dee"),
    (Missing("date", ("Patient.birth",)), "dee"),
    (Missing("number", ("Patient.score",)), "dee"),
    (Missing("quantity", ("Patient.dose",)), "dee"),
    (Missing("reference", ("Patient.link",)), "ann"),
    (Missing("uri", ("Patient.profile",)), "dee"),
    (Not(Missing("uri", ("Patient.profile",))), "ann bob cyd"),
    (Ids(("bob", "dee", "gone", "zed")), "bob dee"),
    (Ids(()), ""),
    (Linked("Patient.link", "Patient", Token("Patient.gender", None, "female")), "bob"),
    (Linked("Patient.link", "Patient", ALWAYS), "bob cyd"),
    (Linked("Patient.link", "Device", ALWAYS), ""),
    (
        Linked("Patient.link", "Patient", Linked("Patient.link", "Patient", Ids(("ann",)))),
        "cyd",
    ),
    (Linked("Patient.link", "Patient", Text("Patient.name", "o", "contains")), "cyd"),
    (Linked("Patient.link", "Patient", Not(Token("Patient.gender", None, "male"))), "bob"),
    (Linked("Patient.link", "Nothing", ALWAYS), ""),
    (
        LinkedFrom("Observation", "Observation.subject", Token("Observation.code", None, "8867-4")),
        "ann",
    ),
    (LinkedFrom("Observation", "Observation.subject", ALWAYS), "ann bob"),
    (LinkedFrom("Patient", "Patient.link", ALWAYS), "ann bob"),
    (LinkedFrom("Patient", "Patient.other", ALWAYS), "ann"),
    (LinkedFrom("Nothing", "Nothing.subject", ALWAYS), ""),
    (
        LinkedFrom(
            "Observation",
            "Observation.subject",
            Linked("Observation.member", "Observation", Token("Observation.code", None, "8867-4")),
        ),
        "bob",
    ),
    (Not(Token("Patient.gender", None, "male")), "ann cyd dee"),
    (Not(Not(Token("Patient.gender", None, "male"))), "bob"),
    (Not(LinkedFrom("Observation", "Observation.subject", ALWAYS)), "cyd dee"),
    (Not(ALWAYS), ""),
    (Not(DateRange("Patient.birth", "ge", 1_000, 2_000)), "cyd dee"),
    (And((Token("Patient.identifier", None, "17"), Token("Patient.gender", None, "male"))), "bob"),
    (
        And((Token("Patient.identifier", None, "17"), And((Not(Text("Patient.name", "bob")),)))),
        "ann",
    ),
    (And((Not(Text("Patient.name", "x")), Not(Text("Patient.name", "b")))), "ann cyd dee"),
    (Or((Token("Patient.gender", None, "male"), Missing("date", ("Patient.birth",)))), "bob dee"),
    (Or(tuple(Token("Patient.gender", None, c) for c in ("male", "female", "male"))), "ann bob"),
    (Or(tuple(Token("Patient.identifier", None, str(n)) for n in range(15, 60))), "ann bob"),
    (Or((Text("Patient.name", "ann"), Reference("Patient.link", "Patient", "bob"))), "ann cyd"),
    (And((Or((Ids(("ann",)), Ids(("cyd",)))), asked("gt", "0"))), "ann"),
]


@pytest.fixture
async def filled(store: Any) -> Any:
    await store.commit([*PATIENTS, *OTHERS])
    await store.commit([delete(key("gone"))])
    await store.commit([put(key("zed", tenant="south"), *every_value())])
    return store


def every_value() -> list[Any]:
    return [
        value
        for change in PATIENTS
        for kind in ("tokens", "texts", "dates", "numbers", "quantities", "references", "uris")
        for value in getattr(change.values, kind)
    ]


@pytest.mark.parametrize(("where", "expected"), CASES, ids=repr)
async def test_a_node_finds_what_satisfies_it_and_nothing_else(
    filled: Any, where: Expression, expected: str
) -> None:
    assert sorted(ids(await filled.search(plan(where)))) == expected.split()
    assert sorted(ids(await filled.search(plan(where, limit=50)))) == expected.split()
    assert await filled.count(plan(where, limit=1)) == len(expected.split())
    by_id = plan(where, sort=(Sort("_id", descending=True),))
    assert ids(await filled.search(by_id)) == sorted(expected.split(), reverse=True)
    narrowed = And((where, Ids(("ann", "bob", "cyd", "dee"))))
    assert sorted(ids(await filled.search(plan(narrowed, limit=50)))) == expected.split()


async def test_last_updated_compares_instants(store: Any, clock: Any) -> None:
    start = clock.now
    for name_ in "abc":
        await store.commit([put(key(name_))])
        clock.now += 1000
    middle = start + 1000
    for prefix, expected in {
        "eq": "b",
        "ne": "ac",
        "gt": "c",
        "ge": "bc",
        "lt": "a",
        "le": "ab",
        "sa": "c",
        "eb": "a",
        "ap": "b",
    }.items():
        where = Updated(prefix, middle - 400, middle + 400)  # type: ignore[arg-type]
        assert "".join(ids(await store.search(plan(where, limit=10)))) == expected
        assert await store.count(plan(where)) == len(expected)
        both = And((where, Not(Ids(("z",)))))
        newest = plan(both, limit=10, sort=(Sort("_lastUpdated", descending=True),))
        assert "".join(ids(await store.search(newest))) == expected[::-1]


async def pages(store: Any, whole: Plan, size: int) -> list[str]:
    """Follow cursors to the end."""
    found: list[str] = []
    after: Cursor | None = None
    while True:
        page = await store.search(Plan(whole.tenant, whole.branches, whole.sort, size, after))
        found += ids(page)
        if len(page) < size:
            return found
        after = Cursor(page[-1].keys, page[-1].place)


SORTS: list[tuple[tuple[Sort, ...], str]] = [
    ((), "ann bob cyd dee"),
    ((Sort("_id"),), "ann bob cyd dee"),
    ((Sort("_id", descending=True),), "dee cyd bob ann"),
    ((Sort("value", "token", ("Patient.identifier",)),), "ann bob cyd dee"),
    ((Sort("value", "token", ("Patient.identifier",), descending=True),), "cyd bob ann dee"),
    ((Sort("value", "token", ("Patient.gender",)),), "ann bob cyd dee"),
    ((Sort("value", "text", ("Patient.name",), descending=True),), "bob ann dee cyd"),
    ((Sort("value", "date", ("Patient.birth",)),), "cyd ann bob dee"),
    ((Sort("value", "date", ("Patient.birth",), descending=True),), "bob ann cyd dee"),
    ((Sort("value", "number", ("Patient.score",)),), "cyd ann bob dee"),
    ((Sort("value", "number", ("Patient.score",), descending=True),), "bob ann cyd dee"),
    ((Sort("value", "quantity", ("Patient.dose",), descending=True),), "bob cyd ann dee"),
    ((Sort("value", "reference", ("Patient.link",)),), "cyd bob dee ann"),
    ((Sort("value", "uri", ("Patient.profile",)),), "bob ann cyd dee"),
    ((Sort("value", "uri", ("Patient.none", "Patient.profile")),), "bob ann cyd dee"),
    ((Sort("value", "uri", ("Patient.none",)), Sort("_id", descending=True)), "dee cyd bob ann"),
    (
        (Sort("value", "text", ("Patient.name",)), Sort("value", "number", ("Patient.score",))),
        "ann bob cyd dee",
    ),
    (
        (
            Sort("value", "quantity", ("Patient.dose",)),
            Sort("value", "date", ("Patient.birth",), descending=True),
        ),
        "bob ann cyd dee",
    ),
]


@pytest.mark.parametrize(("sort", "expected"), SORTS, ids=repr)
async def test_an_order_is_total_and_the_same_by_pages(
    filled: Any, sort: tuple[Sort, ...], expected: str
) -> None:
    whole = plan(sort=sort)
    assert ids(await filled.search(whole)) == expected.split()
    for size in (1, 2, 3):
        assert await pages(filled, whole, size) == expected.split()


def observed(id: str, at: int | None, **more: Any) -> Any:
    dates = [] if at is None else [DateValue("Observation.effective", at, at + 10)]
    code = TokenValue("Observation.code", "loinc", more.get("code", "c"))
    other = TokenValue("Observation.code", "local", more.get("code", "c"))
    subject = to("Patient", more.get("subject", "p"), "Observation.subject")
    return put(key(id, "Observation"), code, other, subject, *dates, clinical=at or 0)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(
    "where",
    [
        ALWAYS,
        Token("Observation.code", None, "c"),
        Token("Observation.code", "loinc", "c"),
        Or((Token("Observation.code", None, "c"), Token("Observation.code", "local", "d"))),
        Reference("Observation.subject", "Patient", "p"),
        And((Reference("Observation.subject", "Patient", "p"), Not(Ids(("zz",))))),
    ],
    ids=repr,
)
async def test_the_clinical_date_orders_with_the_undated_last(
    store: Any, where: Expression, descending: bool
) -> None:
    dates = {"a": 500, "b": None, "c": -700, "d": 500, "e": 0, "f": None, "g": 900}
    await store.commit([observed(id, at) for id, at in dates.items()])
    await store.commit([put(key("h", "Observation"))])
    sort = (Sort("value", "date", ("Observation.effective",), descending),)
    order = "gdaecfb" if descending else "ceadgbf"
    order = order.replace("fb", "hfb") if descending and where == ALWAYS else order
    order = order + "h" if not descending and where == ALWAYS else order
    whole = plan(where, "Observation", sort=sort)
    assert "".join(ids(await store.search(whole))) == order
    for size in (1, 2, 3, 7):
        assert "".join(await pages(store, whole, size)) == order
    own = plan(where, "Observation")
    assert "".join(await pages(store, own, 2)) == "".join(ids(await store.search(own)))
    assert await store.count(own) == len(order)


async def test_several_types_come_in_one_order(store: Any) -> None:
    await store.commit([observed("o1", 50), observed("o2", 10), put(key("p1")), put(key("p2"))])
    study = DateValue("ImagingStudy.started", 30, 40)
    await store.commit([put(key("s1", "ImagingStudy"), study, clinical=30)])
    branches = tuple(Branch(type_, ALWAYS) for type_ in ("Patient", "ImagingStudy", "Observation"))
    own = Plan(TENANT, branches)
    assert ids(await store.search(own)) == ["s1", "o2", "o1", "p1", "p2"]
    assert await pages(store, own, 2) == ["s1", "o2", "o1", "p1", "p2"]
    assert await store.count(own) == 5
    atoms = ("Observation.effective", "ImagingStudy.started")
    newest = Plan(TENANT, branches[1:], (Sort("value", "date", atoms, descending=True),))
    assert ids(await store.search(newest)) == ["o1", "s1", "o2"]
    assert await pages(store, newest, 1) == ["o1", "s1", "o2"]
    named = Plan(TENANT, branches, (Sort("_id"),))
    assert await pages(store, named, 2) == ["o1", "o2", "p1", "p2", "s1"]
    mixed = Plan(TENANT, branches, (Sort("value", "date", atoms),))
    assert await pages(store, mixed, 2) == ["o2", "s1", "o1", "p1", "p2"]


async def test_a_type_named_twice_is_found_once(store: Any) -> None:
    await store.commit([put(key("a")), put(key("b"))])
    twice = Plan(TENANT, (Branch("Patient", Ids(("a",))), Branch("Patient", ALWAYS)))
    assert ids(await store.search(twice)) == ["a", "b"]
    assert await store.count(twice) == 2


async def test_a_limit_of_none_gives_all_and_of_zero_nothing(store: Any) -> None:
    await store.commit([put(key(str(n))) for n in range(30)])
    assert len(await store.search(plan())) == 30
    assert await store.search(plan(limit=0)) == []
    assert await store.count(plan(limit=0)) == 30


async def test_explain_tells_a_person_something(filled: Any) -> None:
    assert "Patient" in await filled.explain(plan(ALWAYS)) or "SELECT" in await filled.explain(
        plan(ALWAYS)
    )
