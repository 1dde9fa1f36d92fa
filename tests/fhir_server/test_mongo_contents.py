"""Large contents of Binaries in MongoDB: seen by every server, gone with the last version that names them."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stored
from stored import TENANT, Clock

from fhir_server.search.values import no_values
from fhir_server.store.mongo import contents, schema
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.out_of_line import OutOfLine
from fhir_server.store.port import Body, Change, ContentGone, Key, VersionConflict, VersionIs

LARGE = 1000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def inner(mongo_url: str, clock: Clock) -> AsyncIterator[MongoStore]:
    url = stored.named(mongo_url)
    made = MongoStore(url, clinical=stored.clinical, clock=clock)
    await made.open()
    yield made
    faults = await made.verify()
    await made.close()
    await stored.drop(url)
    assert faults == []


@pytest.fixture
def store(inner: MongoStore) -> OutOfLine:
    return OutOfLine(inner, inner, inner.contents, large=LARGE)


def key(id: str = "b") -> Key:
    return Key(TENANT, "Binary", id)


def binary(data: bytes, id: str = "b") -> Change:
    tail = b'},"contentType":"a/b","data":"%b"}' % base64.b64encode(data)
    return Change(key(id), "PUT", Body(b'{"resourceType":"Binary","meta":{', tail), no_values())


async def counted(inner: MongoStore) -> dict[str, int]:
    found = {}
    for name in ("contents", "pieces", "uploads"):
        found[name] = await inner._database[name].count_documents({})
    return found


async def content(store: OutOfLine, id: str = "b") -> bytes:
    version = await store.read(key(id))
    assert version is not None
    assert version.body is not None
    return base64.b64decode(version.body.split(b'"data":"')[1].split(b'"')[0])


async def test_a_content_larger_than_any_document_is_read_by_another_server(
    inner: MongoStore, store: OutOfLine
) -> None:
    data = os.urandom(20_000_000)
    await store.commit([binary(data)])
    other = MongoStore(inner._url)
    await other.open()
    assert await content(OutOfLine(other, other, other.contents)) == data
    await other.close()
    (found,) = await inner._database["contents"].find().to_list()
    sizes = [len(piece) async for piece in inner.contents.pieces(TENANT, found["id"])]
    assert sum(sizes) == len(data)
    assert max(sizes) == contents.PIECE
    raw = await inner.read(key())
    assert raw is not None
    assert len(raw.body or b"") < 300


async def test_a_content_goes_with_the_last_version_that_names_it(
    inner: MongoStore, store: OutOfLine
) -> None:
    shared, gone, now = (os.urandom(5000) for _ in range(3))
    await store.commit([binary(shared, "other"), binary(shared, "third")])
    for data in (shared, gone, now):
        await store.commit([binary(data)])
    assert (await counted(inner))["contents"] == 3
    assert await store.purge(key()) == 2
    assert await counted(inner) == {"contents": 2, "pieces": 2, "uploads": 0}
    assert (await content(store), await content(store, "other")) == (now, shared)
    for id in ("other", "third"):
        await store.commit([stored.delete(key(id))])
        await store.purge(key(id))
    assert await counted(inner) == {"contents": 1, "pieces": 1, "uploads": 0}


async def test_what_was_erased_since_it_was_put_is_put_again(
    inner: MongoStore, store: OutOfLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last version that named it is purged between a writer's upload and its commit."""
    data = os.urandom(5000)
    await store.commit([binary(data, "old")])
    await store.commit([binary(b"x", "old")])
    put, turns = inner.contents.put, 0

    async def erased_after(tenant: str, data: bytes) -> str:
        nonlocal turns
        turns += 1
        sha256 = await put(tenant, data)
        if turns == 1:
            assert await inner.purge(key("old")) == 1
        return sha256

    monkeypatch.setattr(inner.contents, "put", erased_after)
    await store.commit([binary(data, "new")])
    assert turns == 2
    assert await content(store, "new") == data
    mark = b'},"data":"blob:%b"}' % (b"0" * 64)
    naming = Change(key("never"), "PUT", Body(b'{"meta":{', mark), no_values())
    with pytest.raises(ContentGone):
        await inner.commit([naming])
    assert await inner.read(key("never")) is None


async def test_of_uploads_of_one_content_at_once_one_stays(
    inner: MongoStore, store: OutOfLine
) -> None:
    data = os.urandom(3_000_000)
    await asyncio.gather(*(store.commit([binary(data, f"b{n}")]) for n in range(8)))
    assert await counted(inner) == {"contents": 1, "pieces": 3, "uploads": 0}
    assert [await content(store, f"b{n}") for n in range(8)] == [data] * 8


async def test_what_nobody_came_to_name_is_swept_after_a_day(
    inner: MongoStore, store: OutOfLine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit([binary(os.urandom(5000))])
    with pytest.raises(VersionConflict):
        await store.commit([binary(os.urandom(5000))], [VersionIs(key(), 7)])

    async def broken_off(*_: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(inner.contents, "_finished", broken_off)
        with pytest.raises(asyncio.CancelledError):
            await inner.contents.put(TENANT, os.urandom(2_000_000))
    await inner._database["contents"].delete_one({"size": 2_000_000})
    assert await counted(inner) == {"contents": 2, "pieces": 4, "uploads": 1}
    await inner.sweep()
    assert await counted(inner) == {"contents": 2, "pieces": 4, "uploads": 1}
    clock.now += contents.LOOSE_MS + 1
    await inner.sweep()
    assert await counted(inner) == {"contents": 1, "pieces": 1, "uploads": 0}
    assert len(await content(store)) == 5000


async def test_versions_with_contents_are_taken_over_once(
    inner: MongoStore, store: OutOfLine
) -> None:
    from fhir_server.store.port import Past

    def past(version: int, data: bytes) -> Past:
        whole = binary(data).body
        assert whole is not None
        return Past(key(), version, version, "PUT", whole.at(version, version), no_values())

    data = os.urandom(5000)
    moved = [past(1, data), past(2, data), past(3, os.urandom(5000))]
    assert await store.import_versions(moved) == 3
    assert await store.import_versions(moved) == 0
    names = [one["names"] for one in await inner._database["contents"].find().to_list()]
    assert sorted(names) == [1, 2]


async def test_verify_tells_a_content_that_is_counted_wrongly(
    inner: MongoStore, store: OutOfLine
) -> None:
    await store.commit([binary(os.urandom(5000))])
    await inner._database["contents"].update_one({}, {"$inc": {"names": 1}})
    assert await inner.verify() == [
        "There are 1 contents that are named more or less often than is counted."
    ]
    await inner._database["contents"].update_one({}, {"$inc": {"names": -1}})


async def test_a_store_of_the_first_schema_is_migrated(inner: MongoStore, store: OutOfLine) -> None:
    database = inner._database
    await inner.commit([stored.put(stored.key())])
    for name in ("contents", "pieces", "uploads"):
        await database.drop_collection(name)
    await database["meta"].update_one(schema.META, {"$set": {"version": 1}})
    again = MongoStore(inner._url)
    await again.open()
    await again.close()
    (meta,) = await database["meta"].find().to_list()
    assert meta["version"] == schema.VERSION
    await store.commit([binary(os.urandom(5000))])


async def test_a_migration_that_fails_is_done_again_by_the_next_who_opens(
    inner: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    async def step(database: Any) -> None:
        done.append(database.name)
        if len(done) == 1:
            raise LookupError

    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    steps = {schema.VERSION - 1: step}
    with pytest.raises(LookupError):
        await schema.prepare(inner._database, steps)
    await schema.prepare(inner._database, steps)
    await schema.prepare(inner._database, steps)
    assert len(done) == 2
    (meta,) = await inner._database["meta"].find().to_list()
    assert meta["version"] == schema.VERSION
