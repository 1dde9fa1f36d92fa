"""Claim for a read study, one item a charge (FHIR R4 claim.html)."""

from typing import Any

from msgspec import Struct

from resources.model import Resource

_TYPE = "http://terminology.hl7.org/CodeSystem/claim-type"
_PRIORITY = "http://terminology.hl7.org/CodeSystem/processpriority"


class Billed(Struct, frozen=True):
    """What a claim tells; references are literal."""

    code: dict[str, Any]
    patient: str
    provider: str
    coverage: str
    created: str
    served: str
    encounter: str | None = None
    reasons: tuple[dict[str, Any], ...] = ()
    identifier: dict[str, Any] | None = None


def claim(billed: Billed) -> Resource:
    """Give the Claim: professional, a draft until a coder has seen it, without a price that nobody set."""
    item: dict[str, Any] = {
        "sequence": 1,
        "productOrService": billed.code,
        "servicedDate": billed.served[:10],
        "quantity": {"value": 1},
    }
    made: Resource = {
        "resourceType": "Claim",
        "status": "draft",
        "type": {"coding": [{"system": _TYPE, "code": "professional"}]},
        "use": "claim",
        "patient": {"reference": billed.patient},
        "created": billed.created,
        "provider": {"reference": billed.provider},
        "priority": {"coding": [{"system": _PRIORITY, "code": "normal"}]},
        "insurance": [{"sequence": 1, "focal": True, "coverage": {"reference": billed.coverage}}],
        "item": [item],
    }
    if billed.identifier:
        made["identifier"] = [billed.identifier]
    if billed.reasons:
        made["diagnosis"] = [
            {"sequence": number, "diagnosisCodeableConcept": reason}
            for number, reason in enumerate(billed.reasons, 1)
        ]
        item["diagnosisSequence"] = list(range(1, len(billed.reasons) + 1))
    if billed.encounter:
        item["encounter"] = [{"reference": billed.encounter}]
    return made


def self_pay(patient: str) -> Resource:
    """Give the Coverage of a patient for whom none is known: they pay themselves."""
    system = "http://terminology.hl7.org/CodeSystem/coverage-selfpay"
    return {
        "resourceType": "Coverage",
        "status": "active",
        "type": {"coding": [{"system": system, "code": "pay", "display": "PAY"}]},
        "beneficiary": {"reference": patient},
        "payor": [{"reference": patient}],
    }
