"""ImagingStudy: what a study holds, for whom and on whose order (FHIR R4 imagingstudy.html).

Built as plain JSON from typed values: a study is told anew with every instance that arrives, and the R4B
models, which a test holds this against, would take 12 ms for 130 instances and rewrite the digits of times.
"""

from typing import Any

from msgspec import Struct

from resources.model import Resource

DICOM_UID = "urn:dicom:uid"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
URI = "urn:ietf:rfc:3986"

LISTED = 200
"""A study of more instances lists none of them: they are told by DICOMweb, and never in part."""

Coding = dict[str, str]


class Member(Struct, frozen=True):
    """An instance: its SOP Instance UID, SOP Class UID and number."""

    uid: str
    sop_class: str
    number: int | None = None


class Series(Struct, frozen=True):
    """A series: `started` a FHIR dateTime, `body_site` and `laterality` Codings."""

    uid: str
    modality: str
    number: int | None = None
    description: str = ""
    body_site: Coding | None = None
    laterality: Coding | None = None
    started: str | None = None
    members: tuple[Member, ...] = ()


class Study(Struct, frozen=True):
    """A study: Identifiers, References and CodeableConcepts are elements ready to be used."""

    uid: str
    subject: dict[str, Any]
    series: tuple[Series, ...]
    accession: dict[str, Any] | None = None
    based_on: tuple[dict[str, Any], ...] = ()
    referrer: dict[str, Any] | None = None
    endpoint: str = ""
    started: str | None = None
    description: str = ""
    procedures: tuple[dict[str, Any], ...] = ()
    reasons: tuple[dict[str, Any], ...] = ()


def identifier(uid: str) -> dict[str, str]:
    """Give the Identifier of a Study Instance UID."""
    return {"system": DICOM_UID, "value": f"urn:oid:{uid}"}


def imaging_study(study: Study) -> Resource:
    """Give the ImagingStudy of a study that can be retrieved."""
    count = sum(len(series.members) for series in study.series)
    listed = count <= LISTED
    found: dict[str, Any] = {
        "resourceType": "ImagingStudy",
        "identifier": [identifier(study.uid), *([study.accession] if study.accession else [])],
        "status": "available",
        "modality": [_modality(code) for code in sorted({s.modality for s in study.series})],
        "subject": study.subject,
        "started": study.started,
        "basedOn": list(study.based_on),
        "referrer": study.referrer,
        "endpoint": [{"reference": study.endpoint}] if study.endpoint else [],
        "numberOfSeries": len(study.series),
        "numberOfInstances": count,
        "procedureCode": list(study.procedures),
        "reasonCode": list(study.reasons),
        "description": study.description,
        "series": [_series(series, listed=listed) for series in study.series],
    }
    return _without_empty(found)


def _series(series: Series, *, listed: bool) -> dict[str, Any]:
    return _without_empty(
        {
            "uid": series.uid,
            "number": _unsigned(series.number),
            "modality": _modality(series.modality),
            "description": series.description,
            "numberOfInstances": len(series.members),
            "bodySite": series.body_site,
            "laterality": series.laterality,
            "started": series.started,
            "instance": [_instance(member) for member in series.members] if listed else [],
        }
    )


def _instance(member: Member) -> dict[str, Any]:
    return _without_empty(
        {
            "uid": member.uid,
            "sopClass": {"system": URI, "code": f"urn:oid:{member.sop_class}"},
            "number": _unsigned(member.number),
        }
    )


def _modality(code: str) -> Coding:
    return {"system": DCM, "code": code}


def _unsigned(number: int | None) -> int | None:
    """Give a FHIR unsignedInt, None for what can't be one."""
    return number if number is not None and 0 <= number < 2**31 else None


def _without_empty(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value not in (None, "", [])}
