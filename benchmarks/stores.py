"""The stores side by side: what a resource costs as a store grows, and what a create costs with 32 clients.

`python -m benchmarks.stores` loads synthetic patients (60 resources each, two studies of 120 instances among
them) at each size into a SQLite and a MongoDB of its own, a transaction a patient. At 32 clients it then
creates Observations, once to measure time, once under strace to count what is synced to the disk.

`make bench` runs it at small sizes; without any options it takes those that the limits are for.
"""

import argparse
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks import data
from benchmarks.__main__ import http, run, transaction
from benchmarks.client import Measured
from benchmarks.replica_set import PROGRAM, ReplicaSet
from benchmarks.server import Server

STORES = ("sqlite", "mongodb")
SIZES = (100, 1000)
CLIENTS = 32
LIMITS = {"growth": 1.3, "syncs": 0.15, "share": 0.8}
"""Cost a resource at the larger size over the smaller; disk syncs a create; throughput times CPU a create.

CPU is that of the server and of its database, as everywhere here.
"""

_LOADERS = 2
_PART = 100
_STRACE = (
    "strace -f --seccomp-bpf -e trace=fsync,fdatasync,msync,sync_file_range -e signal=none -qq -o"
)


class World:
    """A server over an empty store of a kind, and the database behind it if there is one."""

    def __init__(self, kind: str, folder: Path, *, traced: bool = False) -> None:
        self._kind = kind
        self._folder = folder
        self._logs = [folder / "syncs-server", folder / "syncs-database"] if traced else []
        self._under = [[*_STRACE.split(), str(log)] for log in self._logs] or [[], []]

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._folder.mkdir()
        self._database = None
        options: dict[str, Any] = {}
        if self._kind == "mongodb":
            made = ReplicaSet(self._folder / "mongod", under=self._under[1])
            self._database = self._stack.enter_context(made)
            options = {"store": made.url, "database": made.pid}
        self.server = Server(self._folder / "data", **options)
        self.server.under = self._under[0]
        self._stack.enter_context(self.server)
        return self

    def __exit__(self, *fault: object) -> None:
        self._stack.close()

    def own_cpu(self) -> float:
        """Give the CPU seconds of the server without its database."""
        other = psutil.Process(self._database.pid).cpu_times() if self._database else None
        return self.server.cpu_seconds() - (other.user + other.system if other else 0.0)

    def syncs(self) -> int:
        """Give how many times server and database had the disk synced."""
        found = 0
        for log in self._logs:
            lines = log.read_text().splitlines() if log.exists() else []
            found += sum("sync" in line and "resumed" not in line for line in lines)
        return found


def _right(measured: Measured) -> Measured:
    if measured.wrong:
        raise RuntimeError(f"{measured.wrong} answers were not as they should be")
    return measured


def loaded(world: World, patients: int) -> Iterator[dict[str, float]]:
    """Load patients in parts of 100 and give seconds and CPU seconds a resource for each."""
    for first in range(0, patients, _PART):
        count = min(_PART, patients - first)
        groups = data.imaging_patients(count, seed=first + 1, first=first)
        requests = [http("POST", "", transaction(group)) for group in groups]
        before = world.server.cpu_seconds()
        seconds = _right(run(world.server.port, _LOADERS, requests, [200])).seconds
        spent = world.server.cpu_seconds() - before
        yield {"resources": count * data.PER_PATIENT, "seconds": seconds, "cpu": spent}


def load(kind: str, patients: int, folder: Path) -> dict[str, Any]:
    """Load a store of its own and give the row of its size."""
    with World(kind, folder / f"{kind}-{patients}") as world:
        parts = list(loaded(world, patients))
    resources = sum(part["resources"] for part in parts)
    last = parts[-1]
    return {
        "store": kind,
        "patients": patients,
        "resources": resources,
        "per_second": round(resources / sum(part["seconds"] for part in parts)),
        "cpu_us": round(sum(part["cpu"] for part in parts) / resources * 1e6),
        "last_cpu_us": round(last["cpu"] / last["resources"] * 1e6),
    }


def creates(kind: str, count: int, folder: Path) -> dict[str, Any]:
    """Create Observations with 32 clients: time and CPU, then disk syncs in a run of its own."""
    with World(kind, folder / f"{kind}-creates") as world:
        _create(world, count // 4, 1)  # what is made once is made
        before, own = world.server.cpu_seconds(), world.own_cpu()
        waited = world.server.waited_seconds()
        seconds = _create(world, count, 2)
        waited = world.server.waited_seconds() - waited
        cpu, mine = world.server.cpu_seconds() - before, world.own_cpu() - own
    row = {
        "store": kind,
        "clients": CLIENTS,
        "per_second": round(count / seconds),
        "cpu_us": round(cpu / count * 1e6),
        "server_cpu_us": round(mine / count * 1e6),
        "share": round(cpu / seconds, 2),
        "server_share": round(mine / seconds, 2),
        "without_processor": round(waited / seconds, 2),
    }
    if shutil.which("strace"):
        row["syncs"] = _synced(kind, count, folder)
    return row


def _synced(kind: str, count: int, folder: Path) -> float:
    with World(kind, folder / f"{kind}-traced", traced=True) as world:
        _create(world, count // 4, 1)
        time.sleep(1)
        before = world.syncs()
        _create(world, count, 2)
        return round((world.syncs() - before) / count, 3)


def _create(world: World, count: int, seed: int) -> float:
    """Create so many Observations and give the seconds that it took."""
    chance = random.Random(seed)
    requests = []
    for _ in range(count):
        made = data.observation("x", f"p{chance.randrange(100)}", chance)
        del made["id"]
        requests.append(http("POST", "Observation", json.dumps(made).encode()))
    return _right(run(world.server.port, CLIENTS, requests, [201])).seconds


def told(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Tell the figures, and what is over its limit."""
    loads, made = [r for r in rows if "patients" in r], [r for r in rows if "clients" in r]
    yield f"{'load':<10}{'patients':>9}{'resources':>10}{'/s':>7}{'CPU µs':>8}{'last 100':>10}"
    for r in loads:
        figures = f"{r['per_second']:>7}{r['cpu_us']:>8}{r['last_cpu_us']:>10}"
        yield f"{r['store']:<10}{r['patients']:>9}{r['resources']:>10}{figures}"
    for kind in STORES:
        sizes = sorted((r["patients"], r["cpu_us"]) for r in loads if r["store"] == kind)
        if len(sizes) > 1:
            yield _judged(f"{kind}: cost", sizes[-1][1] / sizes[0][1], "growth", at_most=True)
    for r in made:
        cpu = f"{r['cpu_us']} µs CPU, {r['server_cpu_us']} of them the server's"
        yield f"{r['store']}: {r['per_second']} creates/s at {CLIENTS} clients, {cpu}"
        yield _judged(
            f"{r['store']}: throughput x CPU a create", r["share"], "share", at_most=False
        )
        lacked = f"{r['without_processor']:.0%} of the time"
        yield f"  ({r['server_share']} of the server alone; it had to wait for a processor {lacked})"
        if "syncs" in r:
            yield _judged(f"{r['store']}: disk syncs a create", r["syncs"], "syncs", at_most=True)


def _judged(what: str, found: float, limit: str, *, at_most: bool) -> str:
    wanted = LIMITS[limit]
    right = found <= wanted if at_most else found >= wanted
    sign = "at most" if at_most else "at least"
    return f"{what} {found:.2f} ({sign} {wanted}: {'held' if right else 'MISSED'})"


def main() -> None:
    """Measure, print, and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stores")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="patients")
    parser.add_argument("--creates", type=int, default=4000, help="Observations to create")
    parser.add_argument("--stores", nargs="+", choices=STORES, help="both, where mongod is there")
    parser.add_argument("--out", type=Path, default=Path(".data/bench-stores.json"))
    given = parser.parse_args()
    there = PROGRAM.is_file()
    stores = given.stores or [kind for kind in STORES if there or kind != "mongodb"]
    if "mongodb" in stores and not there:
        parser.error("there is no mongod in .servers: run `make servers`, or leave mongodb out")
    if given.stores is None and not there:
        print("no mongod in .servers (make servers): SQLite alone is measured", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in stores:
            for patients in given.sizes:
                rows.append(load(kind, patients, folder))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            rows.append(creates(kind, given.creates, folder))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))
    print("\n".join(told(rows)))


if __name__ == "__main__":
    main()
