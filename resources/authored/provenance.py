"""Provenance: which software made which results from which input (FHIR R4 provenance.html)."""

from collections.abc import Sequence
from typing import Any

from resources.model import Resource

PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def derivation(
    targets: Sequence[str], device: str, entities: Sequence[dict[str, Any]], recorded: str
) -> Resource:
    """Give the Provenance of results that a device assembled; targets and device are references."""
    assembler = {"system": PARTICIPANT, "code": "assembler", "display": "Assembler"}
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target} for target in targets],
        "recorded": recorded,
        "activity": {"text": "Automated image analysis"},
        "agent": [{"type": {"coding": [assembler]}, "who": {"reference": device}}],
        "entity": list(entities),
    }


def source(reference: dict[str, Any]) -> dict[str, Any]:
    """Give an entity that was used as it is: a Reference element, literal or by identifier."""
    return {"role": "source", "what": reference}
