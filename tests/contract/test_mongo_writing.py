"""What the MongoDB adapter saves when it writes: creates that are not looked up, a feed that is not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo.monitoring import CommandListener
from stored import Clock, clinical, delete, drop, key, named, put

from fhir_server.search.expression import Near
from fhir_server.store.mongo import connection, spans
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.port import Change, VersionConflict, VersionIs


class Sent(CommandListener):
    """Keeps the name and the collection of every command that a client sends."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, Any]] = []

    def started(self, event: Any) -> None:
        self.commands.append((event.command_name, event.command.get(event.command_name)))

    def succeeded(self, event: Any) -> None:
        """Nothing to keep."""

    def failed(self, event: Any) -> None:
        """Nothing to keep."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    made = Sent()
    monkeypatch.setitem(connection._DEFAULTS, "event_listeners", [made])
    return made


@pytest.fixture
async def store(sent: Sent, mongo_url: str, clock: Clock) -> AsyncIterator[MongoStore]:
    url = named(mongo_url)
    made = MongoStore(url, clinical=clinical, clock=clock)
    await made.open()
    yield made
    await made.close()
    await drop(url)


def create(id: str, text: str = "x") -> Change:
    written = put(key(id), text=text)
    return Change(written.key, "POST", written.body, written.values)


async def fed(store: MongoStore, count: int) -> list[tuple[str, int, int]]:
    feed = store.changes(0)
    seen = [await asyncio.wait_for(anext(feed), 10) for _ in range(count)]
    await feed.aclose()
    return [(version.key.id, version.version_id, version.position) for version in seen]


async def test_a_create_is_not_looked_up_before(store: MongoStore, sent: Sent) -> None:
    sent.commands.clear()
    await store.commit([create("a"), create("b")])
    assert [name for name, _ in sent.commands if name != "update"] == [
        "findAndModify",
        "insert",
        "insert",
        "commitTransaction",
    ]


async def test_a_create_of_what_is_there_is_its_next_version(store: MongoStore) -> None:
    await store.commit([create("a", "first")])
    together = [store.commit([create(id_, "second")]) for id_ in ("b", "a", "c")]
    written = [version for one in await asyncio.gather(*together) for version in one]
    assert [(v.key.id, v.version_id) for v in written] == [("b", 1), ("a", 2), ("c", 1)]
    first = await store.vread(key("a"), 1)
    second = await store.read(key("a"))
    assert first is not None
    assert b"first" in (first.body or b"")
    assert second is not None
    assert second.body == written[1].body
    assert await store.verify() == []
    assert [n for _, _, n in await fed(store, 4)] == [1, 2, 3, 4]


async def test_a_create_that_must_be_new_is_refused_where_it_is_not(store: MongoStore) -> None:
    await store.commit([create("a")])
    with pytest.raises(VersionConflict):
        await store.commit([create("a"), create("b")], [VersionIs(key("a"), None)])
    assert await store.read(key("b")) is None


async def test_who_follows_the_process_that_writes_reads_nothing(
    store: MongoStore, sent: Sent
) -> None:
    await store.commit([create("a")])
    sent.commands.clear()
    await store.commit([create("b"), create("c")])
    assert await fed(store, 3) == [("a", 1, 1), ("b", 1, 2), ("c", 1, 3)]
    assert not [name for name, _ in sent.commands if name in {"find", "aggregate"}]


async def test_what_is_purged_is_not_fed(store: MongoStore) -> None:
    await store.commit([create("a", "first")])
    await store.commit([put(key("a"), text="second"), create("b")])
    assert await store.purge(key("a")) == 1
    assert await fed(store, 2) == [("a", 2, 2), ("b", 1, 3)]


async def test_what_is_deleted_may_be_looked_at_for_what_is_near(store: MongoStore) -> None:
    await store.commit([create("a"), create("b")])
    await store.commit([delete(key("a"))])
    node = Near("Patient.position", 0, 0, 0, 10)
    looked_at = store._database["resources"].find(spans.inside(node, "p:Patient.position"))
    assert await looked_at.to_list() == []
