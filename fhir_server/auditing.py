"""The audit trail of an installation: its journal, and what makes AuditEvents of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from fhir_server.audit.alerts import Alerts, Rules
from fhir_server.audit.event import Accessed, event
from fhir_server.audit.following import Following
from fhir_server.audit.journal import Journal
from fhir_server.audit.pieces import TYPE, Pieces
from fhir_server.audit.retention import Retention
from fhir_server.audit.trail import Trail
from fhir_server.audit.verify import Verified, verify
from fhir_server.context import Context, Policy
from fhir_server.interactions.dispatch import dispatch
from fhir_server.interactions.keep import keep, keep_changes
from fhir_server.interactions.writing import body
from fhir_server.message import FhirRequest
from fhir_server.search.parameters import SearchParameters
from fhir_server.store.port import Change, Documents, Key
from fhir_server.subjects import Subjects
from resources.model import Resource

FOLDER = "audit"
Ours = Callable[[str], Context]
"""Gives our own context in a tenant."""
_AT_ONCE = 25
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
            Subjects(self._quiet),
            self._tell,
            kept.server,
            Alerts(rules, self._raise, kept.address),
        )
        self._telling = _Telling(kept.address)
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

    async def _tell(self, tenant: str, told: Sequence[Accessed]) -> None:
        await self._telling(self._quiet(tenant), told)

    async def _raise(self, tenant: str, resources: Sequence[Resource]) -> None:
        await keep(self._quiet(tenant), resources)

    async def _erase(self, tenant: str, day: str) -> int:
        """Erase a tenant's AuditEvents from before a day, with their past; gives how many."""
        context, erased = self._quiet(tenant), 0
        query = (("date", f"lt{day}"), ("_count", str(_PAGE)))
        while True:
            found = await dispatch(context, FhirRequest("GET", TYPE, query))
            if not found.seen:
                return erased
            for version in found.seen:
                await dispatch(context, FhirRequest("DELETE", version.key.reference))
                if context.services.purge is not None:
                    await context.services.purge(version.key)
                erased += 1

    def _swept(self, name: str) -> None:
        self.trail.event("", "jobs", "sweep", 200, note=f"journal {name} was kept long enough")


class _Telling:
    """Stores the AuditEvents of accesses, put together from pieces where the search parameters allow it."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._pieces: dict[str, Pieces] = {}

    async def __call__(self, context: Context, told: Sequence[Accessed]) -> None:
        """Store the events of some accesses in one commit; those that are stored already stay."""
        change = self._making(context)
        changes = []
        for number, accessed in enumerate(told, 1):
            changes.append(change(context.tenant, accessed))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # others are waiting for the event loop
        await keep_changes(context, changes)

    def _making(self, context: Context) -> Callable[[str, Accessed], Change]:
        """Give what makes the change that stores an event."""
        parameters = context.services.planner.parameters
        extraction = parameters.extraction(TYPE)
        if not extraction.by_element:  # a tenant's own parameter looks at an event as a whole
            return partial(self._whole, parameters)
        pieces = self._pieces.get(context.tenant)
        if pieces is None or pieces.extraction is not extraction:
            pieces = self._pieces[context.tenant] = Pieces(extraction, self._server)
        return pieces.change

    def _whole(self, parameters: SearchParameters, tenant: str, accessed: Accessed) -> Change:
        made = event(accessed, self._server)
        return Change(Key(tenant, TYPE, accessed.id), "POST", body(made), parameters.values(made))
