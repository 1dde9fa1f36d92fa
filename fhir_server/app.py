"""The composition root: settings to services to the ASGI application. The one module that knows all."""

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route

from conformance.capability_statement import Offered, capability_statement
from conformance.validate import Validator
from fhir_server import registry, tenancy
from fhir_server.access import Authorizer, everything
from fhir_server.context import Context, Policy, Services
from fhir_server.http import health
from fhir_server.http.fhir import FhirDoor
from fhir_server.http.metrics import Metrics
from fhir_server.interactions import offered
from fhir_server.search import modifiers
from fhir_server.search.modifier import Modifier
from fhir_server.search.paging import Paging
from fhir_server.search.parameters import SearchParameters
from fhir_server.search.plan import Planner
from fhir_server.settings import Settings, SettingsError
from fhir_server.store.port import Care, Documents
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.supervision import Child
from resources import definitions as r4
from resources.model import serialise
from smart_auth.open import OpenAuthorizer

VERSION = "0.1.0"
_SECRETS = "secrets"
_EXPOSED = ("ETag", "Last-Modified", "Location", "Content-Location", "X-Request-Id", "X-Progress")


@dataclass(slots=True)
class Installation:
    """All that runs: what the edges and the commands are given."""

    settings: Settings
    public_url: str
    services: Services
    care: Care
    authorizer: Authorizer
    metrics: Metrics
    children: list[Child] = field(default_factory=list)
    checks: dict[str, health.Check] = field(default_factory=dict)

    def base(self, tenant: str) -> str:
        """Give the FHIR base URL of a tenant."""
        return f"{self.public_url}{tenancy.path(tenant)}/fhir"

    def ours(self, tenant: str, subject: str) -> Context:
        """Give the context of one of our own edges: full access, and no version where nothing changes."""
        access = everything(subject)
        return Context(tenant, access, self.base(tenant), self.services, keep_unchanged=True)

    async def has_tenant(self, name: str) -> bool:
        """Tell whether a tenant is registered; the default one always is."""
        if name == tenancy.DEFAULT:
            return True
        found = await self.services.documents.get(tenancy.DEFAULT, tenancy.TENANTS, name)
        return found is not None

    async def started(self) -> None:
        """Start the children; they are supervised from now on."""
        for child in self.children:
            child.start()


def now() -> int:
    """Give milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def installation(settings: Settings, public_url: str) -> AsyncIterator[Installation]:
    """Build and open everything for the settings; closes it at the end, children first."""
    settings.data.mkdir(parents=True, exist_ok=True)
    definitions = r4.load()
    parameters = SearchParameters(definitions)
    store = _store(settings, parameters)
    await store.open()
    try:
        services = await _services(settings, definitions, parameters, store)
        house = Installation(settings, public_url, services, store, OpenAuthorizer(), Metrics())
        house.checks["store"] = _check(store)
        try:
            yield house
        finally:
            for child in reversed(house.children):
                await child.stop()
    finally:
        await store.close()


def _store(settings: Settings, parameters: SearchParameters) -> SqliteStore:
    """Give the store that the settings name, not yet opened."""
    scheme, _, path = settings.store_url.partition(":///")
    if scheme != "sqlite":
        raise SettingsError("store: this version keeps resources in SQLite only (sqlite:///FILE)")
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)

    def clinical(type_: str) -> str | None:
        atom = parameters.clinical(type_)
        return atom.name if atom else None

    return SqliteStore(file, clock=now, clinical=clinical)


async def _services(
    settings: Settings,
    definitions: r4.Definitions,
    parameters: SearchParameters,
    store: SqliteStore,
) -> Services:
    found = {m.code: m for m in registry.discover(modifiers, Modifier, "fhir_server.modifiers")}
    policy = Policy(
        lenient=settings.unknown_parameters == "lenient",
        refuse_unresolved=settings.unresolved_references == "refuse",
        refuse_dangling=settings.delete_referenced == "refuse",
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
        capabilities=_capabilities(definitions, policy),
    )


async def secret(documents: Documents, name: str) -> bytes:
    """Give a secret of the installation, made once, by whichever process comes first."""
    while True:
        found = await documents.get(tenancy.DEFAULT, _SECRETS, name)
        if found is not None:
            return found.value
        made = secrets.token_bytes(32)
        await documents.put(tenancy.DEFAULT, _SECRETS, name, made, revision=0)


def _capabilities(definitions: r4.Definitions, policy: Policy) -> Callable[[str], bytes]:
    """Give what answers /metadata: built once for a base and kept."""
    built: dict[str, bytes] = {}

    def capabilities(base: str) -> bytes:
        if base not in built:
            offers = Offered(
                type_interactions=offered.TYPE_INTERACTIONS,
                system_interactions=offered.SYSTEM_INTERACTIONS,
                conditionals=offered.CONDITIONALS,
                parameter_types=offered.PARAMETER_TYPES,
                lenient=policy.lenient,
            )
            date = time.strftime("%Y-%m-%d", time.gmtime())
            built[base] = serialise(
                capability_statement(definitions, offers, base=base, version=VERSION, date=date)
            )
        return built[base]

    return capabilities


def _check(store: SqliteStore) -> health.Check:
    async def check() -> str:
        await asyncio.wait_for(store.position(), 2)
        return "ok"

    return check


def asgi(house: Installation) -> Starlette:
    """Give the ASGI application of an installation."""
    door = FhirDoor(
        house.services,
        house.authorizer,
        house.has_tenant,
        house.base,
        metrics=house.metrics,
        max_body=house.settings.max_body_bytes,
    )
    checks = {**house.checks, **{child.name: child.state for child in house.children}}
    routes: list[BaseRoute] = [
        *health.routes(checks, house.metrics),
        *(Route(f"{prefix}{path}", door) for prefix in ("", "/t/{tenant}") for path in _FHIR_PATHS),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=_EXPOSED,
    )
    return Starlette(routes=routes, middleware=[cors])


_FHIR_PATHS = ("/fhir", "/fhir/{path:path}")
