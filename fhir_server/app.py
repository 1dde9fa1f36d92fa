"""The composition root: settings to services to what runs. The one module that knows everything."""

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ai_observations import registry as models
from ai_observations.inference import Inference, InstalledModels
from ai_observations.process import InferenceProcess
from conformance.validate import Validator
from dicomweb_bridge.archive.local import LocalArchive
from dicomweb_bridge.identity import Issuers
from dicomweb_bridge.ingest import Ingest
from dicomweb_bridge.source import ArchiveSource
from fhir_server import registry, tenancy
from fhir_server.access import Access
from fhir_server.context import Context, Policy, Services
from fhir_server.hl7v2.door import Interactions
from fhir_server.hl7v2.inbox import Inbox
from fhir_server.hl7v2.listener import Listener
from fhir_server.hl7v2.sender import Sender, Senders
from fhir_server.installation import Installation, registered
from fhir_server.jobs import deferred, parameter_index, reindexing, shown
from fhir_server.jobs.job import Job
from fhir_server.jobs.kind import Kind
from fhir_server.jobs.runner import Runner
from fhir_server.jobs.status import PLACE, Status
from fhir_server.jobs.uploaded import Uploaded
from fhir_server.joints import (
    Directory,
    Follower,
    PatientPicker,
    VisibleStudies,
    identifier_system,
    zone_of,
)
from fhir_server.search import modifiers
from fhir_server.search.match import Clinical
from fhir_server.search.modifier import Modifier
from fhir_server.search.paging import Paging
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.plan import Planner
from fhir_server.settings import Settings, SettingsError
from fhir_server.statements import Statements, declared_statements
from fhir_server.store.out_of_line import OutOfLine
from fhir_server.store.port import Care, Documents, Store, instant
from fhir_server.store.sqlite.blobs import FileBlobs
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.supervision import Child, server_name
from fhir_server.tenant_services import TenantServices
from operations import export, infer
from operations.bulk.exporting import Exporting
from resources import definitions as r4
from smart_auth.keys import KeyRing
from smart_auth.open import OpenAuthorizer
from smart_auth.smart import Ports, Smart

_SECRETS = "secrets"
_SWEEP_S = 600.0


def now() -> int:
    """Give milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def installation(
    settings: Settings, public_url: str, *, serving: bool = False, leading: bool = True
) -> AsyncIterator[Installation]:
    """Build and open everything for the settings; closes it at the end, children first.

    `serving` also builds the children that only a server has; one process a data folder serves. Of
    several processes that answer together only the `leading` one has them.
    """
    if settings.archive != "local":
        raise SettingsError("archive: this version keeps images in its own archive only (local)")
    settings.data.mkdir(parents=True, exist_ok=True)
    definitions = r4.load()
    parameters = SearchParameters(definitions)
    async with AsyncExitStack() as stack:
        store = _store(settings, parameters)
        await store.open()
        stack.push_async_callback(store.close)
        archive = LocalArchive(settings.data / "archive", writable=serving)
        if serving:
            await archive.open()
            stack.push_async_callback(archive.close)
        house = await _house(
            settings, public_url.rstrip("/"), (definitions, parameters), store, archive
        )
        stack.push_async_callback(house.process.close)
        await house.uploaded.look()
        watch = Child("uploaded", house.uploaded.watch)
        watch.start()
        stack.push_async_callback(watch.stop)
        if serving and leading:
            house.children.extend(_children(house, store))
        for child in house.children:
            stack.push_async_callback(child.stop)
        yield house


class Adapter(Store, Documents, Care, Protocol):
    """What a store adapter is: all three ports over one database."""


def _store(settings: Settings, parameters: SearchParameters) -> Adapter:
    """Give the store that the settings name, not yet opened; raises SettingsError."""

    def clinical(type_: str) -> str | None:
        atom = parameters.clinical(type_)
        return atom.name if atom else None

    scheme, _, path = settings.store_url.partition("://")
    if scheme != "sqlite":
        return _mongo(settings.store_url, clinical)
    file = Path(path.removeprefix("/"))
    file.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStore(file, clock=now, clinical=clinical)


def _mongo(url: str, clinical: Clinical) -> Adapter:
    try:
        from fhir_server.store.mongo.store import MongoStore  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"bson", "pymongo"}:
            raise
        raise SettingsError(
            "store: MongoDB needs the library pymongo: pip install 'hounsfield[mongo]'"
        ) from None
    return MongoStore(url, clock=now, clinical=clinical)


async def _house(
    settings: Settings,
    public_url: str,
    meaning: tuple[r4.Definitions, SearchParameters],
    store: Adapter,
    archive: LocalArchive,
) -> Installation:
    """Put the parts together; features meet here, through the Protocols that their users own."""
    cache = models.default_cache()
    installed, process = InstalledModels(cache), InferenceProcess(cache)

    def ours(tenant: str) -> Context:
        return house.ours(tenant)

    def context_for(tenant: str, access: Access) -> Context:
        return house.context(tenant, access)

    async def has_tenant(name: str) -> bool:
        return await registered(store, name)

    async def told(job: Job) -> None:
        await shown.show(ours(job.tenant), job)

    def dicomweb(tenant: str) -> str:
        return f"{public_url}{tenancy.path(tenant)}/dicom-web"

    smart = Smart(
        store,
        KeyRing(settings.data / "keys", now),
        public_url,
        Ports(patients=PatientPicker(context_for), has_tenant=has_tenant, clock=now),
    )
    exporting = Exporting(settings.data / "exports", ours)
    inference = Inference(process, lambda tenant: ArchiveSource(archive, tenant), ours)
    later = deferred.Deferred(settings.data / "requests", store, context_for)
    uploaded = Uploaded(store, *meaning)
    index = parameter_index.ParameterIndex(store, uploaded, ours)
    reindex = reindexing.Reindexing(store, uploaded.extract, ours)
    kinds = {
        infer.KIND: Kind(inference.work, shown.given),
        export.KIND: exporting.kind(),
        deferred.KIND: later.kind(),
        parameter_index.KIND: index.kind(),
        reindexing.KIND: reindex.kind(),
    }
    runner = Runner(store, kinds, told, now, name=server_name(settings.data))
    status = Status(kinds, shown.show, runner.wake)
    directory = Directory(ours)
    issuers = Issuers(system=identifier_system, zone=zone_of(settings.default_zone))
    statements = declared_statements(settings, meaning[0])
    services = await _services(
        settings, meaning, store, (status, installed, runner.wake), statements
    )
    kept = _kept(settings, store)
    services = replace(services, defer=later.defer, store=kept, purge=kept.purge)
    house = Installation(
        settings=settings,
        public_url=public_url,
        services=services,
        tenants=TenantServices(services, uploaded, statements),
        statements=statements,
        uploaded=uploaded,
        reindexing=reindex,
        index=index,
        care=store,
        kept=kept,
        smart=smart,
        authorizer=OpenAuthorizer() if settings.auth == "open" else smart.authorizer,
        archive=archive,
        ingest=Ingest(
            archive,
            directory,
            directory.transact,
            issuers=issuers,
            address=dicomweb,
            now=lambda: instant(now()),
        ),
        visible=VisibleStudies(context_for),
        models=installed,
        process=process,
        exporting=exporting,
        deferred=later,
        runner=runner,
        listener=_listener(settings, store, ours),
        copied=store if isinstance(store, SqliteStore) else None,
    )
    return house


def _kept(settings: Settings, store: Adapter) -> OutOfLine:
    """Give the store with large contents beside it; in one of several machines they stay inside."""
    blobs = FileBlobs(settings.data / "blobs")
    if isinstance(store, SqliteStore):
        return OutOfLine(store, store, blobs)
    return OutOfLine(store, store, blobs, large=settings.max_body_bytes)


def _listener(
    settings: Settings, documents: Documents, ours: Callable[[str], Context]
) -> Listener | None:
    if settings.mllp_port is None:
        return None
    senders = Senders(default=Sender(zone=settings.default_zone))
    inbox = Inbox(documents, Interactions(ours), senders, clock=now)
    return Listener(settings.mllp_host, settings.mllp_port, inbox.receive)


def _children(house: Installation, store: Adapter) -> list[Child]:
    follower = Follower(store, store, house.ingest)

    async def sweep() -> None:
        while True:
            await store.sweep()
            await house.exporting.sweep()
            await house.deferred.sweep()
            await asyncio.sleep(_SWEEP_S)

    children = [
        Child("jobs", house.runner.run),
        Child("studies", follower.run),
        Child("search parameters", house.index.follow),
        Child("sweep", sweep),
    ]
    if house.listener is not None:
        children.append(Child("mllp", house.listener.run))
    return children


async def _services(
    settings: Settings,
    meaning: tuple[r4.Definitions, SearchParameters],
    store: Adapter,
    work: tuple[Status, InstalledModels, Callable[[], None]],
    statements: Statements,
) -> Services:
    definitions, parameters = meaning
    status, installed, wake = work
    found = {m.code: m for m in registry.discover(modifiers, Modifier, "fhir_server.modifiers")}
    routes = {operation.code: (operation.route(),) for operation in statements.declared}
    policy = Policy(
        lenient=settings.unknown_parameters == "lenient",
        refuse_unresolved=settings.unresolved_references == "refuse",
        refuse_dangling=settings.delete_referenced == "refuse",
        delete_several=settings.conditional_delete == "multiple",
        page_size=settings.page_size,
        page_limit=settings.page_limit,
    )
    return Services(
        store=store,
        documents=store,
        definitions=definitions,
        planner=Planner(parameters, found, definitions.resource_types),
        validator=Validator(definitions),
        paging=Paging(await secret(store, "paging")),
        clock=now,
        new_id=lambda: str(uuid.uuid4()),
        policy=policy,
        operations={**routes, PLACE: (status.route(),)},
        capabilities=statements.capabilities(),
        terminology=statements.terminology(),
        models=installed,
        wake=wake,
    )


async def secret(documents: Documents, name: str) -> bytes:
    """Give a secret of the installation, made once, by whichever process comes first."""
    while True:
        found = await documents.get(tenancy.DEFAULT, _SECRETS, name)
        if found is not None:
            return found.value
        made = secrets.token_bytes(32)
        await documents.put(tenancy.DEFAULT, _SECRETS, name, made, revision=0)
