"""Acknowledged means durable: a process is killed in the middle of concurrent commits, many times."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from stored import TENANT, clinical, key

from fhir_server.search.expression import Branch, Plan, Token
from fhir_server.store.port import Page, Scope
from fhir_server.store.sqlite.store import SqliteStore

ROOT = Path(__file__).parents[2]

CHILD = """
import asyncio, sys
from pathlib import Path
from stored import clinical, key, put
from fhir_server.search.values import DateValue, TokenValue
from fhir_server.store.sqlite.store import SqliteStore

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
    store = SqliteStore(Path(sys.argv[1]), clinical=clinical)
    await store.open()
    await asyncio.gather(*(client(store, sys.argv[2], n) for n in range(20)))

asyncio.run(main())
"""


def killed_in_the_middle(path: Path, turn: int) -> list[str]:
    """Run the child until it has acknowledged some commits, kill it, and give what it acknowledged."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(turn)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(60 + 17 * turn)]
    time.sleep(0.003 * turn)
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    return [line for line in lines if line.endswith("\n")]


async def check(path: Path, acknowledged: dict[str, int]) -> None:
    store = SqliteStore(path, clinical=clinical)
    await store.open()
    assert await store.verify() == []
    for name, version_id in acknowledged.items():
        for part in range(3):
            stored = await store.read(key(f"{name}-{part}", "Observation"))
            assert stored is not None
        shared = await store.vread(key("shared"), version_id)
        assert shared is not None
        assert name.encode() in (shared.body or b"")
        where = Token("Observation.identifier", None, name)
        assert await store.count(Plan(TENANT, (Branch("Observation", where),))) == 3
    everything = await store.count(
        Plan(TENANT, (Branch("Observation", Token("Observation.identifier", None, None)),))
    )
    versions = await store.history(Scope(TENANT, "Patient", "shared"), Page(1))
    assert everything == 3 * versions[0].version_id >= 3 * len(acknowledged)
    await store.close()


def test_what_was_acknowledged_survives_kill_9(
    tmp_path: Path, size: Callable[[int, int], int]
) -> None:
    path = tmp_path / "store.sqlite"
    acknowledged: dict[str, int] = {}
    for turn in range(size(3, 20)):
        for line in killed_in_the_middle(path, turn):
            name, version_id = line.split()
            acknowledged[name] = int(version_id)
        asyncio.run(check(path, acknowledged))
    assert len(acknowledged) >= 60
