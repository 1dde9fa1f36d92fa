"""python -m benchmarks.audit: what the trail costs, an access: in the journal, told, and in a served read."""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.__main__ import http, row, run
from benchmarks.server import Server
from fhir_server.app.opening import installation
from fhir_server.audit.journal import Journal
from fhir_server.audit.record import Record
from fhir_server.installation import Installation
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import Settings

_PATIENTS = 50
_NOW = 1_790_000_000_000
_PAGE = 20


def record(number: int, act: str, what: tuple[str, ...], **more: Any) -> Record:
    """Give the record of one access by one person."""
    who = ("subject", "client", "Practitioner/1", "127.0.0.1", f"{number:032x}")
    return Record(
        _NOW + number, "default", "fhir", act, 200, *who, "Observation", what=what, **more
    )


def append_us(count: int) -> float:
    """Give the CPU microseconds that a record in the journal takes: encoded, hashed, written."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), bytes(32))
        told = record(0, "read", ("Patient/p1/_history/1",))
        journal.append(told)
        journal._dirty = True  # noqa: SLF001 - without an event loop each record would be synced
        begun = time.process_time()
        for _ in range(count):
            journal.append(told)
        spent = time.process_time() - begun
        journal.close()
    return spent / count * 1e6


def accesses(act: str, count: int) -> Iterator[Record]:
    """Give reads of some Observations, creates of as many as there are, or searches with whole pages."""
    for number in range(count):
        if act == "search-type":
            page = range(number, number + _PAGE)
            what = tuple(f"Observation/o{one % count}/_history/1" for one in page)
            yield record(number, act, what, query=(("patient", f"p{number}"), ("_count", "20")))
        else:
            place = number if act == "create" else number % _PATIENTS
            yield record(number, act, (f"Observation/o{place}/_history/1",))


async def told_us(folder: Path, act: str, count: int) -> float:
    """Give the CPU microseconds, of all threads, from a record in the journal to its stored AuditEvent."""
    settings = Settings(data=folder, auth="open", mllp_port=None)
    async with installation(settings, "http://127.0.0.1") as house:
        await _observations(house, count)
        if house.audit is None:
            raise RuntimeError("the settings turn the trail off")
        following = house.audit.following
        while await following.once():
            pass
        for one in accesses(act, count):
            house.audit.trail.tell(one)
        begun, told = time.process_time(), 0
        while some := await following.once():
            told += some
        return (time.process_time() - begun) / told * 1e6


async def _observations(house: Installation, count: int) -> None:
    """Store as many Observations of some patients."""
    entries = [
        {
            "resource": {
                "resourceType": "Observation",
                "id": f"o{number}",
                "status": "final",
                "code": {"text": "measured"},
                "subject": {"reference": f"Patient/p{number % _PATIENTS}"},
            },
            "request": {"method": "PUT", "url": f"Observation/o{number}"},
        }
        for number in range(count)
    ]
    for start in range(0, count, 500):
        some = entries[start : start + 500]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": some}
        body = json.dumps(bundle).encode()
        answered = await dispatch(house.ours("default"), FhirRequest("POST", "", body=body))
        if answered.status != 200:
            raise RuntimeError("the Observations were refused")


def reads(folder: Path, count: int, clients: int, *, on: bool) -> dict[str, Any]:
    """Give the figures of reads with the trail on or off, and the CPU of all that was told until it was."""
    os.environ["HOUNSFIELD_AUDIT"] = "on" if on else "off"
    with Server(folder) as server:
        bodies = [{"resourceType": "Patient", "id": f"p{n}"} for n in range(_PATIENTS)]
        put = [http("PUT", f"Patient/{b['id']}", json.dumps(b).encode()) for b in bodies]
        run(server.port, 1, put, [201])
        asked = [http("GET", f"Patient/p{n % _PATIENTS}") for n in range(count)]
        run(server.port, 8, asked[:500], [200])
        server.settle()
        found = row(server, _PATIENTS, clients, "read", (asked, [200], 1))
    return found | {"audit": "on" if on else "off"}


def main() -> None:
    """Measure and print one JSON line a figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    parser.add_argument(
        "--requests", type=int, default=4000, help="reads, and accesses that are told"
    )
    parser.add_argument("--clients", type=int, default=8, help="connections")
    given = parser.parse_args()
    print(json.dumps({"journal_append_cpu_us": round(append_us(20_000), 1)}))
    for act in ("read", "create", "search-type"):
        with tempfile.TemporaryDirectory() as folder:
            told = asyncio.run(told_us(Path(folder) / "data", act, given.requests))
            print(json.dumps({"told": act, "cpu_us_an_access": round(told)}))
    for on in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            figures = reads(Path(folder) / "data", given.requests, given.clients, on=on)
            print(json.dumps(figures))


if __name__ == "__main__":
    main()
