"""PID as Patient (v2-to-FHIR IG, PID[Patient])."""

from typing import Any

from fhir_server.hl7v2 import datatypes, identifiers, tables, times
from fhir_server.hl7v2.datatypes import EXTENSION
from fhir_server.hl7v2.message import Segment
from fhir_server.hl7v2.refusal import FieldMissing
from fhir_server.hl7v2.sender import US_SSN, local_system
from fhir_server.hl7v2.transaction import Transaction
from resources.model import Resource

_YES_NO = {"Y": True, "N": False}


def patient(pid: Segment, transaction: Transaction) -> tuple[Resource, dict[str, Any]]:
    """Give the Patient of a PID and the identifier that it is found by; raises FieldMissing without one."""
    pid.accept(1)
    found: Resource = {"resourceType": "Patient"}
    found["identifier"] = _identifiers(pid, transaction)
    key = _key(found["identifier"], transaction)
    if key is None:
        raise FieldMissing("Nothing identifies the patient", location=pid.location(3))
    found |= _person(pid, transaction) | _contact(pid, transaction) | _life(pid, transaction)
    if extensions := _extensions(pid, transaction):
        found["extension"] = extensions
    return found, key


def account(pid: Segment, transaction: Transaction) -> dict[str, Any] | None:
    """Give the identifier of the patient's account, PID-18, or None."""
    first = pid.field(18).first
    return identifiers.cx(
        first, transaction.sender, transaction.fallback("account"), transaction.zone, "AN"
    )


def _identifiers(pid: Segment, transaction: Transaction) -> list[dict[str, Any]]:
    """Give the identifiers of PID-3, 2, 4, 19 and 20, each system and value once."""
    sender, zone = transaction.sender, transaction.zone
    fallback = transaction.fallback()
    found = [
        identifiers.cx(repetition, sender, fallback, zone)
        for number in (3, 2, 4)
        for repetition in pid.field(number).repetitions
    ]
    if ssn := pid.value("19"):
        found.append(identifiers.identifier(US_SSN, ssn, "SS"))
    if licence := pid.value("20"):
        system = local_system(pid.value("20.2") or "unknown", "driver-licence")
        licensed = identifiers.identifier(system, licence, "DL")
        if period := identifiers.span("", pid.value("20.3"), zone):
            licensed["period"] = period
        found.append(licensed)
    once = {(each["system"], each["value"]): each for each in reversed(found) if each}
    return list(reversed(once.values()))


def _key(found: list[dict[str, Any]], transaction: Transaction) -> dict[str, Any] | None:
    """Give the identifier of the best configured type, else the first that is no social or licence number."""
    types = transaction.sender.identifier_types
    ranked = [each for kind in types for each in found if _type(each) == kind]
    ranked += [each for each in found if _type(each) not in {"SS", "DL"}]
    return ranked[0] if ranked else None


def _type(identifier: dict[str, Any]) -> str:
    coding: str = identifier.get("type", {}).get("coding", [{}])[0].get("code", "")
    return coding


def _person(pid: Segment, transaction: Transaction) -> Resource:
    """Give names, gender, marital status, language."""
    found: Resource = {}
    names = [
        name
        for number in (5, 9)
        for repetition in pid.field(number).repetitions
        if (name := datatypes.xpn(repetition, transaction.zone))
    ]
    if names:
        found["name"] = names
    if sex := pid.value("8").upper():
        if sex in tables.ADMINISTRATIVE_SEX:
            found["gender"] = tables.ADMINISTRATIVE_SEX[sex]
        else:
            transaction.note(pid, 8, "the code is not in table 0001")
    if status := _marital_status(pid, transaction):
        found["maritalStatus"] = status
    if language := datatypes.cwe(pid.field(15).first, transaction.sender):
        found["communication"] = [{"language": language}]
    return found


def _marital_status(pid: Segment, transaction: Transaction) -> dict[str, Any] | None:
    first = pid.field(16).first
    known = tables.MARITAL_STATUS.get(first.value(1).upper())
    if known is None:
        return datatypes.cwe(first, transaction.sender)
    text = first.value(2)
    first.value(3)
    return {"coding": [known.json]} | ({"text": text} if text else {})


def _contact(pid: Segment, transaction: Transaction) -> Resource:
    """Give addresses and contact points."""
    found: Resource = {}
    addresses = [
        address
        for repetition in pid.field(11).repetitions
        if (address := datatypes.xad(repetition, transaction.zone))
    ]
    if county := pid.value("12"):
        if len(addresses) == 1 and addresses[0].get("district", county) == county:
            addresses[0]["district"] = county
        else:
            addresses.append({"district": county})
    if addresses:
        found["address"] = addresses
    telecom = [
        point
        for number, use in ((13, "home"), (14, "work"), (40, ""))
        for repetition in pid.field(number).repetitions
        if (point := datatypes.xtn(repetition, use))
    ]
    return found | ({"telecom": telecom} if telecom else {})


def _life(pid: Segment, transaction: Transaction) -> Resource:
    """Give birth, multiple birth and death."""
    found = _birth(pid, transaction)
    order = pid.value("25")
    if order.isascii() and order.isdigit():
        found["multipleBirthInteger"] = int(order)
        pid.accept(24)
    elif (multiple := _YES_NO.get(pid.value("24").upper())) is not None:
        found["multipleBirthBoolean"] = multiple
    death = pid.value("29")
    if died := times.date_time(death, transaction.zone):
        found["deceasedDateTime"] = died
        pid.accept(30)
    elif death:
        transaction.note(pid, 29, "it is no date")
    if (
        "deceasedDateTime" not in found
        and (dead := _YES_NO.get(pid.value("30").upper())) is not None
    ):
        found["deceasedBoolean"] = dead
    return found


def _birth(pid: Segment, transaction: Transaction) -> Resource:
    """Give birthDate, and the time of birth where one was sent with a zone that is known."""
    value = pid.value("7")
    day = times.day(value)
    if day is None:
        if value:
            transaction.note(pid, 7, "it is no date")
        return {}
    found: Resource = {"birthDate": day}
    time = times.date_time(value, transaction.zone)
    if time and "T" in time:
        found["_birthDate"] = {
            "extension": [{"url": f"{EXTENSION}patient-birthTime", "valueDateTime": time}]
        }
    return found


def _extensions(pid: Segment, transaction: Transaction) -> list[dict[str, Any]]:
    """Give mother's maiden name, religion, birth place, citizenship and nationality."""
    found: list[dict[str, Any]] = []
    if maiden := pid.value("6"):
        found.append({"url": f"{EXTENSION}patient-mothersMaidenName", "valueString": maiden})
    if religion := datatypes.cwe(pid.field(17).first, transaction.sender):
        found.append({"url": f"{EXTENSION}patient-religion", "valueCodeableConcept": religion})
    if birth_place := pid.value("23"):
        place = {"text": birth_place}
        found.append({"url": f"{EXTENSION}patient-birthPlace", "valueAddress": place})
    for number, url in ((26, "patient-citizenship"), (28, "patient-nationality")):
        for repetition in pid.field(number).repetitions:
            if concept := datatypes.cwe(repetition, transaction.sender):
                code = {"url": "code", "valueCodeableConcept": concept}
                found.append({"url": EXTENSION + url, "extension": [code]})
    return found
