"""make bench: CPU and wall time a request, at 1 and 32 clients, at 6,000 and 60,000 resources.

Each workload begins at rest: nothing is left to be told of the one before.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import data
from benchmarks.client import Job, Measured
from benchmarks.server import Server

SIZES = (100, 1000)
CLIENTS = (1, 32)
_GROUP = 100


def http(method: str, path: str, body: bytes = b"") -> bytes:
    """Give one HTTP/1.1 request as bytes."""
    head = f"{method} /fhir/{path} HTTP/1.1\r\nHost: bench\r\n"
    if body:
        head += f"Content-Type: application/fhir+json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def run(port: int, connections: int, requests: list[bytes], statuses: list[int]) -> Measured:
    """Send the requests from a client process."""
    job = msgspec.msgpack.encode(Job(port, connections, requests, statuses))
    command = [sys.executable, "-m", "benchmarks.client"]
    ran = subprocess.run(command, input=job, capture_output=True, check=True)
    return msgspec.msgpack.decode(ran.stdout, type=Measured)


def transaction(resources: list[data.Resource]) -> bytes:
    """Give a transaction that puts the resources."""
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
        for r in resources
    ]
    return json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()


def workloads(
    patients: int, count: int, seed: int
) -> Iterator[tuple[str, list[bytes], list[int], int]]:
    """Give name, requests, right statuses, and how many units a request is (entries, else 1)."""
    chance = random.Random(seed)

    def someone() -> int:
        return chance.randrange(patients)

    each = range(count)
    yield "read", [http("GET", f"Patient/p{someone()}") for _ in each], [200], 1
    yield (
        "create Observation",
        [http("POST", "Observation", _new(chance, someone())) for _ in each],
        [201],
        1,
    )
    yield (
        "create ImagingStudy, 120 instances",
        [http("POST", "ImagingStudy", _new_study(seed, n, someone())) for n in range(count // 8)],
        [201],
        1,
    )
    groups = [
        [data.observation(f"t{seed}-{n}-{i}", f"p{someone()}", chance) for i in range(_GROUP)]
        for n in range(max(count // 50, 4))
    ]
    yield (
        "transaction entry (of 100)",
        [http("POST", "", transaction(g)) for g in groups],
        [200],
        _GROUP,
    )
    for name, query in searches():
        yield (
            name,
            [http("GET", query.format(n=someone(), f=chance.choice("ABCDE"))) for _ in each],
            [200],
            1,
        )


def searches() -> tuple[tuple[str, str], ...]:
    """Give the searches of the budget table."""
    return (
        ("Patient?identifier", f"Patient?identifier={data.MRN}|M{{n:07d}}"),
        ("Patient?family", "Patient?family=alder{n}&_count=20"),
        (
            "Observation subject+code+date+sort",
            "Observation?subject=Patient/p{n}&date=ge2015&_sort=-date&_count=20",
        ),
        ("ImagingStudy chained name", "ImagingStudy?subject:Patient.family=birch{n}&_count=20"),
        (
            "ServiceRequest _include",
            "ServiceRequest?subject=Patient/p{n}&_include=ServiceRequest:subject",
        ),
        (
            "Patient?_has",
            f"Patient?_has:ServiceRequest:subject:identifier={data.ACCESSION}|A{{n:07d}}",
        ),
        ("status + _lastUpdated", "Observation?status=final&_lastUpdated=ge2020-01-01&_count=20"),
    )


def _new(chance: random.Random, patient: int) -> bytes:
    made = data.observation("x", f"p{patient}", chance)
    del made["id"]
    return json.dumps(made).encode()


def _new_study(seed: int, number: int, patient: int) -> bytes:
    made = data.study("x", f"p{patient}", f"p{patient}-r", 10**9 * seed + number, 120)
    del made["id"]
    return json.dumps(made).encode()


def measure(
    patients: int, count: int, folder: Path, **server_options: Any
) -> Iterator[dict[str, Any]]:
    """Load a store of `patients` x 60 resources and give a row for each workload and client count."""
    with Server(folder / str(patients), **server_options) as server:
        bundles = [http("POST", "", transaction(group)) for group in data.patients(patients)]
        loaded = run(server.port, 2, bundles, [200])
        if loaded.wrong:
            raise RuntimeError("the data could not be loaded")
        run(server.port, 8, [http("GET", f"Patient/p{n % patients}") for n in range(2000)], [200])
        server.settle()
        for seed, clients in enumerate(CLIENTS, 1):
            for name, requests, statuses, units in workloads(patients, count, seed):
                yield row(server, patients, clients, name, (requests, statuses, units))
        yield {
            "workload": "server",
            "resources": patients * data.PER_PATIENT,
            "ready_s": round(server.ready_seconds, 2),
            "resident_mb": round(server.resident_mb()),
        }


def row(
    server: Server, patients: int, clients: int, name: str, work: tuple[list[bytes], list[int], int]
) -> dict[str, Any]:
    """Run one workload and give its figures: CPU and wall a unit in microseconds, latencies in ms.

    `cpu_us` is used until the last answer, `settled_us` until its AuditEvents are told, too.
    """
    requests, statuses, units = work
    before = server.cpu_seconds()
    measured = run(server.port, clients, requests, statuses)
    cpu = server.cpu_seconds() - before
    settled = server.settle() - before
    done = len(requests) * units
    ordered = sorted(measured.latencies)
    return {
        "workload": name,
        "resources": patients * data.PER_PATIENT,
        "clients": clients,
        "per_second": round(done / measured.seconds),
        "cpu_us": round(cpu / done * 1e6),
        "settled_us": round(settled / done * 1e6),
        "wall_us": round(measured.seconds / done * 1e6),
        "p50_ms": round(statistics.median(ordered) * 1e3, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 2),
        "wrong": measured.wrong,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Give the figures as text, growth beside them where a workload ran at both sizes."""
    lines = [
        (
            f"{'workload':<38}{'resources':>10}{'clients':>8}{'/s':>8}{'CPU µs':>8}"
            f"{'settled':>8}{'p50 ms':>8}{'p99 ms':>8}{'wrong':>6}"
        )
    ]
    for r in rows:
        if "cpu_us" not in r:
            lines.append(
                f"start to ready {r['ready_s']} s, resident {r['resident_mb']} MB at {r['resources']}"
            )
            continue
        lines.append(
            f"{r['workload']:<38}{r['resources']:>10}{r['clients']:>8}{r['per_second']:>8}{r['cpu_us']:>8}"
            f"{r['settled_us']:>8}{r['p50_ms']:>8}{r['p99_ms']:>8}{r['wrong']:>6}"
        )
    return "\n".join([*lines, "", *growth(rows)])


def growth(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Tell, for each workload, CPU a request at the larger size over that at the smaller."""
    sizes = sorted({r["resources"] for r in rows})
    if len(sizes) < 2:
        return
    cost = {
        (r["workload"], r["clients"], r["resources"]): r["cpu_us"] for r in rows if "cpu_us" in r
    }
    yield f"growth of CPU a request from {sizes[0]} to {sizes[-1]} resources"
    for (name, clients, size), spent in cost.items():
        if size == sizes[0] and (larger := cost.get((name, clients, sizes[-1]))):
            yield f"  {name:<38}{clients:>4} clients  x{larger / max(spent, 1):.2f}"


def sized(store: str | None, patients: int) -> str | None:
    """Give the URL of a store of its own for a size."""
    if store is None:
        return None
    place, mark, options = store.partition("?")
    return f"{place}-{patients}{mark}{options}"


def main() -> None:
    """Measure, print the table and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--requests", type=int, default=2000, help="requests a workload")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(SIZES), help="patients, 60 resources each"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that answer HTTP")
    parser.add_argument(
        "--store", help="URL of a store, to which the size is added: mongodb://H/NAME"
    )
    parser.add_argument("--store-pid", type=int, help="the store's process: its CPU counts too")
    parser.add_argument("--out", type=Path, default=Path(".data/bench.json"))
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for patients in given.sizes:
            options = {
                "workers": given.workers,
                "store": sized(given.store, patients),
                "database": given.store_pid,
            }
            for one in measure(patients, given.requests, Path(folder), **options):
                rows.append(one)
                print(json.dumps(one), file=sys.stderr, flush=True)
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "workers": given.workers,
        "store": (given.store or "sqlite").partition(":")[0],
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
