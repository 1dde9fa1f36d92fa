"""From stored instances to FHIR: a changed study is told anew in one transaction, then acknowledged.

The archive counts a study's changes and the last one told. Whatever stops in between, `reconcile` tells
the rest later; telling twice writes nothing twice.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import structlog

from dicomweb_bridge import identity, imaging_study, repair
from dicomweb_bridge.archive.port import Match, Query
from fhir_server.store.port import StoreUnavailable
from resources import outcome
from resources.authored import imaging_study as authored
from resources.authored import provenance
from resources.authored.endpoint import endpoint as endpoint_resource

if TYPE_CHECKING:
    from dicomweb_bridge.archive.port import Archive, StudyContent
    from dicomweb_bridge.identity import Directory, Issuers
    from resources.model import Resource

Transact = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Run a transaction Bundle in a tenant and give its response; raises FhirError or StoreUnavailable."""

ENDPOINTS = "urn:hounsfield:endpoint"
_NAMESPACE = uuid.UUID("5b1b2a52-6a5f-5b0a-9d0e-3c6f0a1d7e41")
_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_TRIES = 3
_MOST_STUDIES = 1000
_MATCHED = {"Patient": "PatientID", "ServiceRequest": "AccessionNumber"}
_log = structlog.get_logger("hounsfield.dicomweb")


class Ingest:
    """Tells studies in FHIR: an ImagingStudy each, the Endpoint, Provenance, and Tasks for what is unclear.

    `address` gives a tenant's DICOMweb base URL, `now` a FHIR instant.
    """

    def __init__(
        self,
        archive: Archive,
        directory: Directory,
        transact: Transact,
        *,
        issuers: Issuers,
        address: Callable[[str], str],
        now: Callable[[], str],
    ) -> None:
        self._archive = archive
        self._directory = directory
        self._transact = transact
        self._issuers = issuers
        self._address = address
        self._now = now
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def describe(self, tenant: str, uid: str) -> bool:
        """Tell a study's changes; tells whether that is done, False leaves them for `reconcile`."""
        async with self._lock(tenant, uid):
            study = await self._archive.study(tenant, uid)
            if study is None or study.described >= study.changed:
                return True
            try:
                await self._settle(tenant, study)
            except (outcome.FhirError, StoreUnavailable) as fault:
                _log.warning("study not described", tenant=tenant, reason=type(fault).__name__)
                return False
            return True

    async def reconcile(self) -> int:
        """Tell every study that changed since it was told; gives how many are still to be told."""
        late = 0
        for tenant, uid in await self._archive.undescribed():
            late += not await self.describe(tenant, uid)
        return late

    async def follow(self, tenant: str, resource: Resource) -> int:
        """Look again at the studies that a new Patient or ServiceRequest may belong to; gives how many."""
        keyword = _MATCHED.get(resource["resourceType"])
        numbers = {one.get("value") for one in resource.get("identifier", ())} if keyword else set()
        uids: set[str] = set()
        for number in numbers - {None, ""}:
            query = Query("study", (Match(keyword or "", (number,)),), limit=_MOST_STUDIES)
            uids |= {found.where.study for found in await self._archive.find(tenant, query)}
        for uid in sorted(uids):
            async with self._lock(tenant, uid):
                study = await self._archive.study(tenant, uid)
                if study is not None:
                    await self._settle(tenant, study)
        return len(uids)

    def _lock(self, tenant: str, uid: str) -> asyncio.Lock:
        """Give the lock that keeps a study from being told twice at once; waiting tellings merge into one."""
        return self._locks.setdefault((tenant, uid), asyncio.Lock())

    async def _settle(self, tenant: str, study: StudyContent) -> None:
        """Tell a study until what was told last is what it is: another process may tell it meanwhile."""
        while True:
            await self._tell(tenant, study)
            await self._archive.described(tenant, study.uid, study.changed)
            now = await self._archive.study(tenant, study.uid)
            if now is None or now.changed == study.changed:
                return
            study = now

    async def _tell(self, tenant: str, study: StudyContent) -> None:
        """Write what a study is now; a race with another writer is run again."""
        for attempt in range(1, _TRIES + 1):
            entries = await self._entries(tenant, study)
            if not entries:
                return
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            try:
                await self._transact(tenant, bundle)
            except (outcome.Conflict, outcome.PreconditionFailed):
                if attempt == _TRIES:
                    raise
            else:
                return

    async def _entries(self, tenant: str, study: StudyContent) -> list[dict[str, Any]]:
        """Give the entries that bring FHIR up to a study, none if it is."""
        key = authored.identifier(study.uid)
        stored = await self._one(tenant, "ImagingStudy", key)
        found = await identity.resolve(self._directory, tenant, study.attributes, self._issuers)
        endpoint, entries = await self._endpoint(tenant)
        made = imaging_study.merged(
            imaging_study.imaging_study(study, found, endpoint, self._issuers.zone), stored
        )
        focus = (
            f"ImagingStudy/{stored['id']}" if stored else _urn(tenant, "ImagingStudy", study.uid)
        )
        if stored is None or made != _content(stored):
            entries.append(_put(_urn(tenant, "ImagingStudy", study.uid), made, key))
        entries += self._trail(tenant, study.uid, focus, (made, stored))
        tasks = await self._tasks(tenant, study.uid)
        return entries + repair.entries(tenant, (study.uid, focus), found, tasks, self._now())

    async def _one(self, tenant: str, type_: str, key: dict[str, str]) -> Resource | None:
        found = await self._directory.find(tenant, type_, (identity.token(key),))
        return found[0] if found else None

    async def _endpoint(self, tenant: str) -> tuple[str, list[dict[str, Any]]]:
        """Give the reference to the tenant's WADO-RS Endpoint, and the entry that writes it if need be."""
        key = {"system": ENDPOINTS, "value": "dicom-wado-rs"}
        made = endpoint_resource(key, self._address(tenant))
        stored = await self._one(tenant, "Endpoint", key)
        reference = (
            f"Endpoint/{stored['id']}" if stored else _urn(tenant, "Endpoint", "dicom-wado-rs")
        )
        if stored and stored.get("address") == made["address"]:
            return reference, []
        return reference, [_put(_urn(tenant, "Endpoint", "dicom-wado-rs"), made, key)]

    async def _tasks(self, tenant: str, uid: str) -> list[Resource]:
        keys = (identity.token(repair.key(uid, kind))[1] for kind in repair.KINDS)
        return list(await self._directory.find(tenant, "Task", (("identifier", ",".join(keys)),)))

    def _trail(
        self, tenant: str, uid: str, focus: str, change: tuple[Resource, Resource | None]
    ) -> list[dict[str, Any]]:
        """Give the Provenance of a study's first telling, or of an order newly linked to it."""
        made, stored = change
        orders = _orders(made) - (_orders(stored) if stored else set())
        if stored is not None and not orders:
            return []
        name = str(uuid.uuid5(_NAMESPACE, "\0".join((tenant, "Provenance", uid, *sorted(orders)))))
        told: dict[str, Any] = {"type": "ImagingStudy", "identifier": authored.identifier(uid)}
        sources = [told, *({"reference": order} for order in sorted(orders))]
        resource = {
            "resourceType": "Provenance",
            "id": name,
            "target": [{"reference": focus}],
            "recorded": self._now(),
            "activity": {
                "coding": [{"system": _OPERATION, "code": "UPDATE" if stored else "CREATE"}]
            },
            "agent": [
                {
                    "type": {"coding": [{"system": provenance.PARTICIPANT, "code": "assembler"}]},
                    "who": {"display": "Hounsfield DICOMweb bridge"},
                }
            ],
            "entity": [provenance.source(source) for source in sources],
        }
        request = {"method": "PUT", "url": f"Provenance/{name}"}
        return [{"fullUrl": f"urn:uuid:{name}", "resource": resource, "request": request}]


def _urn(tenant: str, type_: str, name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, chr(0).join((tenant, type_, name)))}"


def _put(full_url: str, resource: Resource, key: dict[str, str]) -> dict[str, Any]:
    """Give the entry of a conditional update by identifier."""
    url = f"{resource['resourceType']}?identifier={key['system']}%7C{key['value']}"
    return {
        "fullUrl": full_url,
        "resource": resource,
        "request": {"method": "PUT", "url": url},
    }


def _content(stored: Resource) -> Resource:
    return {name: value for name, value in stored.items() if name not in {"id", "meta", "text"}}


def _orders(study: Resource) -> set[str]:
    return {one["reference"] for one in study.get("basedOn", ()) if "reference" in one}
