"""Names, addresses, contact points, codes, places: XPN, XAD, XTN, CWE, XCN, PL (v2-to-FHIR IG)."""

import re
from collections.abc import Container
from typing import Any

from fhir_server.hl7v2 import identifiers, tables
from fhir_server.hl7v2.identifiers import hd, span
from fhir_server.hl7v2.message import Repetition
from fhir_server.hl7v2.sender import Sender, local_system
from fhir_server.hl7v2.times import Zone

EXTENSION = "http://hl7.org/fhir/StructureDefinition/"
_FAMILY = (
    (2, "humanname-own-prefix"),
    (3, "humanname-own-name"),
    (4, "humanname-partner-prefix"),
    (5, "humanname-partner-name"),
)
_CODE = re.compile(r"[^\s]+(\s[^\s]+)*")
_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+", re.ASCII)


def xpn(repetition: Repetition, zone: Zone) -> dict[str, Any] | None:
    """Give the HumanName of an XPN, None for an empty one."""
    if not repetition:
        return None
    found = _name(repetition, 1) | _affixes(repetition, prefix=5, suffixes=(4, 6, 14))
    if not found:
        return None
    if use := tables.NAME_TYPE.get(repetition.value(7).upper()):
        found["use"] = use
    if period := _validity(repetition, (12, 13, 10), zone):
        found["period"] = period
    return found


def xcn_name(repetition: Repetition) -> dict[str, Any] | None:
    """Give the HumanName of an XCN, None if it has none."""
    found = _name(repetition, 2) | _affixes(repetition, prefix=6, suffixes=(5, 7, 21))
    if found and (use := tables.NAME_TYPE.get(repetition.value(10).upper())):
        found["use"] = use
    return found or None


def name_text(name: dict[str, Any]) -> str:
    """Give a HumanName as one line for display."""
    parts = [*name.get("prefix", ()), *name.get("given", ()), name.get("family", "")]
    return " ".join(part for part in parts if part)


def xad(repetition: Repetition, zone: Zone) -> dict[str, Any] | None:
    """Give the Address of an XAD, None for an empty one."""
    if not repetition:
        return None
    street = [repetition.value(1, part) for part in (1, 2, 3)]
    lines = [*street, repetition.value(2), repetition.value(19)]
    found: dict[str, Any] = {}
    if kept := [line for line in lines if line]:
        found["line"] = kept
    parts = (("city", 3), ("district", 9), ("state", 4), ("postalCode", 5), ("country", 6))
    found |= {name: value for name, number in parts if (value := repetition.value(number))}
    if not found:
        return None
    kind = repetition.value(7).upper()
    if use := tables.ADDRESS_USE.get(kind):
        found["use"] = use
    if type_ := tables.ADDRESS_TYPE.get(kind):
        found["type"] = type_
    if period := _validity(repetition, (13, 14, 12), zone):
        found["period"] = period
    return found


def xtn(repetition: Repetition, use: str = "") -> dict[str, Any] | None:
    """Give the ContactPoint of an XTN, None for an empty one; `use` is the field's where XTN.2 has none."""
    if not repetition:
        return None
    kind = repetition.value(3).upper()
    mail = kind in {"INTERNET", "X.400"}
    value = (repetition.value(4) if mail else "") or _number(repetition) or repetition.value(4)
    if not value:
        return None
    system = "email" if mail or "@" in value else tables.TELECOM_SYSTEM.get(kind, "phone")
    mobile = "mobile" if kind == "CP" else ""
    use = mobile or tables.TELECOM_USE.get(repetition.value(2).upper(), use)
    return {"system": system, "value": value} | ({"use": use} if use else {})


def cwe(repetition: Repetition, sender: Sender) -> dict[str, Any] | None:
    """Give the CodeableConcept of a CWE, CNE or CE, None for an empty one."""
    if not repetition:
        return None
    codings = [
        coding
        for first, version, oid in ((1, 7, 14), (4, 8, 17), (10, 13, 20))
        if (coding := _coding(repetition, first, version, oid, sender))
    ]
    text = repetition.value(9) or repetition.value(2) or repetition.value(5)
    coded = [coding for coding in codings if "code" in coding]
    found: dict[str, Any] = {"coding": coded} if coded else {}
    if text:
        found["text"] = text
    elif not coded and codings:
        found["text"] = codings[0]["display"]
    return found or None


def coded(
    repetition: Repetition, sender: Sender, table: str, codes: Container[str]
) -> dict[str, Any] | None:
    """Give the CodeableConcept of a CWE that names no coding system but holds a code of its HL7 table."""
    if not repetition:
        return None
    code, display = repetition.value(1), repetition.value(2)
    if code not in codes or repetition.value(3):
        return cwe(repetition, sender)
    coding = {"system": f"{tables.TERMINOLOGY}v2-{table}", "code": code}
    return {"coding": [coding | ({"display": display} if display else {})]}


def is_code(value: str) -> bool:
    """Tell whether FHIR's type code can hold a value."""
    return _CODE.fullmatch(value) is not None


def place(repetition: Repetition, sender: Sender) -> dict[str, Any] | None:
    """Give a logical Reference to the Location of a PL: its parts as identifier, from broad to narrow."""
    if not repetition:
        return None
    facility = hd(repetition.component(4))
    parts = [repetition.value(number) for number in (7, 8, 1, 2, 3)]
    named = [part for part in parts if part]
    description = repetition.value(9)
    if not (named or facility.name or description):
        return None
    found: dict[str, Any] = {"type": "Location"}
    if named:
        system = {"system": sender.system(facility)} if facility.name else {}
        found["identifier"] = system | {"value": "^".join(parts).strip("^")}
    return found | {"display": description or ", ".join(named or [facility.name])}


def practitioner(
    repetition: Repetition, sender: Sender, fallback: str
) -> tuple[dict[str, Any] | None, str]:
    """Give the Practitioner of an XCN and the name to show; without an identifier there is no resource."""
    if not repetition:
        return None, ""
    name = xcn_name(repetition)
    display = name_text(name) if name else ""
    value = repetition.value(1)
    if not value:
        return None, display
    assigner = hd(repetition.component(9))
    system = sender.system(assigner) if assigner.name else fallback
    found: dict[str, Any] = {
        "resourceType": "Practitioner",
        "identifier": [identifiers.identifier(system, value, repetition.value(13), assigner.name)],
    }
    if name:
        found["name"] = [name]
    return found, display


def _name(repetition: Repetition, first: int) -> dict[str, Any]:
    """Give family with its parts (FN), given names."""
    found: dict[str, Any] = {}
    if family := repetition.value(first):
        found["family"] = family
    extensions = [
        {"url": EXTENSION + url, "valueString": value}
        for part, url in _FAMILY
        if (value := repetition.value(first, part))
    ]
    if extensions:
        found["_family"] = {"extension": extensions}
    given = [repetition.value(first + 1), repetition.value(first + 2)]
    if kept := [part for part in given if part]:
        found["given"] = kept
    return found


def _affixes(repetition: Repetition, prefix: int, suffixes: tuple[int, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if value := repetition.value(prefix):
        found["prefix"] = [value]
    if kept := [value for number in suffixes if (value := repetition.value(number))]:
        found["suffix"] = kept
    return found


def _validity(repetition: Repetition, parts: tuple[int, int, int], zone: Zone) -> dict[str, str]:
    """Give the period of start and end components, else of the older range component."""
    start, end, range_ = parts
    given = span(repetition.value(start), repetition.value(end), zone)
    return given or span(repetition.value(range_, 1), repetition.value(range_, 2), zone)


def _number(repetition: Repetition) -> str:
    """Give a telephone number: as text (XTN.12, XTN.1) or from its parts (XTN.5 to 8)."""
    local = repetition.value(7)
    if whole := repetition.value(12) or (repetition.value(1) if not local else ""):
        return whole
    country, area, extension = (repetition.value(n) for n in (5, 6, 8))
    parts = [f"+{country.lstrip('+')}" if country else "", area, local]
    number = " ".join(part for part in parts if part)
    return f"{number} X{extension}" if number and extension else number


def _coding(
    repetition: Repetition, first: int, version: int, oid: int, sender: Sender
) -> dict[str, Any] | None:
    """Give one of a CWE's three codings; one whose code FHIR cannot hold has only a display."""
    code, display = repetition.value(first), repetition.value(first + 1)
    if not code:
        return None
    if not _CODE.fullmatch(code):
        return {"display": display or code}
    found: dict[str, Any] = {}
    if system := _system(repetition.value(first + 2), repetition.value(oid), sender):
        found["system"] = system
    if given := repetition.value(version):
        found["version"] = given
    found["code"] = code
    return found | ({"display": display} if display else {})


def _system(name: str, oid: str, sender: Sender) -> str | None:
    """Give the URI of a coding system: configured, of table 0396, by OID, else one of our own; or None."""
    known = sender.code_system(name) or tables.code_system(name) if name else None
    if known:
        return known
    for value in (name, oid):
        if _OID.fullmatch(value):
            return f"urn:oid:{value}"
    if not name or name.upper() == "L":
        return None
    return local_system(name).replace(":assigner:", ":code-system:")
