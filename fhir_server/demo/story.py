"""What a visit's steps hand on: where the day happens, and what has come of the visit so far."""

from dataclasses import dataclass, field
from typing import Any

from fhir_server.demo.patients import Case
from fhir_server.demo.preparation import Preparation
from fhir_server.demo.rest import Fhir
from resources.model import Resource


@dataclass(slots=True)
class Place:
    """Where the day happens: the server's edges, each under the token of who uses it.

    `mllp` is host and port; `smart` the server's SMART configuration; `practitioner` the radiologist's
    Type/id, `password` what the radiologist logs in with.
    """

    base: str
    mllp: tuple[str, int]
    smart: dict[str, Any]
    practitioner: str
    password: str
    modality: Fhir
    workflow: Fhir
    warehouse: Fhir
    reader: Fhir


@dataclass(slots=True)
class Story:
    """A visit on its way; references are Type/id, empty until their step is done."""

    case: Case
    day: Place
    prepared: Preparation
    patient: str = ""
    encounter: str = ""
    order: str = ""
    order_answer: bytes = b""
    study: str = ""
    instances: list[str] = field(default_factory=list)
    observations: list[Resource] = field(default_factory=list)
    report: str = ""

    @property
    def ordered(self) -> tuple[str, str, str]:
        """Give what the messages have made: patient, visit, order."""
        return self.patient, self.encounter, self.order
