"""The DICOM attributes that are kept in the index, matched and returned (PS3.18 10.6, PS3.4 C.6.2.1)."""

import re
from typing import Any, Literal

from msgspec import Struct

Level = Literal["study", "series", "instance"]
Kind = Literal["text", "name", "uid", "date", "time", "number", "list"]
Attributes = dict[str, Any]
"""Attributes in the DICOM JSON model: tag to {"vr": …, "Value": […]} (PS3.18 F.2)."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_UID_LENGTH = 64


class Key(Struct, frozen=True):
    """An attribute that can be matched: its keyword (also the index column), tag, level and kind."""

    keyword: str
    tag: str
    level: Level
    kind: Kind
    parent: str | None = None


KEYS: tuple[Key, ...] = (
    Key("StudyInstanceUID", "0020000D", "study", "uid"),
    Key("StudyDate", "00080020", "study", "date"),
    Key("StudyTime", "00080030", "study", "time"),
    Key("AccessionNumber", "00080050", "study", "text"),
    Key("ModalitiesInStudy", "00080061", "study", "text"),
    Key("ReferringPhysicianName", "00080090", "study", "name"),
    Key("StudyDescription", "00081030", "study", "text"),
    Key("PatientName", "00100010", "study", "name"),
    Key("PatientID", "00100020", "study", "text"),
    Key("IssuerOfPatientID", "00100021", "study", "text"),
    Key("PatientBirthDate", "00100030", "study", "date"),
    Key("PatientSex", "00100040", "study", "text"),
    Key("StudyID", "00200010", "study", "text"),
    Key("SeriesInstanceUID", "0020000E", "series", "uid"),
    Key("Modality", "00080060", "series", "text"),
    Key("SeriesDescription", "0008103E", "series", "text"),
    Key("BodyPartExamined", "00180015", "series", "text"),
    Key("SeriesNumber", "00200011", "series", "number"),
    Key("PerformedProcedureStepStartDate", "00400244", "series", "date"),
    Key("PerformedProcedureStepStartTime", "00400245", "series", "time"),
    Key("ScheduledProcedureStepID", "00400009", "series", "list", "00400275"),
    Key("RequestedProcedureID", "00401001", "series", "list", "00400275"),
    Key("SOPInstanceUID", "00080018", "instance", "uid"),
    Key("SOPClassUID", "00080016", "instance", "uid"),
    Key("InstanceNumber", "00200013", "instance", "number"),
)

REQUEST_ATTRIBUTES = "00400275"

STORED: dict[Level, frozenset[str]] = {
    "study": frozenset(
        {k.tag for k in KEYS if k.level == "study" and k.tag != "00080061"}
        | {
            "00080051",  # Issuer of Accession Number Sequence
            "00080201",  # Timezone Offset From UTC
            "00081032",  # Procedure Code Sequence
            "00100024",  # Issuer of Patient ID Qualifiers Sequence
            "00101010",  # Patient's Age
            "00321060",  # Requested Procedure Description
            "0040100A",  # Reason for Requested Procedure Code Sequence
            "00401012",  # Reason for Performed Procedure Code Sequence
        }
    ),
    "series": frozenset(
        {k.tag for k in KEYS if k.level == "series" and k.parent is None}
        | {
            REQUEST_ATTRIBUTES,
            "00080021",  # Series Date
            "00080031",  # Series Time
            "00080070",  # Manufacturer
            "00081010",  # Station Name
            "00081090",  # Manufacturer's Model Name
            "00082218",  # Anatomic Region Sequence
            "00181030",  # Protocol Name
            "00200060",  # Laterality
            "00400254",  # Performed Procedure Step Description
        }
    ),
    "instance": frozenset(
        {k.tag for k in KEYS if k.level == "instance"}
        | {
            "00080008",  # Image Type
            "00280008",  # Number of Frames
            "00280010",  # Rows
            "00280011",  # Columns
            "00280100",  # Bits Allocated
        }
    ),
}
"""The tags that are kept for each level, and so can be returned by a search without opening a file."""

BY_KEYWORD: dict[str, Key] = {key.keyword: key for key in KEYS}
BY_TAG: dict[str, Key] = {key.tag: key for key in KEYS}


def is_uid(text: str) -> bool:
    """Tell whether the text is a UID: digits in dotted components, at most 64 characters (PS3.5 9.1)."""
    return len(text) <= _UID_LENGTH and _UID.fullmatch(text) is not None


def values(attributes: Attributes, tag: str) -> list[Any]:
    """Give the values of an attribute, without the empty ones."""
    element = attributes.get(tag) or {}
    return [value for value in element.get("Value", ()) if value not in (None, "", {})]


def text(attributes: Attributes, tag: str) -> str:
    """Give the first value of an attribute as text, "" if there is none; a name in its written groups."""
    found = values(attributes, tag)
    if not found:
        return ""
    first = found[0]
    if isinstance(first, dict):
        groups = [first.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(first)


def items(attributes: Attributes, tag: str) -> list[Attributes]:
    """Give the items of a sequence attribute."""
    return [item for item in values(attributes, tag) if isinstance(item, dict)]


def fold(name: str) -> str:
    """Give a person name as it is compared: without case and without trailing empty components."""
    return "=".join(group.rstrip("^ ").casefold() for group in name.split("="))


def time_key(time: str) -> str:
    """Give a TM value as it is ordered: six digits and six of a fraction, "" for none (PS3.5 6.2)."""
    digits, _, fraction = time.replace(":", "").partition(".")
    return f"{digits:0<6}.{fraction:0<6}" if digits.isdigit() else ""


def date_key(date: str) -> str:
    """Give a DA value as it is ordered, YYYYMMDD; the old form YYYY.MM.DD is read; "" for no date."""
    digits = date.replace(".", "").replace("-", "")
    return digits if len(digits) == len("YYYYMMDD") and digits.isdigit() else ""
