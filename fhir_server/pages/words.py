"""FHIR values as words for people: dates, names, numbers, codes (FHIR R4 datatypes.html)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

_MINUS = "\u2212"
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_MOMENT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_SYSTEMS = {
    "http://loinc.org": "LOINC",
    "http://snomed.info/sct": "SNOMED CT",
    "http://unitsofmeasure.org": "UCUM",
    "http://dicom.nema.org/resources/ontology/DCM": "DICOM",
    "http://www.ama-assn.org/go/cpt": "CPT",
    "http://hl7.org/fhir/sid/icd-10": "ICD-10",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD-10-CM",
    "http://radlex.org": "RadLex",
    "urn:ietf:rfc:3986": "URI",
    "urn:dicom:uid": "DICOM UID",
}
_MODALITIES = {
    "CR": "Computed radiography",
    "CT": "Computed tomography",
    "DX": "Digital radiography",
    "MG": "Mammography",
    "MR": "Magnetic resonance",
    "NM": "Nuclear medicine",
    "PT": "Positron emission tomography",
    "RF": "Fluoroscopy",
    "SEG": "Segmentation",
    "SR": "Structured report",
    "US": "Ultrasound",
    "XA": "Angiography",
}
_IDENTIFIER_TYPES = {
    "ACSN": "Accession number",
    "FILL": "Filler order number",
    "MR": "Medical record number",
    "PI": "Patient internal identifier",
    "PLAC": "Placer order number",
    "VN": "Visit number",
}
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ACRONYMS = frozenset({"id", "sop", "uid", "udi", "url", "uri"})


def moment(value: Any) -> str:
    """Write a date, dateTime or instant at the precision and in the zone that it has."""
    found = _MOMENT.fullmatch(str(value))
    if found is None or not 1 <= int(found[2] or 1) <= len(_MONTHS):
        return str(value)
    year, month, day, clock, second, zone = found.groups()
    if month is None:
        return str(year)
    date = f"{_MONTHS[int(month) - 1]} {year}"
    if day is None:
        return date
    if clock is None:
        return f"{int(day)} {date}"
    seconds = f":{second}" if second and second != "00" else ""
    return f"{int(day)} {date}, {clock}{seconds}{_zone(zone)}"


def minute(value: Any) -> str:
    """Write a dateTime up to the minute in its own zone, for lists."""
    written = moment(value)
    found = re.match(r"(.*, \d\d:\d\d)", written)
    return found[1] if found else written


def _zone(zone: str | None) -> str:
    if zone is None:
        return ""
    return " UTC" if zone in {"Z", "+00:00"} else f" UTC{zone.replace('-', _MINUS)}"


def period(value: Json) -> str:
    """Write a Period by its ends, those that there are."""
    start, end = value.get("start"), value.get("end")
    if start and end:
        return moment(start) if start == end else f"{moment(start)} to {moment(end)}"
    return f"from {moment(start)}" if start else f"until {moment(end)}" if end else ""


def quantity(value: Json) -> str:
    """Write a Quantity with the digits it came with, its comparator and its unit."""
    unit = value.get("unit") or value.get("code") or ""
    number = f"{value.get('comparator', '')}{number_text(value.get('value', ''))}"
    return number if unit in {"", "1"} else f"{number}\u00a0{unit}"


def number_text(value: Any) -> str:
    """Write a number as it is sent, with a true minus sign."""
    return str(value).replace("-", _MINUS) if not isinstance(value, bool) else yes_or_no(value)


def yes_or_no(value: Any) -> str:
    """Write a boolean."""
    return "yes" if value else "no"


def coding(value: Json) -> str:
    """Write a Coding by its display, a modality by its name, else its code."""
    code = str(value.get("code", ""))
    if not value.get("display") and system(value.get("system")) == "DICOM":
        return _MODALITIES.get(code, code)
    return str(value.get("display") or _plain(code))


def concept(value: Json) -> str:
    """Write a CodeableConcept by its text, else by its first coding."""
    codings = value.get("coding") or [{}]
    return str(value.get("text") or coding(codings[0]))


def codes(value: Json) -> str:
    """Write what stands beside a CodeableConcept's words: its codes with their systems."""
    codings = [each for each in value.get("coding", ()) if each.get("code")]
    if value.get("text"):
        return listed(code(each) for each in codings)
    return listed([origin(each) for each in codings[:1]] + [code(each) for each in codings[1:]])


def code(value: Json) -> str:
    """Write a Coding by system and code: LOINC 18748-4."""
    return " ".join(part for part in (system(value.get("system")), value.get("code")) if part)


def origin(value: Json) -> str:
    """Write what stands beside a Coding's words: its code, or its system where the code is the words."""
    said = value.get("display") or coding(value) != _plain(str(value.get("code", "")))
    return code(value) if said else system(value.get("system"))


def system(uri: Any) -> str:
    """Write a code or identifier system by its usual name, else by the last part of its address."""
    if not isinstance(uri, str):
        return ""
    return _SYSTEMS.get(uri) or re.split(r"[/:]", uri.rstrip("/:"))[-1]


def identifier_type(value: Json) -> str:
    """Write what kind of number an Identifier is."""
    kind = value.get("type") or {}
    for each in kind.get("coding", ()):
        if known := _IDENTIFIER_TYPES.get(str(each.get("code"))):
            return known
    return concept(kind) or system(value.get("system")) or "Identifier"


def identifier(value: Json) -> str:
    """Write an Identifier's value, an OID or UUID without its prefix."""
    return _plain(str(value.get("value", "")))


def _plain(text: str) -> str:
    return re.sub(r"^urn:(oid|uuid):", "", text)


def assigner(value: Json) -> str:
    """Write who assigned an Identifier, empty where it does not say."""
    return str((value.get("assigner") or {}).get("display", ""))


def human_name(value: Json) -> str:
    """Write a HumanName in the order it is spoken."""
    if value.get("text"):
        return str(value["text"])
    parts = (*value.get("prefix", ()), *value.get("given", ()), value.get("family"))
    return " ".join(str(part) for part in (*parts, *value.get("suffix", ())) if part)


def usual_name(values: Sequence[Json]) -> str:
    """Write the name that a person goes by: official or usual before any other, never an old one."""
    ranks = {"official": 0, "usual": 1, "old": 9, "maiden": 9}
    ordered = sorted(values, key=lambda each: ranks.get(str(each.get("use")), 2))
    return human_name(ordered[0]) if ordered else ""


def address(value: Json) -> str:
    """Write an Address on one line."""
    place = " ".join(str(value[part]) for part in ("postalCode", "city") if value.get(part))
    parts = (*value.get("line", ()), place, value.get("state"), value.get("country"))
    return str(value.get("text") or ", ".join(str(part) for part in parts if part))


def label(name: str) -> str:
    """Write an element's name as words: basedOn is Based on, sopClass is SOP class."""
    parts = [part if part.isupper() else part.lower() for part in _WORD.split(name) if part]
    written = " ".join(part.upper() if part in _ACRONYMS else part for part in parts)
    return written[:1].upper() + written[1:]


def listed(values: Iterable[str]) -> str:
    """Join words with commas, leaving out empty ones."""
    return ", ".join(value for value in values if value)


def counted(number: int, one: str, many: str = "") -> str:
    """Write a count with its noun: 1 series, 3 images."""
    return f"{number} {one if number == 1 else many or one + 's'}"
