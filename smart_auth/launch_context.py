"""What an app is told at its launch besides the patient (SMART App Launch 2.2, Scopes and Launch Context).

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#launch-context-arrives-with-your-access_token
"""

import re
from typing import Any

import msgspec
from msgspec import Struct

REFERENCE = re.compile(r"[A-Z][A-Za-z]{0,63}/[A-Za-z0-9\-.]{1,64}")
"""A relative reference to a resource of this server."""
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
"""A logical id."""


class ContextItem(Struct, frozen=True, omit_defaults=True):
    """One member of fhirContext: a relative reference, and its role where that is not `launch`."""

    reference: str
    role: str | None = None

    @property
    def type(self) -> str:
        """Give the resource type that is referred to."""
        return self.reference.partition("/")[0]


class LaunchContext(
    Struct, frozen=True, omit_defaults=True, rename={"fhir_context": "fhirContext"}
):
    """Encounter (logical id), further resources, and what the EHR wants the app to do and to look like."""

    encounter: str | None = None
    fhir_context: tuple[ContextItem, ...] = ()
    intent: str | None = None
    need_patient_banner: bool | None = None
    smart_style_url: str | None = None

    @property
    def references(self) -> tuple[str, ...]:
        """Give the references of fhirContext."""
        return tuple(item.reference for item in self.fhir_context)

    def has(self, type_: str) -> bool:
        """Tell whether fhirContext names a resource of this type."""
        return any(item.type == type_ for item in self.fhir_context)

    def parameters(self, patient: str | None) -> dict[str, Any]:
        """Give the members of a token response or introspection; what is unknown is left out."""
        told: dict[str, Any] = msgspec.to_builtins(self)
        if patient is not None:
            told = {"patient": patient, "need_patient_banner": True} | told
        return told


NOTHING = LaunchContext()
"""The context of an app that was told of no more than perhaps a patient."""
