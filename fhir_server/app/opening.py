"""An installation is built, opened in order, and closed in the reverse order."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from msgspec.structs import replace

from ai_observations import registry as models
from ai_observations.inference import InstalledModels
from ai_observations.process import InferenceProcess
from dicomweb_bridge.archive.local import LocalArchive
from fhir_server.access import Access
from fhir_server.app import edges, folder, interactions, stores, trail
from fhir_server.app.interactions import Meaning
from fhir_server.app.stores import Adapter
from fhir_server.app.work import Contexts, work
from fhir_server.context import Context, Services
from fhir_server.installation import Installation
from fhir_server.jobs.uploaded import Uploaded
from fhir_server.joints import VisibleStudies
from fhir_server.search.parameters import SearchParameters
from fhir_server.settings import Settings, SettingsError
from fhir_server.statements import declared_statements
from fhir_server.supervision import Child
from fhir_server.tenant_services import TenantServices
from resources import definitions as r4
from smart_auth.open import OpenAuthorizer


@asynccontextmanager
async def installation(
    settings: Settings, public_url: str, *, serving: bool = False, leading: bool = True
) -> AsyncIterator[Installation]:
    """Build and open everything for the settings; closes it at the end, children first. Raises SettingsError.

    `serving` also builds the children that only a server has; one process a data folder serves. Of
    several processes that answer together only the `leading` one has them.
    """
    if settings.archive != "local":
        raise SettingsError("archive: this version keeps images in its own archive only (local)")
    folder.usable(settings.data)
    definitions = r4.load()
    parameters = SearchParameters(definitions)
    meaning = Meaning(definitions, parameters, declared_statements(settings, definitions))
    async with AsyncExitStack() as stack:
        store = stores.chosen(settings, parameters)
        await store.open()
        stack.push_async_callback(store.close)
        archive = LocalArchive(settings.data / "archive", writable=serving)
        if serving:
            await archive.open()
            stack.push_async_callback(archive.close)
        house = await _house(settings, public_url.rstrip("/"), meaning, store, archive)
        stack.push_async_callback(house.process.close)
        if house.audit is not None:
            stack.push_async_callback(house.audit.close)
        await house.uploaded.look()
        watch = Child("uploaded", house.uploaded.watch)
        watch.start()
        stack.push_async_callback(watch.stop)
        if serving and leading:
            await house.reindexing.catch_up()
            house.children.extend(edges.children(house, store))
        for child in house.children:
            stack.push_async_callback(child.stop)
        yield house


async def _house(
    settings: Settings, public_url: str, meaning: Meaning, store: Adapter, archive: LocalArchive
) -> Installation:
    """Put the parts together; features meet here, through the Protocols that their users own."""
    cache = models.default_cache()
    installed, process = InstalledModels(cache), InferenceProcess(cache)

    def ours(tenant: str) -> Context:
        return house.ours(tenant)

    def context_for(tenant: str, access: Access) -> Context:
        return house.context(tenant, access)

    uploaded = Uploaded(store, meaning.definitions, meaning.parameters)
    smart = edges.smart(settings, store, public_url, (context_for, ours))
    audit = trail.auditing(settings, store, smart.keys, public_url, ours)
    contexts = Contexts(ours, context_for, partial(trail.job, audit))
    made = work(settings, store, contexts, uploaded, (archive, process))
    kept = stores.kept(settings, store)
    services = await interactions.services(settings, meaning, store, kept, (made, installed))
    services = replace(services, audit=audit.trail if audit else None)
    open_ = settings.auth == "open"
    house = Installation(
        settings=settings,
        public_url=public_url,
        services=services,
        tenants=_tenants(services, uploaded, meaning, lambda tenant: house.base(tenant)),  # noqa: PLW0108 - no house yet
        statements=meaning.statements,
        uploaded=uploaded,
        reindexing=made.reindexing,
        index=made.index,
        care=store,
        kept=kept,
        smart=smart,
        authorizer=OpenAuthorizer() if open_ else smart.authorizer,
        limits=None if open_ else edges.limits(settings, store, ours),
        archive=archive,
        ingest=edges.ingest(settings, archive, public_url, ours),
        visible=VisibleStudies(context_for),
        models=installed,
        process=process,
        exporting=made.exporting,
        deferred=made.deferred,
        runner=made.runner,
        listener=edges.listener(settings, store, ours, audit),
        audit=audit,
        copied=store,
    )
    return house


def _tenants(
    services: Services, uploaded: Uploaded, meaning: Meaning, base: Callable[[str], str]
) -> TenantServices:
    """Give the services of each tenant: ours, with what it has uploaded and what is on our own shelf."""
    shelf = stores.shelf(meaning.parameters, meaning.statements)
    return TenantServices(services, uploaded, meaning.statements, shelf, base)
