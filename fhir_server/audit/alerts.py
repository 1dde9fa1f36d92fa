"""Alerts on unusual access: many patients in a short time, off hours, a broken glass."""

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from msgspec import Struct

from fhir_server.audit.event import CODES, Accessed, event
from fhir_server.audit.record import Record
from fhir_server.store.port import instant
from resources.model import Resource

log = structlog.get_logger()

WINDOW_MS = 600_000
_DAY_MS = 86_400_000
_REMEMBERED = 5_000
_TEXTS = {
    "many-patients": "Many patients were looked at in a short time",
    "off-hours": "Patients were looked at outside working hours",
    "broken-glass": "The glass was broken",
}
Raise = Callable[[str, Sequence[Resource]], Awaitable[None]]
"""Stores what tells of an alert; what is stored already changes nothing."""


class Rules(Struct, frozen=True):
    """When to alert: more patients than `patients` in ten minutes; hours (from, to) that are worked."""

    patients: int
    hours: tuple[int, int] | None = None


class Alerts:
    """Watches what people do; a service that reads on its own is not watched.

    Each alert is an AuditEvent and, where the person is a resource, a Flag on her, once a day and kind.
    """

    def __init__(self, rules: Rules, raise_: Raise, address: str) -> None:
        self._rules = rules
        self._raise = raise_
        self._address = address
        self._seen: dict[tuple[str, str], dict[str, int]] = {}
        """By person, the patients of the last ten minutes in the order in which they were seen last."""

    async def __call__(self, record: Record, patients: Sequence[str]) -> None:
        """Look at one access and the patients that it was about."""
        if not record.user or record.status >= 400 or not patients:
            return
        if record.purpose:
            await self._alert("broken-glass", record, patients[:1])
        if self._is_off(record.time):
            await self._alert("off-hours", record)
        if self._many(record, patients):
            await self._alert("many-patients", record)

    def _is_off(self, at: int) -> bool:
        hours = self._rules.hours
        return hours is not None and not hours[0] <= time.localtime(at / 1000).tm_hour < hours[1]

    def _many(self, record: Record, patients: Sequence[str]) -> bool:
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        seen = self._seen.setdefault((record.tenant, record.user), {})
        for patient in patients:
            seen.pop(patient, None)  # whoever is seen again goes to the end
            seen[patient] = record.time
        while seen and seen[first := next(iter(seen))] < record.time - WINDOW_MS:
            del seen[first]
        return len(seen) > self._rules.patients

    async def _alert(self, kind: str, record: Record, patients: Sequence[str] = ()) -> None:
        named = repr((record.tenant, record.user, kind, record.time // _DAY_MS, *patients))
        id_ = f"alert-{hashlib.blake2b(named.encode(), digest_size=16).hexdigest()}"
        log.warning("unusual access", kind=kind, tenant=record.tenant, request=record.request)
        told = event(Accessed(id_, record, patients=tuple(patients)), self._address)
        told |= {
            "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110113"},
            "subtype": [{"system": CODES, "code": kind, "display": _TEXTS[kind]}],
            "action": "E",
        }
        told.pop("meta", None)
        await self._raise(record.tenant, (told, *_flag(kind, id_, record)))


def _flag(kind: str, id_: str, record: Record) -> tuple[dict[str, Any], ...]:
    """Give the Flag on a practitioner; nobody else can have one that is no patient's."""
    if not record.user.startswith("Practitioner/"):
        return ()
    category = {"system": "http://terminology.hl7.org/CodeSystem/flag-category", "code": "safety"}
    made = {
        "resourceType": "Flag",
        "id": id_,
        "status": "active",
        "category": [{"coding": [category]}],
        "code": {"coding": [{"system": CODES, "code": kind}], "text": _TEXTS[kind]},
        "subject": {"reference": record.user},
        "period": {"start": instant(record.time)},
    }
    return (made,)
