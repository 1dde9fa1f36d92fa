"""Whose study it is and on whose order: identifiers with their assigners, never a guess (IHE SWF, PIR).

A Patient is found by Patient ID and its issuer, an order by accession number and its issuer; one match
alone counts. An order is linked only if its patient is the study's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from dicomweb_bridge import attributes
from resources import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

    from dicomweb_bridge.attributes import Attributes
    from resources.model import Resource

IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_ESCAPED = str.maketrans({"\\": "\\\\", ",": "\\,", "|": "\\|", "$": "\\$"})


class Issuer(Struct, frozen=True):
    """Who assigns an identifier: a local name, a universal id and its type (PS3.3 10.14; HL7 v2 HD)."""

    namespace: str = ""
    universal_id: str = ""
    universal_id_type: str = ""

    def __bool__(self) -> bool:
        return bool(self.namespace or self.universal_id)


class Issuers(Struct, frozen=True):
    """What a site's DICOM identifiers and times mean.

    `system` gives the identifier system of an issuer, the same that HL7 v2 assigners get. `patient` and
    `accession` issue what names no issuer; without them that stays unresolved. `zone` is that of times
    without an offset.
    """

    system: Callable[[Issuer], str]
    patient: Issuer = Issuer()
    accession: Issuer = Issuer()
    zone: tzinfo | None = None


class Directory(Protocol):
    """Finds FHIR resources of a tenant."""

    async def find(
        self, tenant: str, type_: str, query: Sequence[tuple[str, str]]
    ) -> Sequence[Resource]:
        """Give the current resources that match decoded query pairs; two are enough to show ambiguity."""


class Identity(Struct, frozen=True):
    """What was found: subject and basedOn as elements, and what a person must repair, by kind."""

    subject: dict[str, Any]
    accession: dict[str, Any] | None
    based_on: tuple[dict[str, Any], ...]
    repairs: dict[str, str]


def token(identifier: dict[str, Any]) -> tuple[str, str]:
    """Give the search pair that finds an Identifier of a system and value."""
    system, value = (identifier[name].translate(_ESCAPED) for name in ("system", "value"))
    return ("identifier", f"{system}|{value}")


def patient_issuer(study: Attributes, default: Issuer) -> Issuer:
    """Give who issued a study's Patient ID (PS3.3 C.7.1.1: Issuer and its qualifiers)."""
    name = attributes.text(study, "00100021")
    for item in attributes.items(study, "00100024"):
        found = Issuer(name, attributes.text(item, "00400032"), attributes.text(item, "00400033"))
        return found or default
    return Issuer(name) if name else default


def accession_issuer(study: Attributes, default: Issuer) -> Issuer:
    """Give who issued a study's accession number (PS3.3 C.7.2.1)."""
    for item in attributes.items(study, "00080051"):
        texts = (attributes.text(item, tag) for tag in ("00400031", "00400032", "00400033"))
        return Issuer(*texts) or default
    return default


def _identifier(value: str, kind: str, issuer: Issuer, system: str) -> dict[str, Any]:
    found: dict[str, Any] = {"type": {"coding": [{"system": IDENTIFIER_TYPE, "code": kind}]}}
    if system:
        found["system"] = system
    found["value"] = value
    if issuer:
        found["assigner"] = {"display": issuer.namespace or issuer.universal_id}
    return found


async def resolve(
    directory: Directory, tenant: str, study: Attributes, issuers: Issuers
) -> Identity:
    """Find the study's patient and order."""
    repairs: dict[str, str] = {}
    number = attributes.text(study, "00100020")
    issuer = patient_issuer(study, issuers.patient)
    named = (
        _identifier(number, "MR", issuer, issuers.system(issuer) if issuer else "")
        if number
        else None
    )
    patient = await _patient(directory, tenant, named, repairs)
    subject = _subject(patient, named)
    accession = _accession(study, issuers)
    based_on: tuple[dict[str, Any], ...] = ()
    if accession is not None:
        based_on = (await _order(directory, tenant, accession, (patient, named), repairs),)
    return Identity(subject, accession, based_on, repairs)


def _accession(study: Attributes, issuers: Issuers) -> dict[str, Any] | None:
    number = attributes.text(study, "00080050")
    issuer = accession_issuer(study, issuers.accession)
    return (
        _identifier(number, "ACSN", issuer, issuers.system(issuer) if issuer else "")
        if number
        else None
    )


async def _patient(
    directory: Directory, tenant: str, named: dict[str, Any] | None, repairs: dict[str, str]
) -> Resource | None:
    """Give the one Patient of the identifier, following a merge; else note what is to be repaired."""
    if named is None:
        repairs["subject"] = "The study has no Patient ID"
        return None
    if "system" not in named:
        repairs["subject"] = "The study's Patient ID names no issuer, and no default is configured"
        return None
    found = await directory.find(tenant, "Patient", (token(named),))
    current = [patient for patient in found if _survivor(patient) is None]
    if not current and len(found) == 1:
        current = await _merged(directory, tenant, found[0])
    if len(current) == 1:
        return current[0]
    repairs["subject"] = (
        "Several Patients have the study's Patient ID"
        if current
        else "No Patient has the study's Patient ID"
    )
    return None


def _survivor(patient: Resource) -> str | None:
    """Give the id of the Patient that replaces this one, None if it stands."""
    for link in patient.get("link", ()):
        if link.get("type") == "replaced-by" and (
            found := reference.literal(link.get("other", {}))
        ):
            return found.id
    return None


async def _merged(directory: Directory, tenant: str, patient: Resource) -> list[Resource]:
    survivor = _survivor(patient)
    found = await directory.find(tenant, "Patient", (("_id", survivor),)) if survivor else ()
    return [one for one in found if _survivor(one) is None]


def _subject(patient: Resource | None, named: dict[str, Any] | None) -> dict[str, Any]:
    """Give the subject: the Patient, else its identifier, else that it is unknown."""
    if patient is not None:
        return {"reference": f"Patient/{patient['id']}"}
    if named is not None:
        return {"type": "Patient", "identifier": named}
    return {"extension": [{"url": _ABSENT, "valueCode": "unknown"}]}


async def _order(
    directory: Directory,
    tenant: str,
    accession: dict[str, Any],
    patient: tuple[Resource | None, dict[str, Any] | None],
    repairs: dict[str, str],
) -> dict[str, Any]:
    """Give the reference to the order of an accession number, by identifier alone where it is not certain."""
    logical = {"type": "ServiceRequest", "identifier": accession}
    if "system" not in accession:
        return logical
    found = await directory.find(tenant, "ServiceRequest", (token(accession),))
    orders = [order for order in found if _is_accession(order, accession)]
    if len(orders) > 1:
        repairs["order"] = "Several orders have the study's accession number"
    if len(orders) != 1:
        return logical
    if not await _same_patient(directory, tenant, orders[0].get("subject", {}), patient):
        if patient[0] is not None:
            repairs["order"] = "The order of the study's accession number is another patient's"
        return logical
    return {"reference": f"ServiceRequest/{orders[0]['id']}"}


def _is_accession(order: Resource, accession: dict[str, Any]) -> bool:
    """Tell whether the order has the number as accession number, not as another kind of number."""
    for one in order.get("identifier", ()):
        if (one.get("system"), one.get("value")) == (accession["system"], accession["value"]):
            kinds = {coding.get("code") for coding in one.get("type", {}).get("coding", ())}
            if not kinds or "ACSN" in kinds:
                return True
    return False


async def _same_patient(
    directory: Directory,
    tenant: str,
    subject: dict[str, Any],
    patient: tuple[Resource | None, dict[str, Any] | None],
) -> bool:
    """Tell whether an order's subject is the study's patient, merged ones counting as their survivor."""
    known, named = patient
    if known is None or named is None:
        return False
    literal = reference.literal(subject)
    if literal is None:
        theirs = reference.identifier(subject) or {}
        return (theirs.get("system"), theirs.get("value")) == (named.get("system"), named["value"])
    if literal.id == known["id"]:
        return True
    found = await directory.find(tenant, "Patient", (("_id", literal.id),))
    return any(_survivor(one) == known["id"] for one in found)
