"""The pages over a store that is empty, and over one with two patients' stories."""

import itertools

import pages_world
import pytest

from fhir_server.store.sqlite.store import SqliteStore


@pytest.fixture
async def empty(tmp_path):
    ticks = itertools.count(1_772_618_400_000)
    clock = lambda: next(ticks)  # noqa: E731
    store = SqliteStore(tmp_path / "store.sqlite", clock=clock, clinical=pages_world.clinical)
    await store.open()
    world = pages_world.make_world(store, clock)
    yield world
    await world.http.aclose()
    await store.close()


@pytest.fixture
async def world(empty):
    await pages_world.tell(empty)
    return empty
