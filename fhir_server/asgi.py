"""The ASGI application of an installation: every door on one port."""

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Mount, Route

from dicomweb_bridge import routes as dicomweb
from fhir_server import tenancy
from fhir_server.access import Access, everything
from fhir_server.app import Installation
from fhir_server.http import health
from fhir_server.http.fhir import FhirDoor
from fhir_server.joints import SeriesPicture
from fhir_server.pages import ports as pages
from fhir_server.pages import routes as page_routes
from smart_auth import routes as auth_routes

_EXPOSED = ("ETag", "Last-Modified", "Location", "Content-Location", "X-Request-Id", "X-Progress")
_TENANTS = ("", "/t/{tenant}")
_FHIR = ("/fhir", "/fhir/{path:path}")


def application(house: Installation) -> Starlette:
    """Give the ASGI application of an installation."""
    routes: list[BaseRoute] = [
        *health.routes(house.health, house.metrics),
        *_auth(house),
        *_fhir(house),
        *_dicomweb(house),
        *_pages(house),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=_EXPOSED,
    )
    return Starlette(routes=routes, middleware=[cors])


def _auth(house: Installation) -> list[BaseRoute]:
    configuration = auth_routes.smart_configuration(house.smart)
    place = "/fhir/.well-known/smart-configuration"
    if house.settings.auth == "open":
        return []
    return [
        *auth_routes.routes(house.smart),
        *(Route(prefix + place, configuration) for prefix in _TENANTS),
    ]


def _fhir(house: Installation) -> list[BaseRoute]:
    door = FhirDoor(
        house.services,
        house.authorizer,
        house.has_tenant,
        house.base,
        metrics=house.metrics,
        max_body=house.settings.max_body_bytes,
    )
    return [Route(prefix + path, door) for prefix in _TENANTS for path in _FHIR]


def _dicomweb(house: Installation) -> list[BaseRoute]:
    bridge = dicomweb.Bridge(
        archive=house.archive,
        ingest=house.ingest,
        authorizer=house.authorizer,
        visible=house.visible,
        tenants=house.has_tenant,
        address=lambda tenant: f"{house.public_url}{tenancy.path(tenant)}/dicom-web",
    )
    routes = dicomweb.routes(bridge)
    return [Mount(f"{prefix}/dicom-web", routes=routes) for prefix in _TENANTS]


def _pages(house: Installation) -> list[BaseRoute]:
    open_ = house.settings.auth == "open"
    picture = SeriesPicture(house.archive, house.visible)

    async def session(headers: Mapping[str, str]) -> Access | None:
        if open_:
            return everything("anonymous")
        return await house.smart.session(tenancy.DEFAULT, headers)

    async def render(access: Access, study: str, series: str, side: int) -> bytes | None:
        return await picture(tenancy.DEFAULT, access, study, series, side)

    return page_routes.routes(
        pages.Ports(
            context_for=lambda access: house.context(tenancy.DEFAULT, access),
            session=session,
            health=house.health,
            models=house.models.states,
            render=render,
            login=None if open_ else "/auth/login",
        )
    )
