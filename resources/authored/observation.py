"""Observation: one measure that software made of a study's images (FHIR R4 observation.html).

Preliminary until a person has reviewed it; it points to the device that made it and to the study it
derives from, so that nobody takes it for a clinician's.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from resources.authored.study_context import StudyContext
from resources.model import Resource

UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"


class ImagingMeasure(Struct, frozen=True, kw_only=True):
    """What one Observation says: identity, code, value (or why it is absent), site, method, notes.

    `value` holds one value[x] element, or dataAbsentReason, as `quantity` and its siblings give it.
    """

    identifier: dict[str, str]
    code: dict[str, Any]
    value: Mapping[str, Any]
    method: str
    abnormal: bool | None = None
    body_site: dict[str, Any] | None = None
    notes: Sequence[str] = ()


def quantity(value: Decimal, unit: str, code: str) -> dict[str, Any]:
    """Give valueQuantity in a UCUM unit; `unit` is how people write it."""
    return {"valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": code}}


def absent(code: str, display: str) -> dict[str, Any]:
    """Give dataAbsentReason with a code of its required code system."""
    return {"dataAbsentReason": {"coding": [{"system": ABSENT, "code": code, "display": display}]}}


def imaging_measure(
    measure: ImagingMeasure, context: StudyContext, device: str, issued: str
) -> Resource:
    """Give a preliminary imaging Observation; `device` is a reference, `issued` an instant."""
    return {
        "resourceType": "Observation",
        "identifier": [measure.identifier],
        "status": "preliminary",
        "category": [{"coding": [_coding(CATEGORY, "imaging", "Imaging")]}],
        "code": measure.code,
        **context.elements(),
        "issued": issued,
        **measure.value,
        **_interpretation(measure.abnormal),
        **({"note": [{"text": text} for text in measure.notes]} if measure.notes else {}),
        **({"bodySite": measure.body_site} if measure.body_site else {}),
        "method": {"text": measure.method},
        "device": {"reference": device},
        "derivedFrom": [context.study],
    }


def _interpretation(abnormal: bool | None) -> dict[str, Any]:  # noqa: FBT001 - the value itself
    """Give interpretation N or A where the measure is judged."""
    if abnormal is None:
        return {}
    code, display = ("A", "Abnormal") if abnormal else ("N", "Normal")
    return {"interpretation": [{"coding": [_coding(INTERPRETATION, code, display)]}]}


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}
