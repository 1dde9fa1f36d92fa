"""`python -m benchmarks.search`: what each shape of search costs, and how its cost grows with the data.

Two stores are filled directly (the bulk path: no HTTP, groups of 400), one ten times the other, and a server
is started over each. Every shape asks for answers of the same size in both, so growth is that of the search.
CPU is the server's, per request; budgets are those that the project has set for itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks import data
from benchmarks.__main__ import http, run
from benchmarks.server import Server
from fhir_server.interactions.writing import body
from fhir_server.search.parameters import SearchParameters
from fhir_server.store.port import Change, Key
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.tenancy import DEFAULT
from resources.definitions import load

LIMIT: Final = 1.5
"""The most that the median of a shape may grow while the data grow tenfold."""

ROUNDS: Final = 3
"""How often the stores take turns; the best of them counts, for a machine has other things to do."""

_QUIET: Final = 3
_IDLE_S: Final = 0.08
_GROUP: Final = 400
_OPEN_TASKS: Final = 200
_DOCTORS: Final = 10
_TAIL: Final = 15
_INDEX_BUDGET_US: Final = 60


class Shape(NamedTuple):
    """A search: its query, with {n} for a patient's number, and its budget of CPU in µs, if it has one."""

    name: str
    query: str
    budget: int | None = None


def shapes(tail: str) -> tuple[Shape, ...]:
    """Give the shapes; `tail` is an instant after which few resources were written."""
    return (
        Shape("read, to compare with", "Patient/p{n}", 80),
        Shape("name prefix", "Patient?name=alder&_count=20", 130),
        Shape("identifier", f"Patient?identifier={data.MRN}|M{{n:07d}}", 170),
        Shape(
            "patient + code + date, newest first",
            "Observation?patient=p{n}&code=http://loinc.org|1001-1,http://loinc.org|1002-2"
            "&date=ge2011&date=lt2024&_sort=-date&_count=20",
            280,
        ),
        Shape(
            "patient + date, newest first",
            "Observation?subject=Patient/p{n}&date=ge2015&_sort=-date&_count=20",
            280,
        ),
        Shape("chained name", "ImagingStudy?patient.name=unique{n:07d}", 300),
        Shape(
            "_has",
            f"Patient?_has:ServiceRequest:patient:identifier={data.ACCESSION}|A{{n:07d}}",
            250,
        ),
        Shape(
            "_include", "ServiceRequest?subject=Patient/p{n}&_include=ServiceRequest:subject", 300
        ),
        Shape(
            "_revinclude",
            "Patient?_id=p{n}&_revinclude=ServiceRequest:subject&_revinclude=ImagingStudy:patient",
        ),
        Shape(
            "worklist, three filters, two keys",
            "Task?status=ready&code=read&owner=Practitioner/d{d}&_sort=priority,-authored-on&_count=20",
        ),
        Shape("_lastUpdated tail", f"Observation?_lastUpdated=gt{tail}&_count=20", 140),
        Shape(
            "status + _lastUpdated", "Observation?status=final&_lastUpdated=ge2020&_count=20", 140
        ),
        Shape(":not", "Patient?gender:not=male&_count=20"),
        Shape("count of a patient's", "Observation?subject=Patient/p{n}&_summary=count"),
        Shape("count of a type", "Observation?_summary=count"),
        Shape("quantity in other units", "Observation?patient=p{n}&value-quantity=lt0.1|" + _UNIT),
        Shape("composite", "Observation?patient=p{n}&code-value-quantity=1001-1$gt1|" + _UNIT),
    )


_UNIT: Final = "http://unitsofmeasure.org|g/L&_count=20"


def task(number: int) -> data.Resource:
    """Give the reading task of a patient: a fixed number of them is open, however many there are."""
    return {
        "resourceType": "Task",
        "id": f"p{number}-t",
        "status": "ready" if number < _OPEN_TASKS else "completed",
        "intent": "order",
        "priority": ("routine", "urgent", "stat")[number % 3],
        "code": {"coding": [{"system": "urn:bench:task", "code": "read"}]},
        "for": {"reference": f"Patient/p{number}"},
        "owner": {"reference": f"Practitioner/d{number % _DOCTORS}"},
        "authoredOn": f"2024-03-01T08:{number % 60:02d}:00Z",
    }


def resources(patients: int) -> Iterator[data.Resource]:
    """Give all resources: PER_PATIENT a patient, a Task among them instead of one Observation."""
    for number, made in enumerate(data.patients(patients)):
        made[0]["name"].append({"text": f"Unique{number:07d}"})
        made[-1] = task(number)
        yield from made


async def fill(folder: Path, patients: int) -> str:
    """Fill a store as the server will open it; gives the instant after which only the tail was written."""
    parameters = SearchParameters(load())

    def clinical(type_: str) -> str | None:
        atom = parameters.clinical(type_)
        return None if atom is None else atom.name

    def change(made: data.Resource) -> Change:
        key = Key(DEFAULT, made["resourceType"], made["id"])
        return Change(key, "PUT", body(made), parameters.values(made))

    store = SqliteStore(folder / "store.sqlite", clinical=clinical)
    await store.open()
    group: list[Change] = []
    for made in resources(patients):
        group.append(change(made))
        if len(group) == _GROUP:
            await store.commit(group)
            group = []
    await store.commit(group)
    await asyncio.sleep(1.2)
    chance = random.Random(3)
    last = [data.observation(f"tail{n}", "p1", chance) for n in range(_TAIL)]
    now = time.gmtime(time.time() - 0.1)
    await store.commit([change(made) for made in last])
    await store.close()
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", now)


def requests(shape: Shape, patients: int, count: int, seed: int = 7) -> list[bytes]:
    """Give requests of a shape for patients by chance."""
    chance = random.Random(seed)
    numbers = [chance.randrange(patients) for _ in range(count)]
    return [http("GET", shape.query.format(n=n, d=n % _DOCTORS)) for n in numbers]


def measure(folder: Path, sizes: Sequence[int], count: int) -> Iterator[dict[str, Any]]:
    """Fill a store of each number of patients and give a row for each shape; they take turns."""
    tails = {}
    for patients in sizes:
        begun = time.perf_counter()
        (folder / str(patients)).mkdir()
        tails[patients] = asyncio.run(fill(folder / str(patients), patients))
        filled = time.perf_counter() - begun
        yield {"resources": patients * data.PER_PATIENT, "filled_s": round(filled, 1)}
    with ExitStack() as stack:
        servers = {n: stack.enter_context(Server(folder / str(n))) for n in sizes}
        for server in servers.values():
            _settle(server)
        for place in range(len(shapes(""))):
            asked = {n: shapes(tails[n])[place] for n in sizes}
            rounds = [
                {n: _round(servers[n], asked[n], n, count // ROUNDS) for n in sizes}
                for _ in range(ROUNDS)
            ]
            for n in sizes:
                yield {
                    "shape": asked[n].name,
                    "resources": n * data.PER_PATIENT,
                    "p50_us": min(one[n][0] for one in rounds),
                    "cpu_us": min(one[n][1] for one in rounds),
                    "budget_us": asked[n].budget,
                }


def _settle(server: Server) -> None:
    """Wait until a server has indexed the texts of what it was given."""
    spent, quiet = server.cpu_seconds(), 0
    while quiet < _QUIET:
        time.sleep(1)
        now = server.cpu_seconds()
        quiet = quiet + 1 if now - spent < _IDLE_S else 0
        spent = now


def _round(server: Server, shape: Shape, patients: int, count: int) -> tuple[int, int]:
    """Ask a server for a shape; gives the median latency and the CPU a request in microseconds."""
    run(server.port, 1, requests(shape, patients, max(count // 4, 20), 3), [200])
    before = server.cpu_seconds()
    measured = run(server.port, 1, requests(shape, patients, count), [200])
    cpu = server.cpu_seconds() - before
    if measured.wrong:
        raise RuntimeError(f"{shape.name}: {measured.wrong} answers were no success")
    return round(statistics.median(measured.latencies) * 1e6), round(cpu / count * 1e6)


def index_cost(rounds: int = 3_000) -> float:
    """Give what it costs to compute all index values of a laboratory Observation, in µs."""
    extract = SearchParameters(load()).values
    made = [data.observation(f"o{n}", "p1", random.Random(n)) for n in range(50)]
    for one in made:
        one["valueQuantity"]["value"] = _decimal(one["valueQuantity"]["value"])
        extract(one)
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        for n in range(rounds // 5):
            extract(made[n % 50])
        best = min(best, (time.process_time() - begun) / (rounds // 5))
    return best * 1e6


def _decimal(number: float) -> Decimal:

    return Decimal(str(number))


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Give the figures as lines: a shape at both sizes, its growth, and its budget."""
    shaped = [row for row in rows if "shape" in row]
    sizes = sorted({row["resources"] for row in shaped})
    yield f"{'shape':<38}" + "".join(f"{f'p50 µs {s}':>16}{'CPU µs':>8}" for s in sizes)
    by_shape: dict[str, list[dict[str, Any]]] = {}
    for row in shaped:
        by_shape.setdefault(row["shape"], []).append(row)
    for name, some in by_shape.items():
        some.sort(key=lambda row: row["resources"])
        line = f"{name:<38}" + "".join(f"{row['p50_us']:>16}{row['cpu_us']:>8}" for row in some)
        growth = some[-1]["p50_us"] / some[0]["p50_us"]
        line += f"  x{growth:.2f}{' TOO MUCH' if growth >= LIMIT else ''}"
        budget = some[-1]["budget_us"]
        yield line + (f"  budget {budget}" if budget else "")


def main() -> None:
    """Measure, print the table and write the JSON; fails where a shape grows too much."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search")
    parser.add_argument("--patients", type=int, default=1_000, help="in the smaller store")
    parser.add_argument("--factor", type=int, default=10, help="how much larger the other is")
    parser.add_argument("--requests", type=int, default=600, help="requests a shape")
    parser.add_argument("--out", type=Path, default=Path(".data/search.json"))
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        sizes = (given.patients, given.patients * given.factor)
        for row in measure(Path(folder), sizes, given.requests):
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    cost = index_cost()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"rows": rows, "index_us": round(cost, 1)}, indent=1))
    print("\n".join(table(rows)))
    print(f"index values of an Observation: {cost:.1f} µs of {_INDEX_BUDGET_US}")


if __name__ == "__main__":
    main()
