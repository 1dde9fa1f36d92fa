"""Generated resources and plans: what is found in memory is found in SQLite and MongoDB, page by page."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from stored import TENANT, clinical, delete, drop, key, named, put, values_of

from fhir_server.search.expression import (
    And,
    Branch,
    Cursor,
    DatePrefix,
    DateRange,
    Differs,
    Expression,
    FullText,
    Ids,
    Linked,
    LinkedFrom,
    Missing,
    Near,
    Not,
    Number,
    Or,
    Plan,
    Prefix,
    Quantity,
    Reference,
    Sort,
    Text,
    TextMatch,
    Through,
    Token,
    Updated,
    Uri,
    Within,
)
from fhir_server.search.values import (
    MAX_INSTANT,
    MIN_INSTANT,
    DateValue,
    ElementValue,
    NumberValue,
    PositionValue,
    QuantityValue,
    ReferenceValue,
    TextValue,
    TokenValue,
    UriValue,
)
from fhir_server.store.memory import MemoryStore
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.sqlite import compile as compiler
from fhir_server.store.sqlite import reader, sources, texts
from fhir_server.store.sqlite.store import SqliteStore

PROVE = os.environ.get("HOUNSFIELD_PROVE") == "1"
TYPES = ("Patient", "Observation")
IDS = ("a", "b", "c", "d")
NOW = 1_700_000_000_000
Both = tuple[list[Any], list[Any]]  # what is meant, and what a store did

types = st.sampled_from(TYPES)
codes = st.sampled_from(["x", "X", "é", "1.2.3.4.5", "1.2.3.4.51", "urn:oid:1.2.3.4.5", ""])
systems = st.sampled_from(["", "s", "t"])
words = st.text("ab\u00e9\ud7ff\U0010ffff%_ \0", max_size=5)
instants = st.sampled_from([MIN_INSTANT, -1, 0, 1, 5, 9, 40_000_000_000, MAX_INSTANT])
decimals = st.decimals(-3, 3, places=1) | st.sampled_from(
    [Decimal("0.10"), Decimal("1e30"), Decimal("-0")]
)
ends = (
    decimals.map(lambda d: (d, d))
    | st.tuples(decimals, decimals).map(lambda d: (min(d), max(d)))
    | decimals.map(lambda d: (d, Decimal("Infinity")))
    | decimals.map(lambda d: (Decimal("-Infinity"), d))
)
uris = st.sampled_from(["http://x", "http://x/", "http://x/y", "http://xy", "http://x|1"])
prefixes = st.sampled_from(get_args(Prefix))
date_prefixes = st.sampled_from(get_args(DatePrefix))
kinds = ("token", "text", "date", "number", "quantity", "reference", "uri")
FIRST = {"Patient": "Patient.birth", "Observation": "Observation.effective"}


def ordered(values: list[Any]) -> list[Any]:
    return sorted(values)


def names(type: str, kind: str) -> list[str]:
    """Give the atoms of a kind: few, so that what is asked for is often there."""
    first = FIRST[type] if kind == "date" else f"{type}.{kind}"
    return [first, f"{type}.{kind}2"] if kind in {"token", "date", "reference"} else [first]


@cache
def atoms(type: str, kind: str) -> st.SearchStrategy[str]:
    return st.sampled_from(names(type, kind))


def three(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(strategy, min_size=3, max_size=3).map(ordered)


@cache
def some_values(type: str) -> st.SearchStrategy[list[Any]]:
    one = st.one_of([VALUES[kind](name) for kind in kinds for name in names(type, kind)])
    return st.lists(one, min_size=2, max_size=10, unique=True)


VALUES: dict[str, Callable[[str], st.SearchStrategy[Any]]] = {
    "token": lambda atom: st.builds(TokenValue, st.just(atom), systems, codes),
    "text": lambda atom: words.map(lambda w: TextValue(atom, w.casefold(), w)),
    "date": lambda atom: st.tuples(instants, instants).map(
        lambda ends: DateValue(atom, min(ends), max(ends))
    ),
    "number": lambda atom: ends.map(lambda d: NumberValue(atom, *d)),
    "quantity": lambda atom: st.builds(
        lambda d, s, c: QuantityValue(atom, s, c, *d), ends, systems, codes
    ),
    "reference": lambda atom: (
        st.builds(
            ReferenceValue, st.just(atom), types, st.sampled_from([*IDS, "nobody"]), st.just("")
        )
        | uris.map(lambda u: ReferenceValue(atom, "", "", u))
    ),
    "uri": lambda atom: uris.map(lambda u: UriValue(atom, u)),
}

steps = st.integers(-2, 2).map(lambda n: n * 300_000_000)


def a_place(type: str) -> st.SearchStrategy[PositionValue]:
    return st.builds(PositionValue, st.just(f"{type}.position"), steps, steps, steps)


@cache
def an_element(type: str) -> st.SearchStrategy[ElementValue]:
    """One repetition of an element: what is in it is also a value of the resource."""
    one = st.one_of([VALUES[kind](name) for kind in kinds for name in names(type, kind)])
    held = st.lists(one, max_size=4, unique=True).map(lambda found: values_of(*found))
    return st.builds(ElementValue, st.just(f"{type}.part"), held)


full_words = st.sampled_from(["a", "ab", "b", "\u00df", "\u80ba"])
written = st.lists(full_words, max_size=4).map(" ".join)


@st.composite
def a_change(draw: st.DrawFn) -> Any:
    type_ = draw(types)
    where = key(draw(st.sampled_from(IDS)), type_)
    if draw(st.integers(0, 9)) == 0:
        return delete(where)
    found = draw(some_values(type_))
    main = [v.low for v in found if isinstance(v, DateValue) and v.atom == clinical(type_)]
    made = put(where, *found, clinical=min(main) if main else 0)
    made.values.positions += draw(st.lists(a_place(type_), max_size=2, unique=True))
    made.values.elements += draw(st.lists(an_element(type_), max_size=3))
    made.values.narrative, made.values.content = draw(written), draw(written)
    return made


def a_leaf(type: str) -> st.SearchStrategy[Any]:
    def of(kind: str) -> st.SearchStrategy[str]:
        return atoms(type, kind)

    asked = st.tuples(instants, instants).map(ordered)
    a_text = st.builds(Text, of("text"), words, st.sampled_from(get_args(TextMatch)))
    missing = st.one_of(
        [
            st.builds(Missing, st.just(kind), st.lists(of(kind), min_size=1, max_size=2).map(tuple))
            for kind in kinds
        ]
    )
    return st.one_of(
        st.builds(Token, of("token"), st.none() | systems, st.none() | codes),
        a_text,
        st.builds(
            Differs,
            st.builds(Token, of("token"), st.none() | systems, st.none() | codes)
            | a_text.filter(lambda text: text.how != "exact")
            | st.builds(Uri, of("uri"), uris),
        ),
        st.tuples(of("date"), date_prefixes, asked).map(lambda t: DateRange(t[0], t[1], *t[2])),
        st.tuples(of("number"), prefixes, three(decimals)).map(
            lambda t: Number(t[0], t[1], t[2][1], t[2][0], t[2][2])
        ),
        st.tuples(
            of("quantity"), prefixes, three(decimals), st.none() | systems, st.none() | codes
        ).map(lambda t: Quantity(t[0], t[1], t[2][1], t[2][0], t[2][2], t[3], t[4])),
        st.builds(
            FullText,
            st.sampled_from(["narrative", "content"]),
            st.lists(full_words, min_size=1, max_size=3).map(tuple),
            st.booleans(),
        ),
        st.builds(Reference, of("reference"), types, st.sampled_from(IDS)),
        st.builds(Reference, of("reference"), st.just(""), st.just(""), uris),
        st.builds(Uri, of("uri"), uris, st.booleans()),
        missing,
        st.just(Missing("position", (f"{type}.position",))),
        st.builds(
            Near,
            st.just(f"{type}.position"),
            *(steps, steps, steps),
            st.sampled_from([0, 300_000_000, 424_264_069, 1_274_201_760]),
        ),
        st.lists(st.sampled_from(IDS), max_size=3).map(lambda ids: Ids(tuple(ids))),
        st.tuples(date_prefixes, st.integers(-2, 2), st.integers(0, 2)).map(
            lambda t: Updated(t[0], NOW + t[1], NOW + t[1] + t[2])
        ),
    )


def expression(draw: st.DrawFn, type: str, depth: int = 2) -> Expression:
    """Draw an expression; a plain function, because strategies of strategies cost more than the searches."""
    choice = draw(st.integers(0, 8)) if depth else 0
    if choice <= 2:
        return draw(LEAVES[type])
    if choice == 3:
        return Not(expression(draw, type, depth - 1))
    if choice <= 5:
        parts = tuple(expression(draw, type, depth - 1) for _ in range(draw(st.integers(0, 3))))
        return And(parts) if choice == 4 else Or(parts)
    if choice == 8:
        return Within(f"{type}.part", inside(draw, type))
    other = draw(types)
    if choice == 6:
        atom = draw(atoms(type, "reference"))
        return Linked(atom, other, expression(draw, other, depth - 1))
    return LinkedFrom(other, draw(atoms(other, "reference")), expression(draw, other, depth - 1))


def inside(draw: st.DrawFn, type: str, depth: int = 2) -> Expression:
    """Draw what one repetition of an element may be asked for: values and logic, no more."""
    choice = draw(st.integers(0, 5)) if depth else 0
    if choice <= 2:
        leaf: Expression = draw(
            LEAVES[type].filter(lambda node: not isinstance(node, Ids | Updated | FullText | Near))
        )
        return leaf
    if choice == 3:
        return Not(inside(draw, type, depth - 1))
    parts = tuple(inside(draw, type, depth - 1) for _ in range(draw(st.integers(0, 3))))
    return And(parts) if choice == 4 else Or(parts)


def a_sort(draw: st.DrawFn) -> Sort:
    choice, descending = draw(st.integers(0, 4)), draw(st.booleans())
    if choice == 0:
        return Sort(draw(st.sampled_from(["_id", "_lastUpdated"])), descending=descending)
    if choice == 1:
        return Sort("value", "date", tuple(FIRST.values()), descending)
    kind = draw(st.sampled_from(kinds))
    if choice == 4:
        source, target = draw(types), draw(types)
        access = draw(st.just(And(())) | LEAVES[target])
        through = Through(draw(atoms(source, "reference")), target, access)
        return Sort("value", kind, tuple(names(target, kind)), descending, (through,))
    every = [name for type_ in TYPES for name in names(type_, kind)]
    chosen = draw(st.lists(st.sampled_from(every), min_size=1, max_size=3))
    return Sort("value", kind, tuple(chosen), descending)


@st.composite
def a_plan(draw: st.DrawFn) -> Plan:
    chosen = draw(st.lists(types, min_size=1, max_size=2, unique=True))
    branches = tuple(Branch(type_, expression(draw, type_)) for type_ in chosen)
    return Plan(TENANT, branches, tuple(a_sort(draw) for _ in range(draw(st.integers(0, 2)))))


LEAVES = {type_: a_leaf(type_) for type_ in TYPES}


async def pages(store: Any, plan: Plan, size: int) -> list[Any]:
    found: list[Any] = []
    while True:
        page = await store.search(replace(plan, limit=size))
        found += [(match.version.key, match.keys) for match in page]
        if len(page) < size:
            return found
        plan = replace(plan, after=Cursor(page[-1].keys, page[-1].place))


groups = st.lists(st.lists(a_change(), min_size=2, max_size=6), min_size=2, max_size=4)


SETTINGS = settings(
    max_examples=1000 if PROVE else 100,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
some_plans = st.lists(a_plan(), min_size=4, max_size=8)


@pytest.mark.parametrize("streaming", [False, True], ids=["gathered", "streamed"])
@SETTINGS
@given(written=groups, asked=some_plans)
def test_memory_and_sqlite_find_the_same(
    tmp_path_factory: Any, streaming: bool, written: list[list[Any]], asked: list[Plan]
) -> None:
    """Few resources are always gathered and sorted; `streamed` makes them be taken as many would be."""
    with pytest.MonkeyPatch.context() as patch:
        if streaming:
            patch.setattr(compiler, "_GATHER_COST", 0)
            patch.setattr(reader, "_STRAIGHT", -1)
            patch.setattr(compiler, "PROBES", (1,))
            patch.setattr(compiler, "THOROUGH", (1,))
            patch.setattr(sources, "_SEPARATE", 1)
            patch.setattr(texts, "STRAIGHT", 1)
        folder = tmp_path_factory.mktemp("agreement")
        meant, found = asyncio.run(both_with_sqlite(folder, written, asked))
    assert found == meant


async def both_with_sqlite(folder: Path, written: list[list[Any]], asked: list[Plan]) -> Both:
    now = [NOW]
    sqlite = SqliteStore(folder / "s.sqlite", clinical=clinical, clock=lambda: now[0])
    await sqlite.open()
    try:
        return await both(sqlite, now, written, asked)
    finally:
        await sqlite.close()


class Mongo:
    """One database and one event loop for all examples; each begins with nothing stored."""

    def __init__(self, url: str) -> None:
        self.now = [NOW]
        self.url = named(url)
        self.runner = asyncio.Runner()
        self.store = MongoStore(self.url, clinical=clinical, clock=lambda: self.now[0])
        self.runner.run(self.store.open())

    async def both(self, written: list[list[Any]], asked: list[Plan]) -> Both:
        for name in ("resources", "history", "changes"):
            await self.store._database[name].delete_many({})
        await self.store._database["head"].update_one({}, {"$set": {"position": 0, "updated": 0}})
        self.now[0] = NOW
        return await both(self.store, self.now, written, asked)

    def close(self) -> None:
        self.runner.run(self.store.close())
        self.runner.run(drop(self.url))
        self.runner.close()


@pytest.fixture
def mongo_alone(mongo_url: str) -> Iterator[Mongo]:
    made = Mongo(mongo_url)
    yield made
    made.close()


@SETTINGS
@given(written=groups, asked=some_plans)
def test_memory_and_mongo_find_the_same(
    mongo_alone: Mongo, written: list[list[Any]], asked: list[Plan]
) -> None:
    meant, found = mongo_alone.runner.run(mongo_alone.both(written, asked))
    assert found == meant


async def both(store: Any, now: list[int], written: list[list[Any]], asked: list[Plan]) -> Both:
    """Write and ask the same in memory and in a store; gives what is meant and what the store did."""
    memory = MemoryStore(clinical=clinical, clock=lambda: now[0])
    meant, found = [], []
    for changes in written:
        meant.append(await memory.commit(changes))
        found.append(await store.commit(changes))
        now[0] += 1
    for plan in asked:
        meant.append(await told(memory, plan))
        found.append(await told(store, plan))
    assert await store.verify() == []
    return meant, found


async def told(store: Any, plan: Plan) -> list[Any]:
    """Give what a store finds, the same whether asked at once, in pages, backwards or for a count."""
    whole = await pages(store, plan, 1000)
    assert await pages(store, plan, 2) == whole
    back = replace(plan, backwards=True)
    assert await pages(store, back, 3) == whole[::-1]
    assert [one.version.key for one in await store.search(plan)] == [place for place, _ in whole]
    assert await store.count(plan) == len(whole)
    return whole
