"""A study by DICOMweb and a model over it: store, query, infer (PS3.18 10.4-10.6; FHIR R4 async.html)."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from fhir_server.demo.rest import Fhir, expect, reference, value
from fhir_server.demo.step import Notes, require
from fhir_server.demo.story import Story

_STUDY_UID = "0020000D"
_ACCESSION = "00080050"
_PATIENT_ID = "00100020"
_MODALITIES = "00080061"
_PIXELS = "7FE00010"
_RETRIEVE_URL = "00081190"
_FAILED = ("00081198", "0008119A")
_REFERENCED = "00081199"
_WAIT_S = 300.0
_POLL_S = 0.25


async def store(story: Story, notes: Notes) -> None:
    """STOW-RS stores every instance; the ImagingStudy is this patient's and based on this order."""
    case, fhir = story.case, story.day.modality
    files = await story.prepared.files(case)
    answered = await _stowed(fhir, files)
    failed = sum(len(answered.get(tag, {}).get("Value", ())) for tag in _FAILED)
    require(failed == 0, f"{failed} instances failed")
    stored = answered[_REFERENCED]["Value"]
    require(len(stored) == len(files), f"{len(stored)} of {len(files)} instances were stored")
    story.instances = [value(one, _RETRIEVE_URL) for one in stored]
    notes.url(f"{fhir.dicom}/studies/{case.study_uid}")
    uid = f"urn:dicom:uid|urn:oid:{case.study_uid}"
    study = await story.day.workflow.only("ImagingStudy", notes, identifier=uid)
    require(study["subject"].get("reference") == story.patient, "the study is another Patient's")
    orders = [each.get("reference") for each in study.get("basedOn", ())]
    require(orders == [story.order], "the study is not based on the order, or not on it alone")
    require(study["numberOfInstances"] == len(files), "the ImagingStudy counts otherwise")
    story.study = reference(study)
    notes.facts |= {"study": story.study, "instances": len(files)}


async def query(story: Story, notes: Notes) -> None:
    """QIDO-RS finds the study by its accession number, and WADO-RS gives its metadata."""
    case, fhir = story.case, story.day.modality
    search = f"{fhir.dicom}/studies?AccessionNumber={case.accession}"
    found = await fhir.dicom_json(search)
    require(len(found) == 1, f"{len(found)} studies have the accession number")
    require(value(found[0], _STUDY_UID) == case.study_uid, "another study has the number")
    modalities = found[0].get(_MODALITIES, {}).get("Value")
    require(modalities == [case.modality], "the study has other modalities")
    metadata = f"{fhir.dicom}/studies/{case.study_uid}/metadata"
    datasets = await fhir.dicom_json(metadata)
    notes.url(search, metadata)
    require(len(datasets) == len(story.instances), f"metadata of {len(datasets)} instances came")
    for dataset in datasets:
        require(value(dataset, _PATIENT_ID) == case.person.number, "an instance is another's")
        require(value(dataset, _ACCESSION) == case.accession, "an instance has another number")
        require("BulkDataURI" in dataset[_PIXELS], "pixels do not stand as a BulkDataURI")
    notes.facts |= {"studies": len(found), "metadata": len(datasets), "modality": case.modality}


async def infer(story: Story, notes: Notes) -> None:
    """$infer starts a job that is followed to its end; its Task is completed."""
    fhir, model = story.day.workflow, story.case.model
    accepted = await fhir.operate(f"{story.study}/$infer", {"model": model})
    expect(accepted, 202)
    job = accepted.headers["content-location"]
    notes.url(f"{fhir.base}/{story.study}/$infer", job)
    polls = await finished(fhir, job)
    task = await fhir.read(f"Task/{job.rpartition('/')[2]}", notes)
    require(task["status"] == "completed", f"the Task is {task['status']}")
    require(task["focus"]["reference"] == story.study, "the Task is about something else")
    outputs = [each["valueReference"]["reference"] for each in task.get("output", ())]
    require(outputs, "the Task names no results")
    notes.facts |= {"model": model, "task": reference(task), "polls": polls}
    notes.facts["results"] = len(outputs)


async def finished(fhir: Fhir, job: str) -> int:
    """Poll a job's status URL until it is 200; gives how often. Another answer than 202 fails the step."""
    until, polls = time.monotonic() + _WAIT_S, 0
    while True:
        response = await fhir.send("GET", job, accept="application/json")
        polls += 1
        if response.status_code == 200:
            return polls
        expect(response, 202)
        require(time.monotonic() < until, f"the job took more than {_WAIT_S:g} s")
        await asyncio.sleep(_POLL_S)


async def _stowed(
    fhir: Fhir, files: Sequence[Path]
) -> dict[str, dict[str, list[dict[str, object]]]]:
    """Send the files as one request and give the Store Instances Response."""
    boundary = uuid.uuid4().hex
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    response = await fhir.send(
        "POST",
        f"{fhir.dicom}/studies",
        accept="application/dicom+json",
        headers={"Content-Type": kind},
        body=_parts(boundary, files),
    )
    expect(response, 200)
    answered: dict[str, dict[str, list[dict[str, object]]]] = response.json()
    return answered


async def _parts(boundary: str, files: Sequence[Path]) -> AsyncIterator[bytes]:
    """Give the multipart body, a file at a time (RFC 2387)."""
    for path in files:
        content = await asyncio.to_thread(path.read_bytes)
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + content
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
