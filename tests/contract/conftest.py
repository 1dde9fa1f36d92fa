"""Every adapter of the store ports, empty and open, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import stored

from fhir_server.store.memory import MemoryStore
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.sqlite.store import SqliteStore


@pytest.fixture
def clock() -> stored.Clock:
    return stored.Clock()


@pytest.fixture
async def mongo(mongo_url: str, clock: stored.Clock) -> AsyncIterator[MongoStore]:
    url = stored.named(mongo_url)
    made = MongoStore(url, clinical=stored.clinical, clock=clock)
    await made.open()
    yield made
    await made.close()
    await stored.drop(url)


@pytest.fixture(params=["memory", "sqlite", "sqlite in threads", "mongo"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: stored.Clock
) -> AsyncIterator[Any]:
    made: MemoryStore | SqliteStore | MongoStore
    url = ""
    if request.param == "memory":
        made = MemoryStore(clinical=stored.clinical, clock=clock)
    elif request.param == "mongo":
        url = stored.named(request.getfixturevalue("mongo_url"))
        made = MongoStore(url, clinical=stored.clinical, clock=clock)
    else:
        made = SqliteStore(
            tmp_path / "store.sqlite",
            clinical=stored.clinical,
            clock=clock,
            on_loop=request.param == "sqlite",
        )
    await made.open()
    yield made
    faults = await made.verify()
    await made.close()
    if url:
        await stored.drop(url)
    assert faults == []


@pytest.fixture
async def sqlite(tmp_path: Path, clock: stored.Clock) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.sqlite", clinical=stored.clinical, clock=clock)
    await made.open()
    yield made
    await made.close()
