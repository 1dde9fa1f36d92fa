"""The audit trail of an installation: its journal, and what makes AuditEvents of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fhir_server.audit.alerts import Alerts, Rules
from fhir_server.audit.following import Following
from fhir_server.audit.journal import Journal
from fhir_server.audit.retention import Retention
from fhir_server.audit.trail import Trail
from fhir_server.audit.verify import Verified, verify
from fhir_server.context import Context, Policy
from fhir_server.interactions.dispatch import dispatch
from fhir_server.interactions.keep import keep
from fhir_server.message import FhirRequest
from fhir_server.store.port import Documents, Key, Version
from resources import model
from resources.model import Resource

FOLDER = "audit"
Ours = Callable[[str], Context]
"""Gives our own context in a tenant."""
_PATIENT = "Patient"
_TYPE = "AuditEvent"
_REMEMBERED = 20_000
_PAGE = 200
_TOLERANT = Policy(lenient=True)


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the trail is kept and for how long: the journal's folder, its chain's key, the store's documents.

    `server` names the data folder, `address` is our own. `refuse`: no access where it cannot be kept.
    """

    folder: Path
    key: bytes
    documents: Documents
    server: str
    address: str
    days: int
    refuse: bool


class Auditing:
    """The audit trail: `trail` is told by the doors, `following` makes it searchable."""

    def __init__(self, kept: Kept, clock: Callable[[], int], ours: Ours, rules: Rules) -> None:
        self._kept = kept
        self._ours = ours
        self.trail = Trail(Journal(kept.folder, kept.key), clock, refuse=kept.refuse)
        self.following = Following(
            (kept.folder, kept.key),
            kept.documents,
            _Subjects(self._quiet),
            self._tell,
            (kept.server, kept.address),
            Alerts(rules, self._tell, kept.address),
        )
        self._retention = Retention(kept.folder, kept.documents, kept.days, self._swept)

    def state(self) -> str:
        """Give "ok", or what is wrong with the journal."""
        if self.trail.journal.fault:
            return f"the journal is not written: {self.trail.journal.fault}"
        if self.following.broken:
            return f"{len(self.following.broken)} journal file(s) do not prove: hounsfield audit verify"
        return "ok"

    async def verify(self) -> Verified:
        """Prove the journal against itself and the store."""
        kept = self._kept
        return await verify(kept.folder, kept.key, kept.documents, kept.server)

    async def sweep(self, tenants: list[str]) -> None:
        """Remove what is older than it is to be kept."""
        await self._retention.sweep(tenants, self._erase)

    async def close(self) -> None:
        """Sync and close the journal."""
        await asyncio.to_thread(self.trail.journal.close)

    def _quiet(self, tenant: str) -> Context:
        """Give our own context, without a trail of its own and whatever the settings refuse."""
        ours = self._ours(tenant)
        services = replace(ours.services, audit=None, policy=_TOLERANT)
        return replace(ours, services=services)

    async def _tell(self, tenant: str, events: Sequence[Resource]) -> None:
        await keep(self._quiet(tenant), events)

    async def _erase(self, tenant: str, day: str) -> int:
        """Erase a tenant's AuditEvents from before a day, with their past; gives how many."""
        context, erased = self._quiet(tenant), 0
        query = (("date", f"lt{day}"), ("_count", str(_PAGE)))
        while True:
            found = await dispatch(context, FhirRequest("GET", _TYPE, query))
            if not found.seen:
                return erased
            for version in found.seen:
                await dispatch(context, FhirRequest("DELETE", version.key.reference))
                if context.services.purge is not None:
                    await context.services.purge(version.key)
                erased += 1

    def _swept(self, name: str) -> None:
        self.trail.event("", "jobs", "sweep", 200, note=f"journal {name} was kept long enough")


class _Subjects:
    """Finds whom resources are about, by the Patient's CompartmentDefinition; remembers what it found."""

    def __init__(self, context_of: Ours) -> None:
        self._context_of = context_of
        self._patients: dict[tuple[str, str], tuple[str, ...]] = {}

    async def patients(self, tenant: str, reference: str) -> tuple[str, ...]:
        """Give the logical ids of the patients in whose compartments a resource is, or was."""
        place = (tenant, reference)
        if place not in self._patients:
            if len(self._patients) >= _REMEMBERED:
                self._patients.clear()
            found = await self._found(tenant, reference)
            if "/_history/" not in reference:
                return found  # what it is about may change with its next version
            self._patients[place] = found
        return self._patients[place]

    async def study(self, tenant: str, uid: str) -> tuple[str, ...]:
        """Give the reference of the ImagingStudy with a Study Instance UID; none where there is none."""
        query = (("identifier", f"urn:dicom:uid|{uid}"),)
        request = FhirRequest("GET", "ImagingStudy", query)
        found = await dispatch(self._context_of(tenant), request)
        return tuple(f"{v.key.reference}/_history/{v.version_id}" for v in found.seen[:1])

    async def _found(self, tenant: str, reference: str) -> tuple[str, ...]:
        parts = reference.split("/")
        if len(parts) not in {2, 4}:
            return ()  # a study that is not here: its UID
        type_, id_, *rest = parts
        context = self._context_of(tenant)
        if type_ not in context.services.definitions.resource_types:
            return ()
        if type_ == _PATIENT:
            return (id_,)
        version = await _version(context, Key(tenant, type_, id_), rest)
        if version is None or version.body is None:
            return ()
        parameters = context.services.planner.parameters
        atoms = {a.name for p in parameters.compartment(_PATIENT, type_) for a in p.atoms}
        values = parameters.values(model.parse(version.body))
        ids = [r.id for r in values.references if r.type == _PATIENT and r.atom in atoms]
        return tuple(dict.fromkeys(ids))


async def _version(context: Context, key: Key, rest: Sequence[str]) -> Version | None:
    """Give the version that a reference names; of a deletion, the last one with contents."""
    store = context.services.store
    version = await (store.vread(key, int(rest[1])) if rest else store.read(key))
    if version is not None and version.body is None and version.version_id > 1:
        return await store.vread(key, version.version_id - 1)
    return version
