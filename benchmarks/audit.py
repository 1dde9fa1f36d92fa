"""python -m benchmarks.audit: what a record in the journal costs, and a read with the trail on and off."""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.__main__ import http, row, run
from benchmarks.server import Server
from fhir_server.audit.journal import Journal
from fhir_server.audit.record import Record

_PATIENTS = 50
_DRAIN_S = 30.0


def append_us(count: int) -> float:
    """Give the CPU microseconds that a record in the journal takes: encoded, hashed, written."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder), bytes(32))
        record = Record(
            1_790_000_000_000,
            "default",
            "fhir",
            "read",
            200,
            "subject",
            "client",
            "Practitioner/1",
            "127.0.0.1",
            "0123456789abcdef0123456789abcdef",
            "Patient/p1",
            ("Patient/p1/_history/1",),
        )
        journal.append(record)
        journal._dirty = True  # noqa: SLF001 - without an event loop each record would be synced
        begun = time.process_time()
        for _ in range(count):
            journal.append(record)
        spent = time.process_time() - begun
        journal.close()
    return spent / count * 1e6


def reads(folder: Path, count: int, clients: int, *, on: bool) -> dict[str, Any]:
    """Give the figures of reads with the trail on or off, and the CPU of all that was told until it was."""
    os.environ["HOUNSFIELD_AUDIT"] = "on" if on else "off"
    with Server(folder) as server:
        bodies = [{"resourceType": "Patient", "id": f"p{n}"} for n in range(_PATIENTS)]
        put = [http("PUT", f"Patient/{b['id']}", json.dumps(b).encode()) for b in bodies]
        run(server.port, 1, put, [201])
        asked = [http("GET", f"Patient/p{n % _PATIENTS}") for n in range(count)]
        run(server.port, 8, asked[:500], [200])
        time.sleep(2)
        before = server.cpu_seconds()
        found = row(server, _PATIENTS, clients, "read", (asked, [200], 1))
        _drained(server)
        found["told_cpu_us"] = round((server.cpu_seconds() - before) / count * 1e6)
    return found | {"audit": "on" if on else "off"}


def _drained(server: Server) -> None:
    """Wait until the server does nothing more."""
    until = time.monotonic() + _DRAIN_S
    spent = server.cpu_seconds()
    while time.monotonic() < until:
        time.sleep(1.5)
        now = server.cpu_seconds()
        if now - spent < 0.03:
            return
        spent = now


def main() -> None:
    """Measure and print one JSON line a figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    parser.add_argument("--requests", type=int, default=4000, help="reads")
    parser.add_argument("--clients", type=int, default=8, help="connections")
    given = parser.parse_args()
    print(json.dumps({"journal_append_cpu_us": round(append_us(20_000), 1)}))
    for on in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            figures = reads(Path(folder) / "data", given.requests, given.clients, on=on)
            print(json.dumps(figures))


if __name__ == "__main__":
    main()
