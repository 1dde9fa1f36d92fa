"""Acknowledged means durable on MongoDB too: our own process is killed, and so is the primary."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mongod
import pytest
from killed_commits import check, group, killed_in_the_middle, store_of
from stored import clinical, drop, key, named, put

from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.port import StoreUnavailable


async def check_and_go_on(url: str, acknowledged: dict[str, int]) -> None:
    """Check that all is there, and that what was left behind holds nobody up for a minute."""
    await check(url, acknowledged)
    store = store_of(url)
    await store.open()
    begun = time.monotonic()
    await store.commit([put(key("after"))])
    await store.close()
    assert time.monotonic() - begun < 30


def test_what_was_acknowledged_survives_kill_9_of_our_process(
    mongo_url: str, size: Callable[[int, int], int], record_property: Any
) -> None:
    """The transaction that is left behind holds the others up for seconds, not for a minute."""
    url = named(mongo_url)
    acknowledged: dict[str, int] = {}
    rounds = size(3, 50)
    for turn in range(rounds):
        acknowledged |= killed_in_the_middle(url, turn)
    asyncio.run(check_and_go_on(url, acknowledged))
    asyncio.run(drop(url))
    assert len(acknowledged) >= 60 * rounds
    record_property("proof", f"{rounds} kills, {len(acknowledged)} acknowledged commits, none lost")


class Client:
    """Commits one group after another, and keeps what was acknowledged."""

    def __init__(self, store: MongoStore, name: str) -> None:
        self._store = store
        self._name = name
        self.acknowledged: dict[str, int] = {}
        self.longest = 0.0

    async def run(self, going: asyncio.Event) -> None:
        turn = 0
        while going.is_set():
            name, turn = f"{self._name}-{turn}", turn + 1
            begun = time.monotonic()
            try:
                (*_, version) = await self._store.commit(group(name, turn))
            except StoreUnavailable:
                continue
            self.longest = max(self.longest, time.monotonic() - begun)
            self.acknowledged[name] = version.version_id


async def until(clients: list[Client], more: int) -> None:
    """Wait until so many more commits were acknowledged."""
    goal = sum(len(one.acknowledged) for one in clients) + more
    async with asyncio.timeout(120):
        while sum(len(one.acknowledged) for one in clients) < goal:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.01)


async def follow(store: MongoStore, positions: list[int]) -> None:
    """Keep the positions that the feed gives, over the loss of a primary."""
    async for version in store.changes(0):
        positions += [version.position]


@pytest.fixture
def three(tmp_path: Path) -> Any:
    if mongod.given():
        pytest.skip("the primary that MONGO_TEST_URI names is not ours to kill")
    with mongod.ReplicaSet(tmp_path, 3) as made:
        yield made


async def test_a_killed_primary_loses_nothing_acknowledged_and_doubles_nothing(
    three: mongod.ReplicaSet, size: Callable[[int, int], int], record_property: Any
) -> None:
    """Two processes write while the primary is killed; both go on with the next one."""
    url = named(three.url)
    stores = [MongoStore(url, clinical=clinical) for _ in range(2)]
    for store in stores:
        await store.open()
    followed: list[int] = []
    feed = asyncio.create_task(follow(stores[1], followed))
    clients = [Client(stores[n % 2], f"c{n}") for n in range(8)]
    going = asyncio.Event()
    going.set()
    running = [asyncio.create_task(client.run(going)) for client in clients]
    await until(clients, 40)
    kills = size(1, 10)
    for _ in range(kills):
        dead = await asyncio.to_thread(three.kill_primary)
        await until(clients, 40)
        three.start(dead)
        await until(clients, 20)
    going.clear()
    await asyncio.gather(*running)
    acknowledged = {name: v for client in clients for name, v in client.acknowledged.items()}
    last = await stores[0].position()
    async with asyncio.timeout(30):
        while followed[-1:] != [last]:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.05)
    feed.cancel()
    assert followed == list(range(1, last + 1))
    for store in stores:
        await store.close()
    await check_and_go_on(url, acknowledged)
    stall = max(client.longest for client in clients)
    record_property(
        "proof",
        f"{kills} primaries killed, {len(acknowledged)} acknowledged commits, none lost or doubled; "
        f"longest wait {stall:.1f} s",
    )
