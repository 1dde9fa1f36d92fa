"""An installation: all that the composition root builds, as edges, pages and commands are given it."""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from ai_observations.inference import InstalledModels
from ai_observations.process import InferenceProcess
from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.ingest import Ingest
from fhir_server import tenancy
from fhir_server.access import Access, Authorizer, everything
from fhir_server.auditing import Auditing
from fhir_server.context import Context, Services
from fhir_server.hl7v2.listener import Listener
from fhir_server.http import health
from fhir_server.http.metrics import Metrics
from fhir_server.jobs import deferred, parameter_index, reindexing
from fhir_server.jobs.runner import Runner
from fhir_server.jobs.uploaded import Uploaded
from fhir_server.joints import VisibleStudies
from fhir_server.limits import Limited, Limits
from fhir_server.settings import Settings
from fhir_server.statements import Statements
from fhir_server.store.out_of_line import OutOfLine
from fhir_server.store.port import Care, Copied, Documents, Past, StoreUnavailable
from fhir_server.supervision import Child
from fhir_server.tenant_services import TenantServices
from operations.bulk.exporting import Exporting
from smart_auth.smart import Smart

_LISTEN_WAIT_S = 5.0
_ROOM = 16 << 20
"""With fewer bytes free than this nothing is ready: a write of usual size may not find room."""


@dataclass(slots=True)
class Installation:
    """All that is built: what the edges, the pages and the commands are given."""

    settings: Settings
    public_url: str
    services: Services
    tenants: TenantServices
    statements: Statements
    uploaded: Uploaded
    reindexing: reindexing.Reindexing
    index: parameter_index.ParameterIndex
    care: Care
    copied: Copied
    kept: OutOfLine
    smart: Smart
    authorizer: Authorizer
    archive: LocalArchive
    ingest: Ingest
    visible: VisibleStudies
    models: InstalledModels
    process: InferenceProcess
    exporting: Exporting
    deferred: deferred.Deferred
    runner: Runner
    listener: Listener | None
    metrics: Metrics = field(default_factory=Metrics)
    children: list[Child] = field(default_factory=list)
    limits: Limits | None = None
    """Roles, labels and Consents, where tokens are asked for."""
    audit: Auditing | None = None
    """The audit trail, where the settings want one."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """What is told of the other processes that serve."""

    def base(self, tenant: str) -> str:
        """Give the FHIR base URL of a tenant."""
        return f"{self.public_url}{tenancy.path(tenant)}/fhir"

    def context(self, tenant: str, access: Access) -> Context:
        """Give the context of a caller in a tenant."""
        return Context(tenant, access, self.base(tenant), self.tenants.shelved(tenant))

    def within_limits(self, authorizer: Authorizer) -> Authorizer:
        """Give an access port of a door with all that limits callers beyond their tokens."""
        return authorizer if self.limits is None else Limited(authorizer, self.limits)

    def ours(self, tenant: str, subject: str = "hounsfield") -> Context:
        """Give the context of one of our own edges: full access, no version where nothing changes."""
        services = self.tenants.of(tenant)
        access = everything(subject)
        return Context(tenant, access, self.base(tenant), services, keep_unchanged=True)

    async def has_tenant(self, name: str) -> bool:
        """Tell whether a tenant is registered; the default one always is."""
        return await registered(self.services.documents, name)

    async def health(self) -> Mapping[str, str]:
        """Give each component's state."""
        checks: dict[str, health.Check] = {
            "store": self._store,
            "archive": self._archive,
            "disk": self._disk,
        }
        states = {name: await check() for name, check in checks.items()}
        states |= self.elsewhere
        states |= await self.own_health()
        off = {"dimse": "off"} if self.listener else {"dimse": "off", "mllp": "off"}
        return states | off

    async def tenant_names(self) -> list[str]:
        """Give the names of all tenants, the default one first."""
        names, after = [tenancy.DEFAULT], ""
        documents = self.services.documents
        while page := await documents.list(tenancy.DEFAULT, tenancy.TENANTS, after=after):
            names += [document.key for document in page]
            after = page[-1].key
        return names

    async def import_versions(self, versions: Sequence[Past]) -> int:
        """Take over versions of another store; gives how many were new. Raises OutOfOrder."""
        return await self.kept.import_versions(versions)

    async def own_health(self) -> dict[str, str]:
        """Give the state of each child of this process."""
        own = {child.name: await child.state() for child in self.children}
        if self.audit is not None:
            own["audit trail"] = self.audit.state()
        return own

    async def _store(self) -> str:
        if self.care.damaged:
            return "it is damaged: hounsfield check tells where"
        return await _reached(self.services.store.position(), 2)

    async def _archive(self) -> str:
        return await _reached(self.archive.undescribed(), 5)

    async def _disk(self) -> str:
        """Tell whether there is room beside the store: for the journal, pixels, large contents."""
        free = (await asyncio.to_thread(shutil.disk_usage, self.settings.data)).free
        return "ok" if free >= _ROOM else "the disk of the data folder is full"

    async def start(self, http_port: int) -> None:
        """Start the children, wait for the listener, and write the ports that were taken."""
        for child in self.children:
            child.start()
        ports: dict[str, int | None] = {"http": http_port, "mllp": None}
        if self.listener is not None:
            with contextlib.suppress(TimeoutError):  # readiness says so, and it is tried again
                await asyncio.wait_for(self.listener.started.wait(), _LISTEN_WAIT_S)
            ports["mllp"] = self.listener.port
        file = self.settings.data / "ports.json"
        await asyncio.to_thread(file.write_bytes, msgspec.json.encode(ports))


async def _reached(asked: Awaitable[object], seconds: float) -> str:
    try:
        await asyncio.wait_for(asked, seconds)
    except (StoreUnavailable, TimeoutError, OSError):
        return "it cannot be reached"
    return "ok"


async def registered(documents: Documents, name: str) -> bool:
    """Tell whether a tenant is registered; the default one always is."""
    if name == tenancy.DEFAULT:
        return True
    return await documents.get(tenancy.DEFAULT, tenancy.TENANTS, name) is not None
