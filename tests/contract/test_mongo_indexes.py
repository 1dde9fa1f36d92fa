"""The indexes of the MongoDB store: one that is another one, or cannot be made, is told in a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from stored import Clock, clinical, drop, key, named, put

from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.port import StoreUnavailable


@pytest.fixture
async def made(mongo_url: str, clock: Clock) -> AsyncIterator[tuple[MongoStore, Any]]:
    """A store that was opened and closed, with one resource in two versions, and its database."""
    url = named(mongo_url)
    store = MongoStore(url, clinical=clinical, clock=clock)
    await store.open()
    await store.commit([put(key())])
    await store.commit([put(key(), text="y")])
    await store.close()
    async with AsyncMongoClient[Any](url) as client:
        yield store, client.get_default_database()
    await drop(url)


async def refused(store: MongoStore) -> str:
    with pytest.raises(StoreUnavailable) as told:
        await store.open()
    return str(told.value)


async def test_an_index_of_the_name_on_other_fields_is_named(made: Any) -> None:
    store, database = made
    await database["resources"].drop_index("updated")
    await database["resources"].create_index({"tenant": 1}, name="updated")
    assert "the index updated of the collection resources" in await refused(store)


async def test_an_index_that_is_not_unique_is_named(made: Any) -> None:
    store, database = made
    await database["history"].drop_index("versions")
    fields = {"tenant": 1, "id": 1, "type": 1, "version": 1}
    await database["history"].create_index(fields, name="versions")
    assert "the index versions of the collection history" in await refused(store)


async def test_an_index_that_duplicates_prevent_is_named_without_what_is_stored(made: Any) -> None:
    store, database = made
    await database["history"].drop_index("versions")
    twice = await database["history"].find_one({})
    await database["history"].insert_one({**twice, "_id": 999})
    told = await refused(store)
    assert "the index versions of the collection history" in told
    assert "the same" in told
    assert "north" not in told


async def test_verification_compares_options(made: Any) -> None:
    store, database = made
    await store.open()
    assert await store.verify() == []
    await database["documents"].drop_index("gone")
    await database["documents"].create_index({"gone": 1}, name="gone", expireAfterSeconds=60)
    await database["history"].drop_index("versions")
    fields = {"tenant": 1, "id": 1, "type": 1, "version": 1}
    await database["history"].create_index(fields, name="versions")
    told = await store.verify()
    await store.close()
    assert [one.split()[2] for one in told] == ["versions", "gone"]
