"""ChargeItem for a read study: what was done, for whom, on which order (FHIR R4 chargeitem.html)."""

from typing import Any

from msgspec import Struct

from resources.model import Resource


class Charge(Struct, frozen=True):
    """What a charge tells; references are literal, `occurred` is a FHIR date or dateTime."""

    code: dict[str, Any]
    patient: str
    occurred: str
    entered: str
    report: str
    study: str | None = None
    encounter: str | None = None
    performer: str | None = None
    reasons: tuple[dict[str, Any], ...] = ()
    identifier: dict[str, Any] | None = None


def charge_item(charge: Charge) -> Resource:
    """Give the ChargeItem: billable, one unit of the procedure that was ordered and read."""
    made: Resource = {
        "resourceType": "ChargeItem",
        "status": "billable",
        "code": charge.code,
        "subject": {"reference": charge.patient},
        "occurrenceDateTime": charge.occurred,
        "enteredDate": charge.entered,
        "quantity": {"value": 1},
        "supportingInformation": [{"reference": charge.report}],
    }
    if charge.identifier:
        made["identifier"] = [charge.identifier]
    if charge.encounter:
        made["context"] = {"reference": charge.encounter}
    if charge.study:
        made["service"] = [{"reference": charge.study}]
    if charge.performer:
        made["performer"] = [{"actor": {"reference": charge.performer}}]
    if charge.reasons:
        made["reason"] = list(charge.reasons)
    return made
