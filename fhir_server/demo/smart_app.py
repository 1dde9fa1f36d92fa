"""A SMART app for one patient: it reads that patient's study and pixels, and is refused another's."""

import asyncio
import hashlib
from io import BytesIO
from pathlib import Path

import pydicom

from fhir_server.demo import accounts, opening
from fhir_server.demo.browser import Person
from fhir_server.demo.rest import Fhir, expect, value
from fhir_server.demo.step import Notes, require
from fhir_server.demo.story import Story

_STUDY_UID = "0020000D"
_DICOM = "application/dicom"


async def smart(mine: Story, other: Story, notes: Notes) -> None:
    """A standalone launch for one patient reads his study and pixels; another's are not found."""
    day, case = mine.day, mine.case
    chosen = mine.patient.partition("/")[2]
    person = Person(accounts.RADIOLOGIST, day.password, case.person.number, chosen)
    http, server = day.modality.http, (day.base, day.smart)
    app, answer = await opening.launched(http, server, accounts.VIEWER, person)
    require(answer.get("patient") == chosen, "the token is for another patient")
    notes.facts |= {"client": accounts.VIEWER, "scope": answer["scope"], "patient": mine.patient}
    await app.read(mine.study, notes)
    await _pixels(app, mine, notes)
    await _listed(app, mine, notes)
    await _refused(app, other, notes)


async def _pixels(app: Fhir, mine: Story, notes: Notes) -> None:
    """Retrieve an instance of the patient's own and compare its pixels with those that were sent."""
    url = mine.instances[len(mine.instances) // 2]
    response = await app.send("GET", url, accept=_DICOM)
    expect(response, 200)
    notes.url(url)
    got = pydicom.dcmread(BytesIO(response.content))
    sent = await asyncio.to_thread(
        _by_uid, await mine.prepared.files(mine.case), got.SOPInstanceUID
    )
    digest = hashlib.sha256(got.PixelData).hexdigest()
    require(digest == hashlib.sha256(sent).hexdigest(), "the pixels are not those that were sent")
    notes.facts["pixels_sha256"] = digest


def _by_uid(files: list[Path], uid: str) -> bytes:
    """Give the pixels of the file with a SOP Instance UID; raises LookupError."""
    for path in files:
        head = pydicom.dcmread(path, specific_tags=["SOPInstanceUID"])
        if head.SOPInstanceUID == uid:
            return bytes(pydicom.dcmread(path).PixelData)
    raise LookupError("an instance came that was not sent")


async def _listed(app: Fhir, mine: Story, notes: Notes) -> None:
    """Check that searches over everything give the patient's own study and no other."""
    studies = await app.search("ImagingStudy", notes)
    require([f"ImagingStudy/{each['id']}" for each in studies] == [mine.study], "others are listed")
    found = await app.dicom_json(f"{app.dicom}/studies")
    uids = [value(each, _STUDY_UID) for each in found]
    require(uids == [mine.case.study_uid], "QIDO-RS lists other studies")
    notes.url(f"{app.dicom}/studies")
    notes.facts["listed"] = len(uids)


async def _refused(app: Fhir, other: Story, notes: Notes) -> None:
    """Check that the other patient, study, results and pixels are as if they were not there."""
    places = [other.patient, other.study, other.order]
    places += [f"Observation/{other.observations[0]['id']}", other.report]
    urls = [f"{app.base}/{place}" for place in places]
    study = f"{app.dicom}/studies/{other.case.study_uid}"
    statuses = {}
    for url in (*urls, f"{study}/metadata", other.instances[0]):
        response = await app.send("GET", url, accept="*/*")
        statuses[url] = response.status_code
        require(response.status_code == 404, f"{url} answered {response.status_code}")
    found = await app.dicom_json(f"{app.dicom}/studies?StudyInstanceUID={other.case.study_uid}")
    require(not found, "QIDO-RS finds the other patient's study")
    notes.url(*statuses)
    notes.facts["refused"] = statuses
