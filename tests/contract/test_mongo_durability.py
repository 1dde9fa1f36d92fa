"""Acknowledged means durable on MongoDB too: our own process is killed, and so is the primary."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mongod
import pytest
from stored import TENANT, clinical, drop, key, named, put

from fhir_server.search.expression import Branch, Plan, Token
from fhir_server.search.values import DateValue, TokenValue
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.port import Page, Scope, StoreUnavailable

ROOT = Path(__file__).parents[2]
IDENTIFIER = "Observation.identifier"

CHILD = """
import asyncio, sys
from stored import clinical, key, put
from fhir_server.search.values import DateValue, TokenValue
from fhir_server.store.mongo.store import MongoStore

async def client(store, turn, n):
    for m in range(10_000):
        name = f"r{turn}-{n}-{m}"
        parts = [put(key(f"{name}-{p}", "Observation"),
                     TokenValue("Observation.identifier", "", name),
                     DateValue("Observation.effective", m, m), clinical=m) for p in range(3)]
        shared = put(key("shared"), text=name)
        (*_, version) = await store.commit([*parts, shared])
        sys.stdout.write(f"{name} {version.version_id}\\n")
        sys.stdout.flush()

async def main():
    store = MongoStore(sys.argv[1], clinical=clinical)
    await store.open()
    await asyncio.gather(*(client(store, sys.argv[2], n) for n in range(20)))

asyncio.run(main())
"""


def killed_in_the_middle(url: str, turn: int) -> list[str]:
    """Run the child until it has acknowledged some commits, kill it, and give what it acknowledged."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, url, str(turn)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert child.stdout is not None
    lines: list[str] = []
    while len(lines) < 60 + 7 * (turn % 10):
        lines += [line for line in [child.stdout.readline()] if line.startswith("r")]
    time.sleep(0.003 * (turn % 10))
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    return [line for line in lines if line.startswith("r") and line.endswith("\n")]


async def check(url: str, acknowledged: dict[str, int]) -> None:
    """Compare a store with what was acknowledged: nothing lost, nothing half done, nothing twice."""
    store = MongoStore(url, clinical=clinical)
    await store.open()
    assert await store.verify() == []
    for name, version_id in acknowledged.items():
        parts = [key(f"{name}-{part}", "Observation") for part in range(3)]
        assert len(await store.read_many(parts)) == 3
        shared = await store.vread(key("shared"), version_id)
        assert shared is not None
        assert name.encode() in (shared.body or b"")
    for name in list(acknowledged)[::20]:
        where = Token(IDENTIFIER, None, name)
        assert await store.count(Plan(TENANT, (Branch("Observation", where),))) == 3
    whole = Plan(TENANT, (Branch("Observation", Token(IDENTIFIER, None, None)),))
    (newest,) = await store.history(Scope(TENANT, "Patient", "shared"), Page(1))
    written = newest.version_id
    assert await store.count(whole) == 3 * written >= 3 * len(acknowledged)
    assert len(set(acknowledged.values())) == len(acknowledged)
    assert await store.position() == 4 * written
    begun = time.monotonic()
    await store.commit([put(key("after"))])
    assert time.monotonic() - begun < 30
    await store.close()


def test_what_was_acknowledged_survives_kill_9_of_our_process(
    mongo_url: str, size: Callable[[int, int], int], record_property: Any
) -> None:
    """The transaction that is left behind holds the others up for seconds, not for a minute."""
    url = named(mongo_url)
    acknowledged: dict[str, int] = {}
    rounds = size(3, 50)
    for turn in range(rounds):
        for line in killed_in_the_middle(url, turn):
            name, version_id = line.split()
            acknowledged[name] = int(version_id)
    asyncio.run(check(url, acknowledged))
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
            parts = [
                put(
                    key(f"{name}-{p}", "Observation"),
                    TokenValue(IDENTIFIER, "", name),
                    DateValue("Observation.effective", turn, turn),
                    clinical=turn,
                )
                for p in range(3)
            ]
            begun = time.monotonic()
            try:
                (*_, version) = await self._store.commit([*parts, put(key("shared"), text=name)])
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
    await check(url, acknowledged)
    stall = max(client.longest for client in clients)
    record_property(
        "proof",
        f"{kills} primaries killed, {len(acknowledged)} acknowledged commits, none lost or doubled; "
        f"longest wait {stall:.1f} s",
    )
