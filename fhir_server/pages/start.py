"""What the start page tells: what runs and how it is, how much there is, the newest stories."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from fhir_server.pages import pictures, titles, words
from fhir_server.pages.ports import ModelState, Ports
from fhir_server.pages.reading import Reader
from fhir_server.pages.words import Json
from resources.model import Resource

TYPES = (
    *("Patient", "Encounter", "ServiceRequest", "ImagingStudy", "Observation"),
    *("DiagnosticReport", "ChargeItem", "Claim", "Task"),
)
NEWEST = 12
_KEPT_S = 30.0
_COMPONENTS = {
    "archive": "Image archive",
    "dimse": "DICOM listener (DIMSE)",
    "hl7v2": "HL7 v2 listener (MLLP)",
    "inference": "Inference worker",
    "jobs": "Job runner",
    "listen": "HL7 v2 listener (MLLP)",
    "mllp": "HL7 v2 listener (MLLP)",
    "store": "Resource store",
    "studies": "Matching of studies and orders",
    "sweep": "Removal of what has expired",
    "sync": "PACS sync",
    "work": "Job runner",
    "worker": "Job runner",
}


class Component(Struct, frozen=True):
    """A part of the server: `kind` is ok, off or bad, `state` says it in words."""

    name: str
    kind: str
    state: str


class Told(Struct, frozen=True):
    """One story on a list: whose study, what, when; `thumbnail` is its picture's path or ""."""

    href: str
    patient: str
    study: str
    modality: str
    started: str
    started_text: str
    accession: str
    thumbnail: str


class State:
    """The server's state; the models' is kept for half a minute, since telling it reads their weights."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._models: Sequence[ModelState] = ()
        self._told = -_KEPT_S

    async def components(self) -> list[Component]:
        """Give each part with its state."""
        states = await self._ports.health()
        return [_component(name, state) for name, state in states.items()]

    async def models(self) -> Sequence[ModelState]:
        """Give the models with whether they can run."""
        if time.monotonic() - self._told >= _KEPT_S:
            self._models = await asyncio.to_thread(self._ports.models)
            self._told = time.monotonic()
        return self._models


def _component(name: str, state: str) -> Component:
    kind = state if state in {"ok", "off"} else "bad"
    shown = {"ok": "Running", "off": "Off"}.get(state, state)
    return Component(_COMPONENTS.get(name, name.capitalize()), kind, shown)


async def counts(reader: Reader) -> list[tuple[str, int]]:
    """Give how many resources of the main types the caller may see."""
    found = await asyncio.gather(*(reader.count(type_) for type_ in TYPES))
    return [(type_, count) for type_, count in zip(TYPES, found, strict=True) if count is not None]


async def stories(
    reader: Reader, *, cursor: str = "", patient: str = "", count: int = NEWEST
) -> tuple[list[Told], str]:
    """Give a page of stories, newest first, of one patient if so asked, and the next page's cursor."""
    query = [
        ("_sort", "-_lastUpdated"),
        ("_count", str(count)),
        ("_include", "ImagingStudy:subject"),
    ]
    query += [("patient", f"Patient/{patient}")] if patient else []
    query += [("_cursor", cursor)] if cursor else []
    found = await reader.search("ImagingStudy", *query)
    return [_told(reader, each, found.beside) for each in found.matches], found.following


def _told(reader: Reader, study: Resource, beside: Mapping[str, Json]) -> Told:
    subject = study.get("subject", {})
    patient = beside.get(reader.path(subject))
    started = str(study.get("started", ""))
    numbers = [
        words.identifier(each)
        for each in study.get("identifier", ())
        if each.get("system") != "urn:dicom:uid"
    ]
    shown = pictures.pictured(study)
    href = f"/stories/{study['id']}"
    return Told(
        href=href,
        patient=titles.title(patient) if patient else str(subject.get("display") or "Patient"),
        study=titles.study(study),
        modality=words.listed(str(each.get("code", "")) for each in study.get("modality", ())),
        started=started,
        started_text=words.minute(started),
        accession=words.listed(numbers[:1]),
        thumbnail=f"{href}/series/{shown[0]['uid']}/picture.png?size=small" if shown else "",
    )
