"""ORC, OBR, TQ1, NTE and DG1 as ServiceRequest (v2-to-FHIR IG, ORC and OBR[ServiceRequest])."""

from typing import Any

from fhir_server.hl7v2 import datatypes, identifiers, tables, times
from fhir_server.hl7v2.message import Segment, Segments
from fhir_server.hl7v2.refusal import FieldMissing, UnknownCode
from fhir_server.hl7v2.segments import practitioner, timing
from fhir_server.hl7v2.segments.order_identifiers import Numbers
from fhir_server.hl7v2.transaction import Transaction
from resources.model import Resource

STATUS_REASON = f"{datatypes.EXTENSION}request-statusReason"
CALL_BACK = f"{datatypes.EXTENSION}servicerequest-order-callback-phone-number"


def status(orc: Segment, transaction: Transaction) -> str:
    """Give ServiceRequest.status: what order control ends or else the order status, ORC-5, says.

    Raises UnknownCode for an order control that orders do not carry here, FieldMissing for a status
    change without a status.
    """
    control = orc.value("1").upper()
    found = tables.ORDER_CONTROL.get(control)
    if found is None:
        raise UnknownCode("The order control code is not taken here", location=orc.location(1))
    given = orc.value("5").upper()
    if control in tables.ENDING_CONTROL or not given:
        if found == "unknown":
            raise FieldMissing("A status change needs a status", location=orc.location(5))
        return found
    if given not in tables.ORDER_STATUS:
        transaction.note(orc, 5, "the code is not in table 0038")
        return found
    return tables.ORDER_STATUS[given]


def service_request(
    order: Segments, numbers: Numbers, subject: str, encounter: str | None, transaction: Transaction
) -> Resource:
    """Give the ServiceRequest of one order: an ORC with what follows it up to the next one."""
    orc = order["ORC"]
    found: Resource = {"resourceType": "ServiceRequest", "identifier": numbers.all}
    if numbers.group:
        found["requisition"] = numbers.group
    found |= {"status": status(orc, transaction), "intent": "order"}
    found["subject"] = {"reference": subject}
    if encounter:
        found["encounter"] = {"reference": encounter}
    if urgency := timing.priority(order, transaction):
        found["priority"] = urgency
    found |= timing.occurrence(order, transaction)
    found |= _common(orc, order, transaction)
    obr = order.find("OBR")
    found["category"] = _category(obr)
    if obr:
        found |= _detail(obr, transaction)
    found |= _reasons(order, transaction)
    found |= _context(order, transaction)
    if notes := _notes(order, transaction):
        found["note"] = notes
    return found


def status_patch(orc: Segment, transaction: Transaction) -> list[Resource]:
    """Give the FHIRPath Patch that sets the status and changes nothing else."""
    value = {"name": "value", "valueCode": status(orc, transaction)}
    kind = {"name": "type", "valueCode": "replace"}
    path = {"name": "path", "valueString": "ServiceRequest.status"}
    return [{"name": "operation", "part": [kind, path, value]}]


def _common(orc: Segment, order: Segments, transaction: Transaction) -> Resource:
    """Give who asked and when, the kind of patient care, why the status is what it is."""
    found: Resource = {}
    written = orc.value("9")
    if authored := times.date_time(written, transaction.zone):
        found["authoredOn"] = authored
    elif written:
        transaction.note(orc, 9, "it is no date")
    if requester := _requester(orc, order.find("OBR"), transaction):
        found["requester"] = requester
    if place := tables.ORDER_TYPE.get(orc.value("29").upper()):
        found["locationCode"] = [{"coding": [place.json]}]
    extensions: list[dict[str, Any]] = []
    if reason := datatypes.cwe(orc.field(16).first, transaction.sender):
        extensions.append({"url": STATUS_REASON, "valueCodeableConcept": reason})
    extensions += _call_back(orc, order.find("OBR"))
    return found | ({"extension": extensions} if extensions else {})


def _requester(
    orc: Segment, obr: Segment | None, transaction: Transaction
) -> dict[str, Any] | None:
    """Give the ordering provider, OBR-16 where ORC-12 is empty; further ones stay unread."""
    for segment, number in ((orc, 12), (obr, 16)):
        if segment and segment.field(number):
            found = practitioner.reference(segment.field(number).first, transaction)
            if segment is orc and obr and obr.field(16).raw == orc.field(12).raw:
                obr.accept(16)
            return found
    return None


def _call_back(orc: Segment, obr: Segment | None) -> list[dict[str, Any]]:
    """Give the numbers to call back, OBR-17 or ORC-14."""
    field = obr.field(17) if obr and obr.field(17) else orc.field(14)
    return [
        {"url": CALL_BACK, "valueContactPoint": point}
        for repetition in field.repetitions
        if (point := datatypes.xtn(repetition))
    ]


def _category(obr: Segment | None) -> list[dict[str, Any]]:
    """Give imaging, unless OBR-24 names a section of table 0074 that does other things."""
    section = obr.value("24").upper() if obr else ""
    found: list[dict[str, Any]] = []
    if section not in tables.OTHER_SECTIONS:
        found.append({"coding": [tables.IMAGING.json]})
    if section in tables.IMAGING_SECTIONS | tables.OTHER_SECTIONS:
        system = tables.DIAGNOSTIC_SECTION_SYSTEM
        found.append({"coding": [{"system": system, "code": section}]})
    elif section:
        found.append({"text": section})
    return found


def _detail(obr: Segment, transaction: Transaction) -> Resource:
    """Give what is asked for: OBR-4, 46 and 47."""
    obr.accept(1)
    sender = transaction.sender
    found: Resource = {}
    if code := datatypes.cwe(obr.field(4).first, sender):
        found["code"] = code
    details = [
        concept
        for number in (46, 47)
        for repetition in obr.field(number).repetitions
        if (concept := datatypes.cwe(repetition, sender))
    ]
    return found | ({"orderDetail": details} if details else {})


def _reasons(order: Segments, transaction: Transaction) -> Resource:
    """Give the reasons for the study, OBR-31, and the diagnoses that came with the order, DG1-3."""
    obr = order.find("OBR")
    repetitions = list(obr.field(31).repetitions) if obr else []
    repetitions += [diagnosis.field(3).first for diagnosis in order.all("DG1")]
    for diagnosis in order.all("DG1"):
        diagnosis.accept(1)
    reasons: list[dict[str, Any]] = []
    for repetition in repetitions:
        reason = datatypes.cwe(repetition, transaction.sender)
        if reason and reason not in reasons:
            reasons.append(reason)
    return {"reasonCode": reasons} if reasons else {}


def _context(order: Segments, transaction: Transaction) -> Resource:
    """Give clinical information, OBR-13, and the ordering facilities, ORC-21."""
    obr = order.find("OBR")
    found: list[dict[str, Any]] = []
    if obr and (text := "; ".join(r.text() for r in obr.field(13).repetitions if r)):
        found.append({"display": text})
    found += [
        facility
        for repetition in order["ORC"].field(21).repetitions
        if (facility := identifiers.organization(repetition, transaction.sender))
    ]
    return {"supportingInfo": found} if found else {}


def _notes(order: Segments, transaction: Transaction) -> list[dict[str, Any]]:
    """Give the comments on the order: the NTE segments that follow OBR, before results and contacts."""
    found: list[dict[str, Any]] = []
    previous = ""
    for segment in order:
        if segment.name == "NTE" and previous in {"ORC", "OBR", "TQ1"}:
            text = "\n".join(r.text() for r in segment.field(3).repetitions if r)
            segment.accept(1)
            if text:
                time = times.date_time(segment.value("6"), transaction.zone)
                found.append(({"time": time} if time else {}) | {"text": text})
        else:
            previous = segment.name
    return found
