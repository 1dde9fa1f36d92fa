"""The charge and the claim of a signed report, as entries of the transaction that signs it.

The code is the order's own: CPT is licensed and loaded by a site, never guessed here.
"""

from typing import Any

from msgspec import Struct

from operations.operation import CANONICAL_BASE
from resources.authored.charge_item import Charge, charge_item
from resources.authored.claim import Billed, claim, self_pay
from resources.model import Resource

IDENTIFIERS = f"{CANONICAL_BASE}/NamingSystem/charge"
SELF_PAY = f"{CANONICAL_BASE}/NamingSystem/self-pay"
_COVERAGE = "urn:uuid:6f1c2f0e-6f0b-4f0a-9d49-0d8f4d8d8a01"


class Read(Struct, frozen=True):
    """A study that was read: the final report on a Patient, its order, study, signer, coverage and time."""

    report: Resource
    order: Resource | None
    study: Resource | None
    signer: str
    coverage: str | None
    now: str


def entries(read: Read) -> list[dict[str, Any]]:
    """Give the entries that write ChargeItem, Claim and, where none is known, the Coverage.

    Each has an identifier made from the report's or patient's id, so that nothing is ever doubled.
    """
    patient = read.report["subject"]["reference"]
    wanted = [
        _put("ChargeItem", _charge(read, patient), read),
        _put("Claim", _claim(read, patient), read),
    ]
    if read.coverage is None:
        wanted.append(_self_pay(patient))
    return wanted


def _self_pay(patient: str) -> dict[str, Any]:
    """Give the entry that makes the Coverage of a patient who has none, once however many sign."""
    identifier = {"system": SELF_PAY, "value": patient.rpartition("/")[2]}
    condition = f"identifier={identifier['system']}|{identifier['value']}&status=active"
    resource = self_pay(patient) | {"identifier": [identifier]}
    request = {"method": "POST", "url": "Coverage", "ifNoneExist": condition}
    return {"fullUrl": _COVERAGE, "resource": resource, "request": request}


def _charge(read: Read, patient: str) -> Resource:
    study = read.study
    return charge_item(
        Charge(
            code=_code(read),
            patient=patient,
            occurred=_served(read),
            entered=read.now,
            report=f"DiagnosticReport/{read.report['id']}",
            study=f"ImagingStudy/{study['id']}" if study else None,
            encounter=_encounter(read),
            performer=read.signer,
            reasons=_reasons(read),
            identifier=_identifier(read),
        )
    )


def _claim(read: Read, patient: str) -> Resource:
    return claim(
        Billed(
            code=_code(read),
            patient=patient,
            provider=read.signer,
            coverage=read.coverage or _COVERAGE,
            created=read.now,
            served=_served(read),
            encounter=_encounter(read),
            reasons=_reasons(read),
            identifier=_identifier(read),
        )
    )


def _put(type_: str, resource: Resource, read: Read) -> dict[str, Any]:
    identifier = _identifier(read)
    url = f"{type_}?identifier={identifier['system']}|{identifier['value']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url}}


def _identifier(read: Read) -> dict[str, str]:
    return {"system": IDENTIFIERS, "value": str(read.report["id"])}


def _code(read: Read) -> dict[str, Any]:
    """Give what was done: the order's code, else the report's."""
    source = read.order if read.order and "code" in read.order else read.report
    code: dict[str, Any] = source["code"]
    return code


def _served(read: Read) -> str:
    """Give when it was done: the study's start, else the report's own time."""
    started = read.study.get("started") if read.study else None
    return str(started or read.report.get("effectiveDateTime") or read.now)


def _encounter(read: Read) -> str | None:
    for source in (read.order, read.report):
        reference = (source or {}).get("encounter", {}).get("reference")
        if reference:
            return str(reference)
    return None


def _reasons(read: Read) -> tuple[dict[str, Any], ...]:
    return tuple((read.order or {}).get("reasonCode", ()))
