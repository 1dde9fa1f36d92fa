"""XCN fields as references to Practitioners (v2-to-FHIR IG, XCN[Practitioner])."""

from typing import Any

from fhir_server.hl7v2 import datatypes
from fhir_server.hl7v2.message import Repetition
from fhir_server.hl7v2.transaction import Transaction


def reference(repetition: Repetition, transaction: Transaction) -> dict[str, Any] | None:
    """Give a Reference to a person, made a Practitioner if none has the identifier; None for no one.

    A person without an identifier is only named: no later message could find the resource again.
    """
    fallback = transaction.fallback("practitioner")
    resource, display = datatypes.practitioner(repetition, transaction.sender, fallback)
    if resource is None:
        return {"type": "Practitioner", "display": display} if display else None
    found = {"reference": transaction.create(resource, resource["identifier"][0])}
    return found | ({"display": display} if display else {})
