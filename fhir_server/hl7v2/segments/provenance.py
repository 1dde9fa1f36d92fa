"""The message itself as Provenance: it exists if and only if the message was committed.

v2-to-FHIR IG, MSH[Provenance-Source]; the raw message stays in the inbox and is named by its control id.
"""

from typing import Any

from fhir_server.hl7v2 import tables, times
from fhir_server.hl7v2.message import Message
from fhir_server.hl7v2.sender import local_system
from fhir_server.hl7v2.transaction import Transaction, stable_id
from fhir_server.store import port
from resources.model import Resource

CONTROL = ("MSH", (3, 4, 5, 6, 7, 9, 10, 11, 12, 15, 16, 18))


def marker(tenant: str, key: str) -> str:
    """Give the id of the Provenance of a message by its key in the inbox."""
    return stable_id(tenant, "Provenance", key)


def provenance(transaction: Transaction, key: str, received: int) -> Resource:
    """Give the Provenance of all that is written so far; `received` in milliseconds since 1970 UTC."""
    message = transaction.message
    header = message.header
    header.accept(*CONTROL[1])
    found: Resource = {
        "resourceType": "Provenance",
        "id": marker(transaction.sender.tenant, key),
        "target": [{"reference": each} for each in transaction.references()],
        "recorded": port.instant(received),
        "activity": {"text": "^".join(p for p in (message.type, message.event) if p)},
        "agent": [_agent(message)],
        "entity": [{"role": "source", "what": _source(message)}],
    }
    if occurred := _occurred(message, transaction):
        found["occurredDateTime"] = occurred
    return found


def _agent(message: Message) -> dict[str, Any]:
    """Give the sending application and facility as author."""
    application, facility = message.sender(3), message.sender(4)
    code = {"system": f"{tables.TERMINOLOGY}provenance-participant-type", "code": "author"}
    name = " at ".join(part for part in (application, facility) if part)
    return {"type": {"coding": [code]}, "who": {"display": name or "unnamed HL7 v2 sender"}}


def _source(message: Message) -> dict[str, Any]:
    """Give the message by its control id, within its sender."""
    system = local_system(message.sender(4) or message.sender(3) or "unnamed", "message-control-id")
    identifier = {"system": system, "value": message.control_id}
    return {"identifier": identifier, "display": "HL7 v2 message"}


def _occurred(message: Message, transaction: Transaction) -> str | None:
    """Give when the event was: EVN-6, EVN-2, else the time of the message."""
    event = message.find("EVN")
    if event:
        event.accept(1)
    for value in (event.value("6") if event else "", event.value("2") if event else ""):
        if found := times.date_time(value, transaction.zone):
            return found
    return times.date_time(message.header.value("7"), transaction.zone)
