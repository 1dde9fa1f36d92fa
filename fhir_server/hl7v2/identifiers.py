"""Identifiers and who assigned them: HD, CX, EI, XON (v2-to-FHIR IG, data type maps)."""

from typing import Any, Protocol

from fhir_server.hl7v2 import tables, times
from fhir_server.hl7v2.message import Repetition
from fhir_server.hl7v2.sender import Assigner, Sender
from fhir_server.hl7v2.times import Zone

CHECK_DIGIT = "http://hl7.org/fhir/StructureDefinition/identifier-checkDigit"


class Parts(Protocol):
    """What has numbered parts: a repetition's components, or a component's subcomponents."""

    def value(self, number: int = 1, /) -> str:
        """Give the text of a part, counted from 1."""


def hd(parts: Parts, first: int = 1) -> Assigner:
    """Read an HD, or the same three parts of another type from `first` on."""
    return Assigner(parts.value(first), parts.value(first + 1), parts.value(first + 2))


def identifier(system: str, value: str, kind: str = "", assigner: str = "") -> dict[str, Any]:
    """Give an Identifier: system, value, type of table 0203, the assigner's name."""
    found: dict[str, Any] = {}
    if kind:
        found["type"] = {"coding": [{"system": tables.IDENTIFIER_TYPE, "code": kind}]}
    found |= {"system": system, "value": value}
    if assigner:
        found["assigner"] = {"display": assigner}
    return found


def cx(
    repetition: Repetition, sender: Sender, fallback: str, zone: Zone, kind: str = ""
) -> dict[str, Any] | None:
    """Give the Identifier of a CX; `fallback` is the system where none is assigned, None without a value.

    `kind` is the type where CX.5 gives none.
    """
    value = repetition.value(1) if repetition else ""
    if not value:
        return None
    assigner = hd(repetition.component(4))
    if not assigner.name:
        assigner = hd(repetition.component(6))
    system = sender.system(assigner) if assigner.name else fallback
    found = identifier(system, value, repetition.value(5) or kind, assigner.name)
    if digit := repetition.value(2):
        found["extension"] = [{"url": CHECK_DIGIT, "valueString": digit}]
    if period := span(repetition.value(7), repetition.value(8), zone):
        found["period"] = period
    return found


def ei(repetition: Repetition, sender: Sender, fallback: str, kind: str) -> dict[str, Any] | None:
    """Give the Identifier of an EI, typed, or None without a value."""
    value = repetition.value(1)
    if not value:
        return None
    assigner = hd(repetition, 2)
    system = sender.system(assigner) if assigner.name else fallback
    return identifier(system, value, kind, assigner.name)


def organization(repetition: Repetition, sender: Sender) -> dict[str, Any] | None:
    """Give a logical Reference to the Organization of an XON, None for an empty one."""
    if not repetition:
        return None
    name, value = repetition.value(1), repetition.value(10) or repetition.value(3)
    if not (name or value):
        return None
    found: dict[str, Any] = {"type": "Organization"}
    assigner = hd(repetition.component(6))
    if value and assigner.name:
        found["identifier"] = identifier(
            sender.system(assigner), value, repetition.value(7), assigner.name
        )
    elif value:
        found["identifier"] = {"value": value}
    return found | ({"display": name} if name else {})


def span(start: str, end: str, zone: Zone) -> dict[str, str]:
    """Give a Period of those of the two times that can be read."""
    found = {"start": times.date_time(start, zone), "end": times.date_time(end, zone)}
    return {name: value for name, value in found.items() if value}
