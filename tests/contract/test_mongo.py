"""What only the MongoDB adapter promises: indexes that are used, shard keys, servers that will not do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import mongod
import pytest
from pymongo.monitoring import CommandListener
from stored import Clock, clinical, delete, drop, ids, key, named, plan, put

from fhir_server.search.expression import (
    ALWAYS,
    And,
    Branch,
    Cursor,
    DateRange,
    Expression,
    FullText,
    Linked,
    LinkedFrom,
    Not,
    Or,
    Plan,
    Reference,
    Sort,
    Text,
    Token,
    Updated,
)
from fhir_server.search.values import (
    DateValue,
    ReferenceValue,
    TextValue,
    TokenValue,
    no_values,
)
from fhir_server.settings import SettingsError
from fhir_server.store.mongo import connection, contents, links
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.port import (
    Body,
    Change,
    NoMatch,
    SchemaTooNew,
    StoreUnavailable,
    VersionIs,
)
from resources.outcome import TooCostly, TooLarge

NEWEST = (Sort("value", "date", ("Observation.effective",), descending=True),)


# --- indexes ---


def observation(n: int) -> Any:
    at = 1_000_000 * n
    return put(
        key(f"o{n}", "Observation"),
        TokenValue("Observation.code", "loinc", f"c{n % 3}"),
        TokenValue("Observation.status", "", "final"),
        TokenValue("Observation.identifier", "urn:x", f"i{n}"),
        ReferenceValue("Observation.subject", "Patient", f"p{n % 40}", ""),
        DateValue("Observation.effective", at, at + 999),
        TextValue("Observation.note", f"note {n}", f"Note {n}"),
        clinical=at,
    )


async def filled(url: str) -> None:
    clock = Clock()
    store = MongoStore(url, clinical=clinical, clock=clock)
    await store.open()
    await store.commit([observation(n) for n in range(1200)])
    families = [TextValue("Patient.family", f"f{n}", f"F{n}") for n in range(40)]
    await store.commit([put(key(f"p{n}"), name) for n, name in enumerate(families)])
    clock.now += 5000
    await store.commit([observation(n) for n in (5, 6, 7)])
    await store.close()


@pytest.fixture(scope="module")
def busy_url(mongo_url: str) -> Iterator[str]:
    url = named(mongo_url)
    asyncio.run(filled(url))
    yield url
    asyncio.run(drop(url))


@pytest.fixture
async def busy(busy_url: str) -> AsyncIterator[MongoStore]:
    """A store with 1,240 resources, for tests that write nothing."""
    store = MongoStore(busy_url, clinical=clinical)
    await store.open()
    yield store
    await store.close()


CODE = Token("Observation.code", None, "c1")
SUBJECT = Reference("Observation.subject", "Patient", "p7")
STATUS = Token("Observation.status", None, "final")
SHAPES: list[tuple[Expression, str, int]] = [
    (ALWAYS, "clinical", 1),
    (Token("Observation.identifier", "urn:x", "i77"), "values", 1),
    (CODE, "values", 1),
    (Token("Observation.code", "loinc", "c1"), "values", 1),
    (SUBJECT, "values", 1),
    (And((SUBJECT, CODE)), "values", 3),
    (And((DateRange("Observation.effective", "ge", 0, 0), CODE, SUBJECT)), "values", 3),
    (And((STATUS, SUBJECT)), "values", 1),
    (Or((SUBJECT, Reference("Observation.subject", "Patient", "p8"))), "values", 1),
    (Or((SUBJECT, Token("Observation.identifier", None, "i9"))), "values", 1),
    (DateRange("Observation.effective", "eq", 5_000_000, 14_999_999), "values", 1),
    # an interval of up to a day may reach here from the day before
    (DateRange("Observation.effective", "ge", 1_190_000_000, 1_190_000_001), "values", 10),
    (Text("Observation.note", "note 7"), "values", 1),
    (Text("Observation.note", "Note 7", "exact"), "values", 1),
    (And((STATUS, Updated("ge", 1_700_000_005_000, 1_700_000_005_000))), "updated", 1),
    (Linked("Observation.subject", "Patient", Text("Patient.family", "f7")), "values", 1),
]


def looked_at(told: str) -> tuple[int, int, int]:
    """Give how many keys and documents a plan's queries looked at, and how many they gave."""
    keys, documents, returned = (
        sum(map(int, re.findall(rf"{what} (\d+)", told)))
        for what in ("keys examined", "documents examined", "returned")
    )
    return keys, documents, returned


@pytest.mark.parametrize("sort", [(), NEWEST], ids=["own", "newest"])
@pytest.mark.parametrize(("where", "index", "spread"), SHAPES, ids=repr)
async def test_a_search_looks_at_about_what_it_gives(
    busy: MongoStore, where: Expression, index: str, spread: int, sort: Any
) -> None:
    told = await busy.explain(plan(where, "Observation", sort=sort))
    assert f"IXSCAN {index}" in told
    assert "COLLSCAN" not in told
    keys, documents, returned = looked_at(told)
    assert returned > 0
    assert documents <= spread * returned
    assert keys <= spread * returned + 5


@pytest.mark.parametrize("sort", [(), NEWEST], ids=["own", "newest"])
@pytest.mark.parametrize("where", [ALWAYS, CODE, SUBJECT, And((STATUS, SUBJECT))], ids=repr)
async def test_a_page_looks_at_the_page_only(
    busy: MongoStore, where: Expression, sort: Any
) -> None:
    told = await busy.explain(plan(where, "Observation", sort=sort, limit=10))
    assert "SORT" not in told
    keys, documents, returned = looked_at(told)
    assert documents <= returned == 10
    assert keys <= 2 * returned


async def test_a_page_by_id_follows_the_identities(busy: MongoStore) -> None:
    after = Cursor(("o500",), 501)
    told = await busy.explain(
        plan(ALWAYS, "Observation", sort=(Sort("_id"),), limit=10, after=after)
    )
    assert "IXSCAN _id_" in told
    assert looked_at(told) == (11, 11, 10)


async def test_reverse_chains_are_found_by_identity(busy: MongoStore) -> None:
    code = Token("Observation.identifier", None, "i77")
    back = LinkedFrom("Observation", "Observation.subject", code)
    told = await busy.explain(plan(And((Not(Text("Patient.family", "f1")), back)), limit=10))
    assert "IXSCAN _id_" in told
    every = LinkedFrom("Observation", "Observation.subject", CODE)
    assert await busy.count(plan(every)) == 40


async def test_a_deep_page_begins_where_the_one_before_ended(busy: MongoStore) -> None:
    first = await busy.search(plan(ALWAYS, "Observation", limit=900))
    after = Cursor(first[-1].keys, first[-1].place)
    told = await busy.explain(plan(ALWAYS, "Observation", limit=10, after=after))
    assert looked_at(told) == (10, 10, 10)


async def test_a_chain_through_too_many_is_refused(
    busy: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MOST_LINKED", 10)
    chain = Linked("Observation.subject", "Patient", ALWAYS)
    with pytest.raises(TooCostly):
        await busy.search(plan(chain, "Observation"))
    with pytest.raises(TooCostly):
        await busy.count(plan(LinkedFrom("Observation", "Observation.subject", ALWAYS)))
    with pytest.raises(TooCostly):
        await busy.commit([put(key("x"))], [NoMatch(plan(chain, "Observation"))])
    assert await busy.read(key("x")) is None
    few = Linked("Observation.subject", "Patient", Text("Patient.family", "f7"))
    assert len(await busy.search(plan(few, "Observation"))) == 30


async def test_types_without_resources_are_not_asked(busy: MongoStore) -> None:
    names = ["Patient", "Observation", *(f"Type{n}" for n in range(100))]
    everything = Plan("north", tuple(Branch(name, ALWAYS) for name in names), limit=5)
    assert (await busy.explain(everything)).startswith("2 queries")
    assert await busy.count(everything) == 1240


# --- shard keys ---


class Writes(CommandListener):
    """Keeps every write command that a client sends."""

    def __init__(self) -> None:
        self.commands: list[dict[str, Any]] = []

    def started(self, event: Any) -> None:
        if event.command_name in {"insert", "update", "delete", "findAndModify"}:
            self.commands.append(dict(event.command))

    def succeeded(self, event: Any) -> None:
        """Nothing to keep."""

    def failed(self, event: Any) -> None:
        """Nothing to keep."""


def filters(command: dict[str, Any]) -> Iterator[tuple[dict[str, Any], bool]]:
    """Give what identifies the documents that a command writes, and whether they may be several."""
    for document in command.get("documents", ()):
        yield document, False
    for update in command.get("updates", ()):
        yield update["q"], bool(update.get("multi"))
    for removal in command.get("deletes", ()):
        yield removal["q"], not removal["limit"]
    if "findAndModify" in command:
        yield command["query"], False


async def test_every_write_command_carries_the_shard_key(
    mongo_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Writes()
    monkeypatch.setitem(connection._DEFAULTS, "event_listeners", [seen])
    url = named(mongo_url)
    store = MongoStore(url, clinical=clinical, clock=clock)
    await store.open()
    same = NoMatch(plan(Token("Observation.code", None, "none"), "Observation"))
    await store.commit([observation(n) for n in range(5)], [same])
    await store.commit([observation(1), delete(key("o2", "Observation"))])
    await store.commit([observation(2)], [VersionIs(key("o2", "Observation"), None)])
    await store.commit([delete(key("nobody"))])
    await store.reindex(lambda *_: observation(7).values)
    await store.purge(key("o1", "Observation"))
    sha256 = await store.contents.put("north", b"x")
    marked = Body(b'{"meta":{', b'},"data":"blob:%b"}' % sha256.encode())
    await store.commit([Change(key("b", "Binary"), "PUT", marked, no_values())])
    await store.commit([put(key("b", "Binary"))])
    await store.purge(key("b", "Binary"))
    await store.contents.delete("north", await store.contents.put("north", b"y"))
    await store.contents.put("north", b"z")
    for revision in (None, 0, 2):
        await store.put("north", "codes", "k", b"v", revision=revision, expires=clock.now + 5)
    await store.put("north", "codes", "other", b"v", revision=0)
    assert await store.delete("north", "codes", "k")
    clock.now += contents.LOOSE_MS + 1
    await store.sweep()
    await store.close()
    await drop(url)
    written = [(c, *found) for c in seen.commands for found in filters(c)]
    assert {next(iter(command)) for command, _, _ in written} == {
        "insert",
        "update",
        "delete",
        "findAndModify",
    }
    for command, identified, several in written:
        assert isinstance(identified.get("tenant"), str), command
        assert several or isinstance(identified.get("id"), str), command
    for command in seen.commands:
        if "txnNumber" in command and command.get("autocommit") is False:
            continue  # a transaction's concern stands at its commit
        if command[next(iter(command))] not in {"writers", "head"}:
            assert command["writeConcern"] == {"w": "majority", "j": True}, command


# --- servers that will not do, values that cannot be stored ---


async def test_a_lone_server_is_refused_with_what_to_do(tmp_path: Any) -> None:
    if mongod.given():
        pytest.skip("MONGO_TEST_URI names the only server that may be used")
    with mongod.lone_server(tmp_path) as url:
        with pytest.raises(SettingsError) as refusal:
            await MongoStore(url).open()
        assert "replica set" in str(refusal.value)


@pytest.mark.parametrize("url", ["mongodb://", "mongodb://h:port/x", "mongodb+srv://h:1/x"])
async def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        await MongoStore(url).open()
    assert "port" not in str(refusal.value)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    url = "mongodb://user:secret@127.0.0.1:1/x?replicaSet=tests&serverSelectionTimeoutMS=200"
    store = MongoStore(url)
    with pytest.raises(StoreUnavailable) as refusal:
        await store.open()
    assert "secret" not in str(refusal.value)
    with pytest.raises(StoreUnavailable):
        await store.read(key())
    await store.close()


async def test_a_newer_schema_is_refused_and_left_alone(mongo: MongoStore) -> None:
    await mongo._database["meta"].update_one({"_id": "schema"}, {"$set": {"version": 99}})
    with pytest.raises(SchemaTooNew):
        await MongoStore(mongo._url).open()
    (meta,) = await mongo._database["meta"].find().to_list()
    assert meta["version"] == 99


async def test_an_index_that_is_missing_is_made_at_start_and_told_by_verify(
    mongo: MongoStore,
) -> None:
    assert await mongo.verify() == []
    await mongo._database["resources"].drop_index("values")
    assert await mongo.verify() == ["The index values of resources is missing or is another one."]
    again = MongoStore(mongo._url)
    await again.open()
    assert await again.verify() == []
    await again.close()


async def test_verify_tells_what_is_lost(mongo: MongoStore) -> None:
    await mongo.commit([observation(n) for n in range(5)])
    await mongo.commit([observation(1)])
    assert await mongo.verify() == []
    await mongo._database["history"].delete_many({})
    assert len(await mongo.verify()) == 3
    await mongo._database["resources"].update_one({"id": "o2"}, {"$unset": {"index": 1}})
    assert len(await mongo.verify()) == 4


async def test_what_no_document_can_hold_is_refused_before_it_is_written(
    mongo: MongoStore,
) -> None:
    with pytest.raises(TooLarge):
        await mongo.commit([put(key(), text="x" * 15_000_000)])
    await mongo.commit([put(key(), text="x" * 14_000_000)])
    assert len((await mongo.read(key())).body) > 14_000_000  # type: ignore[union-attr,arg-type]


async def test_beside_a_large_body_as_many_of_its_words_are_found_as_there_is_room_for(
    mongo: MongoStore,
) -> None:
    words = [f"w{n:05d}" for n in range(50_000)]
    large = put(key(), text="x" * 14_900_000)
    large.values.narrative = large.values.content = " ".join(words)
    await mongo.commit([large])
    for word, found in ((words[0], 1), (words[-1], 0)):
        assert await mongo.count(plan(FullText("content", (word,)))) == found
    assert await mongo.verify() == []


async def test_a_text_to_be_contained_may_hold_anything(mongo: MongoStore) -> None:
    text = "a.*(\\)[x] $^\0\n#é"
    await mongo.commit([put(key(), TextValue("Patient.name", f"b{text}c", text))])
    assert ids(await mongo.search(plan(Text("Patient.name", text, "contains")))) == ["a"]
    assert await mongo.search(plan(Text("Patient.name", "a.b", "contains"))) == []
    with pytest.raises(TooCostly):
        await mongo.search(plan(Text("Patient.name", "x" * 40_000, "contains")))


async def test_the_server_removes_what_expired_an_hour_ago(mongo: MongoStore, clock: Clock) -> None:
    await mongo.put("north", "codes", "k", b"v", expires=clock.now + 60_000)
    await mongo.put("north", "codes", "far", b"v", expires=2**53)
    await mongo.put("north", "codes", "stays", b"v")
    found = {one["id"]: one["gone"] for one in await mongo._database["documents"].find().to_list()}
    left = found["k"] - datetime.now(UTC)
    assert timedelta(minutes=60) < left <= timedelta(minutes=61)
    assert found["far"] > datetime.now(UTC) + timedelta(days=10_000)
    assert found["stays"] is None
    indexes = await mongo._database["documents"].index_information()
    assert indexes["gone"]["expireAfterSeconds"] == 0


async def test_a_body_is_kept_as_its_bytes(mongo: MongoStore) -> None:
    await mongo.commit([put(key(), text="1.10 é")])
    (found,) = await mongo._database["resources"].find().to_list()
    assert isinstance(found["body"], bytes)
    assert "1.10 é".encode() in found["body"]
