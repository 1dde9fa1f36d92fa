"""A study in the archive's index told as an ImagingStudy (FHIR R4 imagingstudy-mappings.html, DICOM)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomweb_bridge import attributes, codes, times
from resources.authored import imaging_study as authored

if TYPE_CHECKING:
    from datetime import tzinfo

    from dicomweb_bridge.archive.port import SeriesContent, StudyContent
    from dicomweb_bridge.attributes import Attributes
    from dicomweb_bridge.identity import Identity
    from resources.model import Resource

_OURS = frozenset(
    {
        "id",
        "meta",
        "text",
        "resourceType",
        "identifier",
        "status",
        "modality",
        "subject",
        "started",
        "basedOn",
        "referrer",
        "endpoint",
        "numberOfSeries",
        "numberOfInstances",
        "procedureCode",
        "reasonCode",
        "description",
        "series",
    }
)
_LATCHED = frozenset({"entered-in-error", "cancelled"})


def imaging_study(
    study: StudyContent, identity: Identity, endpoint: str, zone: tzinfo | None
) -> Resource:
    """Give the ImagingStudy of a study; `endpoint` is the reference to our WADO-RS Endpoint."""
    found = study.attributes
    offset = attributes.text(found, "00080201")
    referrer = _name(found, "00080090")
    return authored.imaging_study(
        authored.Study(
            uid=study.uid,
            subject=identity.subject,
            series=tuple(_series(series, offset, zone) for series in study.series),
            accession=identity.accession,
            based_on=identity.based_on,
            referrer={"type": "Practitioner", "display": referrer} if referrer else None,
            endpoint=endpoint,
            started=_time(found, ("00080020", "00080030"), offset, zone),
            description=attributes.text(found, "00081030") or attributes.text(found, "00321060"),
            procedures=codes.concepts(found, "00081032"),
            reasons=codes.concepts(found, "0040100A", "00401012"),
        )
    )


def _series(series: SeriesContent, offset: str, zone: tzinfo | None) -> authored.Series:
    found = series.attributes
    number = attributes.text(found, "00200011")
    return authored.Series(
        uid=series.uid,
        modality=attributes.text(found, "00080060") or "OT",
        number=int(number) if number.isascii() and number.isdigit() else None,
        description=attributes.text(found, "0008103E"),
        body_site=codes.body_site(found),
        laterality=codes.laterality(found),
        started=_time(found, ("00080021", "00080031"), offset, zone)
        or _time(found, ("00400244", "00400245"), offset, zone),
        members=tuple(authored.Member(*instance) for instance in series.instances),
    )


def _time(found: Attributes, tags: tuple[str, str], offset: str, zone: tzinfo | None) -> str | None:
    day, time = (attributes.text(found, tag) for tag in tags)
    return times.date_time(day, time, offset, zone)


def _name(found: Attributes, tag: str) -> str:
    """Give a person name in the order it is spoken: prefix, given, middle, family, suffix (PS3.5 6.2.1)."""
    written = attributes.text(found, tag).partition("=")[0].split("^")
    family, given, middle, prefix, suffix = (written + [""] * 5)[:5]
    return " ".join(part for part in (prefix, given, middle, family, suffix) if part)


def merged(made: Resource, stored: Resource | None) -> Resource:
    """Give what to store over an ImagingStudy that is there: what others wrote on it is kept.

    Kept are elements that DICOM does not tell, other identifiers, the status entered-in-error or
    cancelled, and a subject or order that a person has set where DICOM alone leads to none.
    """
    if stored is None:
        return made
    found: dict[str, Any] = {k: v for k, v in stored.items() if k not in _OURS} | made
    if stored.get("status") in _LATCHED:
        found["status"] = stored["status"]
    if "reference" not in made["subject"] and "reference" in stored.get("subject", {}):
        found["subject"] = stored["subject"]
    found["identifier"] = _united(made["identifier"], stored.get("identifier", []))
    if orders := _orders(made.get("basedOn", []), stored.get("basedOn", [])):
        found["basedOn"] = orders
    return found


def _united(made: list[dict[str, Any]], stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = {(one.get("system"), one.get("value")) for one in made}
    return made + [one for one in stored if (one.get("system"), one.get("value")) not in keys]


def _orders(made: list[dict[str, Any]], stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give literal references of both, and a logical one only where there is none."""
    literal = {one["reference"]: one for one in [*made, *stored] if "reference" in one}
    return list(literal.values()) or made
