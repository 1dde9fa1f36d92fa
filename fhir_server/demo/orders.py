"""A visit and its order by HL7 v2 over MLLP, looked for over FHIR: admit, order, resend."""

from typing import Any

from fhir_server.demo import messages
from fhir_server.demo.patients import FILLERS, HOSPITAL, PLACERS
from fhir_server.demo.rest import Fhir, reference
from fhir_server.demo.step import Notes, require
from fhir_server.demo.story import Story
from fhir_server.hl7v2 import mllp
from resources.model import Resource

_ASSIGNER = "urn:hounsfield:assigner"
_GENDERS = {"F": "female", "M": "male"}


async def admit(story: Story, notes: Notes) -> None:
    """ADT^A04 is acknowledged with AA, and Patient and Encounter are there."""
    await _sent(story, messages.admission(story.case), notes)
    case, fhir = story.case, story.day.workflow
    patient = await fhir.only("Patient", notes, identifier=_token(HOSPITAL, case.person.number))
    born = patient.get("birthDate", "").replace("-", "")
    require(born == case.person.birth_date, "the Patient has another birth date")
    require(patient.get("gender") == _GENDERS[case.person.sex], "the Patient has another gender")
    require(patient["name"][0]["family"] == case.person.family, "the Patient has another name")
    story.patient = reference(patient)
    encounter = await fhir.only("Encounter", notes, identifier=_token(HOSPITAL, case.visit))
    require(
        encounter["subject"]["reference"] == story.patient, "the Encounter is another Patient's"
    )
    story.encounter = reference(encounter)
    notes.facts |= {"patient": story.patient, "encounter": story.encounter}


async def order(story: Story, notes: Notes) -> None:
    """ORM^O01 is acknowledged with AA, and the ServiceRequest has its three numbers."""
    story.order_answer = await _sent(story, messages.order(story.case), notes)
    found = await _request(story, story.day.workflow, notes)
    numbers = {_kind(each): (each["system"], each["value"]) for each in found["identifier"]}
    case = story.case
    wanted = {"PLAC": (PLACERS, case.placer), "FILL": (FILLERS, case.filler)}
    for kind, (assigner, value) in (wanted | {"ACSN": (FILLERS, case.accession)}).items():
        right = numbers.get(kind) == (f"{_ASSIGNER}:{assigner}", value)
        require(right, f"the ServiceRequest has another number of type {kind}")
    require(found["subject"]["reference"] == story.patient, "the order is another Patient's")
    require(found["encounter"]["reference"] == story.encounter, "the order is of another Encounter")
    require(found["code"]["coding"][0]["code"] == case.order[0], "the order asks for another code")
    story.order = reference(found)
    notes.facts |= {"order": story.order, "accession": case.accession, "status": found["status"]}


async def resend(story: Story, notes: Notes) -> None:
    """The same ORM^O01 again gets the same answer, and nothing has a new version."""
    fhir = story.day.workflow
    before = [await fhir.read(each, notes) for each in story.ordered]
    answer = await _sent(story, messages.order(story.case), notes)
    require(answer == story.order_answer, "the resend was answered otherwise")
    after = [await fhir.read(each, notes) for each in story.ordered]
    versions = [
        (a["meta"]["versionId"], b["meta"]["versionId"]) for a, b in zip(before, after, strict=True)
    ]
    require(all(a == b for a, b in versions), "the resend made a new version")
    await _request(story, fhir, notes)
    notes.facts["versions"] = {
        each: b for each, (_, b) in zip(story.ordered, versions, strict=True)
    }


async def _sent(story: Story, message: bytes, notes: Notes) -> bytes:
    """Send a message and give its acknowledgement, which must accept this very message."""
    host, port = story.day.mllp
    acknowledgement = await mllp.send(host, port, message)
    code, control_id = messages.answer(acknowledgement)
    notes.facts |= {"acknowledged": code, "control_id": control_id}
    require(code == "AA", f"the message was answered with {code or 'no MSA'}")
    require(control_id == messages.control_id(message), "MSA-2 names another message")
    return acknowledgement


async def _request(story: Story, fhir: Fhir, notes: Notes) -> Resource:
    """Give the one ServiceRequest of the placer number, which the accession number finds too."""
    case = story.case
    placed = await fhir.only("ServiceRequest", notes, identifier=_token(PLACERS, case.placer))
    token = _token(FILLERS, case.accession)
    filled = await fhir.only("ServiceRequest", notes, identifier=token)
    require(placed["id"] == filled["id"], "the numbers lead to two ServiceRequests")
    return placed


def _token(assigner: str, value: str) -> str:
    return f"{_ASSIGNER}:{assigner}|{value}"


def _kind(identifier: dict[str, Any]) -> str:
    """Give the code of an identifier's type of table 0203."""
    codings = identifier.get("type", {}).get("coding", [{}])
    return str(codings[0].get("code", ""))
