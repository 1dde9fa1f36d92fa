"""The story's two budgets: how fast an ADT is acknowledged, and how soon a study's findings are read.

`python -m benchmarks.story` sends ADT^A04 over one and over eight MLLP connections, then stores small
radiographs over STOW-RS, runs iq-classical on each and waits for its Observations by search. The model's
own seconds, kept with its job, are taken off: what is left is ours.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from benchmarks.client import Measured
from benchmarks.mllp_client import Job
from benchmarks.server import Server
from fhir_server import app, tenancy
from fhir_server.jobs import job as jobs
from fhir_server.settings import Settings

ACK_P99_MS = 50.0
OURS_S = 1.0
_FACILITY = "BENCH"
_INSTANCES = 2
_POLL_S = 0.005
_PATIENCE_S = 120.0
_BOUNDARY = "bench"


def adt(run: str, number: int) -> bytes:
    """Give an ADT^A04 of a patient and visit of their own."""
    key = f"{run}{number}"
    segments = (
        f"MSH|^~\\&|ADT|{_FACILITY}|HOUNSFIELD|RAD|20260106134418+0100||ADT^A04^ADT_A01|{key}|P|2.5.1",
        "EVN|A04|20260106134400+0100",
        f"PID|1||{key}^^^{_FACILITY}^MR||ALDER{number}^ADA||19790328|F|||1 MAIN ST^^PARIS^^75007",
        f"PV1|1|O|RAD^1^2|||||||||||||||||{key}^^^{_FACILITY}^VN",
    )
    return "".join(f"{segment}\r" for segment in segments).encode()


def acknowledged(server: Server, run: str, connections: int, count: int) -> dict[str, Any]:
    """Send `count` messages over so many connections; gives the latencies of their ACKs in ms."""
    messages = [adt(run, number) for number in range(count)]
    job = msgspec.msgpack.encode(Job(server.mllp_port, connections, messages))
    command = [sys.executable, "-m", "benchmarks.mllp_client"]
    before = server.cpu_seconds()
    ran = subprocess.run(command, input=job, capture_output=True, check=True)
    cpu = server.cpu_seconds() - before
    measured = msgspec.msgpack.decode(ran.stdout, type=Measured)
    ordered = sorted(measured.latencies)
    return {
        "what": "ADT^A04 to ACK",
        "connections": connections,
        "messages": count,
        "per_second": round(count / measured.seconds),
        "cpu_us": round(cpu / count * 1e6),
        "p50_ms": round(statistics.median(ordered) * 1e3, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 2),
        "max_ms": round(ordered[-1] * 1e3, 2),
        "wrong": measured.wrong,
        "held": measured.wrong == 0 and ordered[int(len(ordered) * 0.99)] * 1e3 <= ACK_P99_MS,
    }


def radiograph(study: str, patient: str, number: int, side: int = 256) -> bytes:
    """Give a small synthetic CR as a DICOM file: a gradient with noise, one patient, one study."""
    made = Dataset()
    made.SOPClassUID = ComputedRadiographyImageStorage
    made.StudyInstanceUID, made.SeriesInstanceUID = study, f"{study}.1"
    made.SOPInstanceUID = f"{study}.1.{number}"
    made.PatientID, made.IssuerOfPatientID, made.PatientName = patient, _FACILITY, "ALDER^ADA"
    made.StudyDate, made.StudyTime, made.TimezoneOffsetFromUTC = "20260106", "134500", "+0100"
    made.AccessionNumber, made.Modality, made.BodyPartExamined = f"A{patient}", "CR", "CHEST"
    made.ViewPosition, made.SeriesNumber, made.InstanceNumber = "PA", 1, number
    made.Rows = made.Columns = side
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.PixelSpacing = [0.2, 0.2]
    chance = np.random.default_rng(number)
    ramp = np.linspace(200, 3600, side)[:, None] + chance.normal(0, 20, (side, side))
    made.PixelData = ramp.clip(0, 4095).astype("<u2").tobytes()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        made.SOPClassUID,
        made.SOPInstanceUID,
    )
    target = io.BytesIO()
    FileDataset(target, made, file_meta=meta, preamble=b"\0" * 128).save_as(
        target, enforce_file_format=True
    )
    return target.getvalue()


def told(http: httpx.Client, number: int, patient: str) -> tuple[float, str]:
    """Play one study: gives seconds from its last instance stored to its Observations found, and the job."""
    study = f"2.25.{10**30 + number}"
    for instance in range(1, _INSTANCES + 1):
        _stow(http, radiograph(study, patient, instance))
    begun = time.perf_counter()
    resource = _found(http, f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{study}")[0]
    place = f"ImagingStudy/{resource['id']}"
    started = http.post(f"fhir/{place}/$infer", params={"model": "iq-classical"})
    started.raise_for_status()
    _found(http, f"Observation?derived-from={place}")
    return time.perf_counter() - begun, started.json()["id"]


def _stow(http: httpx.Client, file: bytes) -> None:
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
    body = head + file + f"\r\n--{_BOUNDARY}--\r\n".encode()
    http.post("dicom-web/studies", content=body, headers={"Content-Type": kind}).raise_for_status()


def _found(http: httpx.Client, query: str) -> list[dict[str, Any]]:
    """Ask until there is a match; gives the resources."""
    until = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < until:
        answered = http.get(f"fhir/{query}")
        answered.raise_for_status()
        if entries := answered.json().get("entry"):
            return [entry["resource"] for entry in entries]
        time.sleep(_POLL_S)
    raise RuntimeError("nothing was found in time")


async def model_seconds(data: Path, ids: list[str]) -> list[float]:
    """Give the model's own seconds of each job, from the installation's store."""
    async with app.installation(Settings(data=data), "http://localhost") as house:
        found = [await jobs.find(house.services.documents, tenancy.DEFAULT, id_) for id_ in ids]
    return [float(job.output["seconds"]) for job in found if job is not None]


def findings(server: Server, run: str, count: int) -> Iterator[dict[str, Any]]:
    """Play so many studies; gives a row for the first, which starts the model's process, and for the rest."""
    whole: list[float] = []
    ids: list[str] = []
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=_PATIENCE_S) as http:
        for number in range(count + 1):
            seconds, job = told(http, number, f"{run}{number}")
            whole.append(seconds)
            ids.append(job)
    models = asyncio.run(model_seconds(server.data, ids))
    ours = [total - model for total, model in zip(whole, models, strict=True)]
    parts = (("first study to findings", slice(0, 1)), ("study to findings", slice(1, None)))
    for what, part in parts:
        yield {
            "what": what,
            "studies": len(ours[part]),
            "model_s": round(statistics.median(models[part]), 3),
            "ours_p50_s": round(statistics.median(ours[part]), 3),
            "ours_max_s": round(max(ours[part]), 3),
            "held": max(ours[part]) <= OURS_S if part.start else None,
        }


def lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Give each row as a line for a person."""
    for r in rows:
        verdict = {True: "ok", False: "OVER BUDGET", None: "not judged"}[r["held"]]
        if "p99_ms" in r:
            yield (
                f"{r['what']:<26}{r['connections']:>3} connections  p50 {r['p50_ms']:>7} ms  "
                f"p99 {r['p99_ms']:>7} ms  max {r['max_ms']:>7} ms  {r['per_second']:>5}/s  "
                f"CPU {r['cpu_us']} µs  wrong {r['wrong']}  (p99 ≤ {ACK_P99_MS:g} ms) {verdict}"
            )
        else:
            yield (
                f"{r['what']:<26}{r['studies']:>3} studies      model {r['model_s']} s  "
                f"ours p50 {r['ours_p50_s']} s  max {r['ours_max_s']} s  (≤ {OURS_S:g} s) {verdict}"
            )


def main() -> int:
    """Measure, print a line for each budget and write the JSON; 1 where a budget is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.story")
    parser.add_argument("--messages", type=int, default=500, help="ADT messages a run")
    parser.add_argument("--studies", type=int, default=10, help="studies after the first")
    parser.add_argument("--out", type=Path, default=Path(".data/bench-story.json"))
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder) / "data", mllp=True) as server,
    ):
        acknowledged(server, "W", 1, 50)
        rows.append(acknowledged(server, "S", 1, given.messages))
        rows.append(acknowledged(server, "E", 8, given.messages))
        rows.extend(findings(server, "S", given.studies))
    machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))
    print("\n".join(lines(rows)))
    return int(any(row["held"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
