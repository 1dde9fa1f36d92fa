"""A process of many clients that commit until it is killed, and what its store must hold afterwards."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from stored import TENANT, clinical, key, put

from fhir_server.search.expression import Branch, Plan, Token
from fhir_server.search.values import DateValue, TokenValue
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.port import Change, Page, Scope
from fhir_server.store.sqlite.store import SqliteStore

ROOT = Path(__file__).parents[2]
IDENTIFIER = "Observation.identifier"
CLIENTS = 20
ACKNOWLEDGED = re.compile(r"(?P<name>r\d+-\d+-\d+) (?P<version>\d+)\n")


def store_of(place: str) -> Any:
    """Give the store of a MongoDB URL or of a file's path."""
    if place.startswith("mongodb"):
        return MongoStore(place, clinical=clinical)
    return SqliteStore(Path(place), clinical=clinical)


def group(name: str, at: int) -> list[Change]:
    """Give what is committed at once: three Observations of one identifier, the Patient that all write."""
    values = TokenValue(IDENTIFIER, "", name), DateValue("Observation.effective", at, at)
    parts = [put(key(f"{name}-{n}", "Observation"), *values, clinical=at) for n in range(3)]
    return [*parts, put(key("shared"), text=name)]


def killed_in_the_middle(place: str, turn: int) -> dict[str, int]:
    """Run the process until some commits were acknowledged and kill it; gives these with their versions."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    child = subprocess.Popen(
        [sys.executable, __file__, place, str(turn)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert child.stdout is not None
    later = turn % 10
    lines = [child.stdout.readline() for _ in range(70 + 10 * later)]
    time.sleep(0.003 * later)
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    found = (ACKNOWLEDGED.fullmatch(line) for line in lines)  # its log stands between them
    return {one["name"]: int(one["version"]) for one in found if one}


async def check(place: str, acknowledged: dict[str, int]) -> None:
    """Compare a store with what was acknowledged: nothing lost, nothing half done, nothing twice."""
    store = store_of(place)
    await store.open()
    assert await store.verify() == []
    for name, version_id in acknowledged.items():
        parts = [key(f"{name}-{part}", "Observation") for part in range(3)]
        assert len(await store.read_many(parts)) == 3
        shared = await store.vread(key("shared"), version_id)
        assert shared is not None
        assert name.encode() in (shared.body or b"")
    for name in list(acknowledged)[::20]:
        assert await store.count(_of(Token(IDENTIFIER, None, name))) == 3
    (newest,) = await store.history(Scope(TENANT, "Patient", "shared"), Page(1))
    written = newest.version_id
    assert await store.count(_of(Token(IDENTIFIER, None, None))) == 3 * written
    assert written >= len(acknowledged) == len(set(acknowledged.values()))
    assert await store.position() == 4 * written
    await store.close()


def _of(where: Token) -> Plan:
    return Plan(TENANT, (Branch("Observation", where),))


async def _client(store: Any, turn: str, number: int) -> None:
    for at in range(10_000):
        name = f"r{turn}-{number}-{at}"
        (*_, version) = await store.commit(group(name, at))
        sys.stdout.write(f"{name} {version.version_id}\n")
        sys.stdout.flush()


async def _main(place: str, turn: str) -> None:
    store = store_of(place)
    await store.open()
    await asyncio.gather(*(_client(store, turn, number) for number in range(CLIENTS)))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
