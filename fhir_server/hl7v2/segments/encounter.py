"""PV1 as Encounter (v2-to-FHIR IG, PV1[Encounter])."""

from typing import Any

from fhir_server.hl7v2 import datatypes, identifiers, tables, times
from fhir_server.hl7v2.message import Segment
from fhir_server.hl7v2.segments import practitioner
from fhir_server.hl7v2.transaction import Transaction, stable_id
from resources.model import Resource

DERIVED = "urn:hounsfield:derived:visit"

_PARTICIPANTS = (
    (7, tables.Code(tables.V3_PARTICIPATION, "ATND", "attender")),
    (8, tables.Code(tables.V3_PARTICIPATION, "REF", "referrer")),
    (9, tables.Code(tables.V3_PARTICIPATION, "CON", "consultant")),
    (17, tables.Code(tables.V3_PARTICIPATION, "ADM", "admitter")),
    (52, tables.Code(tables.V3_PARTICIPATION, "PART", "Participation")),
)
_LOCATIONS = ((3, "active"), (6, "completed"), (11, "active"), (42, "reserved"))
_ADMIT_SOURCES = frozenset("123456789")
_AMBULATORY = frozenset(f"A{n}" for n in range(10)) | {f"B{n}" for n in range(1, 7)}
_HOSPITALIZATION = (  # field, element, its HL7 table, codes that the table itself defines
    (13, "reAdmission", "0092", frozenset("R")),
    (14, "admitSource", "0023", _ADMIT_SOURCES),
    (36, "dischargeDisposition", "0112", frozenset[str]()),
)
_SERVICES = frozenset({"CAR", "MED", "PUL", "SUR", "URO"})


def encounter(pv1: Segment, transaction: Transaction, subject: str) -> Resource:
    """Give the Encounter of a PV1 without its identifiers; `subject` is the reference to the patient."""
    pv1.accept(1)
    found: Resource = {"resourceType": "Encounter"} | _state(pv1, transaction)
    found["subject"] = {"reference": subject}
    if participants := _participants(pv1, transaction):
        found["participant"] = participants
    period = _period(pv1, transaction)
    if period:
        found["period"] = period
    if stay := _hospitalization(pv1, transaction):
        found["hospitalization"] = stay
    if locations := _locations(pv1, transaction):
        found["location"] = locations
    return found


def visit_identifiers(pv1: Segment, transaction: Transaction) -> list[dict[str, Any]]:
    """Give the visit number, PV1-19, and the alternate visit ids, PV1-50."""
    sender, zone, fallback = transaction.sender, transaction.zone, transaction.fallback("visit")
    found = [identifiers.cx(pv1.field(19).first, sender, fallback, zone, "VN")]
    found += [
        identifiers.cx(repetition, sender, fallback, zone)
        for repetition in pv1.field(50).repetitions
    ]
    return [each for each in found if each]


def derived_identifier(*parts: str) -> dict[str, Any]:
    """Give the identifier of a visit that has no number, from what makes it the visit that it is."""
    return identifiers.identifier(DERIVED, stable_id(*parts))


def _state(pv1: Segment, transaction: Transaction) -> Resource:
    """Give status, class, type and service type."""
    class_ = pv1.value("2").upper()
    status = "finished" if pv1.field(45) else tables.ENCOUNTER_STATUS.get(class_, "in-progress")
    found: Resource = {"status": status, "class": _class(class_)}
    admission = pv1.field(4).first
    if code := tables.ADMISSION_TYPE.get(admission.value(1).upper()):
        found["type"] = [{"coding": [code.json]}]
    elif concept := datatypes.cwe(admission, transaction.sender):
        found["type"] = [concept]
    service = datatypes.coded(pv1.field(10).first, transaction.sender, "0069", _SERVICES)
    return found | ({"serviceType": service} if service else {})


def _class(code: str) -> dict[str, str]:
    """Give Encounter.class: of table 0004, else the sender's own code, else unknown."""
    known = tables.PATIENT_CLASS.get(code)
    if known is None and datatypes.is_code(code):
        return {"code": code}
    return (known or tables.CLASS_UNKNOWN).json


def _participants(pv1: Segment, transaction: Transaction) -> list[dict[str, Any]]:
    return [
        {"type": [{"coding": [role.json]}], "individual": individual}
        for number, role in _PARTICIPANTS
        for repetition in pv1.field(number).repetitions
        if (individual := practitioner.reference(repetition, transaction))
    ]


def _period(pv1: Segment, transaction: Transaction) -> dict[str, str]:
    """Give admission and discharge, telling of those that are no dates."""
    for number in (44, 45):
        value = pv1.value(f"{number}")
        if value and times.date_time(value, transaction.zone) is None:
            transaction.note(pv1, number, "it is no date")
    return identifiers.span(pv1.value("44"), pv1.value("45"), transaction.zone)


def _hospitalization(pv1: Segment, transaction: Transaction) -> Resource:
    """Give admission and discharge circumstances, arrangements, courtesies, diet."""
    sender = transaction.sender
    found: Resource = {}
    number = identifiers.cx(
        pv1.field(5).first, sender, transaction.fallback("preadmit"), transaction.zone
    )
    if number:
        found["preAdmissionIdentifier"] = number
    for field, element, table, codes in _HOSPITALIZATION:
        if concept := datatypes.coded(pv1.field(field).first, sender, table, codes):
            found[element] = concept
    for field, element, table, codes in (
        (38, "dietPreference", "0114", frozenset[str]()),
        (16, "specialCourtesy", "0099", frozenset[str]()),
        (15, "specialArrangement", "0009", _AMBULATORY),
    ):
        concepts = [
            concept
            for repetition in pv1.field(field).repetitions
            if (concept := datatypes.coded(repetition, sender, table, codes))
        ]
        if concepts:
            found[element] = concepts
    if destination := _destination(pv1):
        found["destination"] = destination
    return found


def _destination(pv1: Segment) -> dict[str, str] | None:
    """Give where the patient was discharged to, PV1-37, by its name."""
    name = pv1.value("37.1")
    return {"type": "Location", "display": name} if name else None


def _locations(pv1: Segment, transaction: Transaction) -> list[dict[str, Any]]:
    """Give the assigned, prior, temporary and pending places as logical references."""
    planned = pv1.value("2").upper() == "P"
    return [
        {"location": place, "status": "planned" if planned and number == 3 else status}
        for number, status in _LOCATIONS
        if (place := datatypes.place(pv1.field(number).first, transaction.sender))
    ]
