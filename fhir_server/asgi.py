"""The ASGI application of an installation: every door on one port."""

import re
from collections.abc import Mapping

from msgspec import structs
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from dicomweb_bridge import routes as dicomweb
from fhir_server import tenancy
from fhir_server.access import Access, everything
from fhir_server.http import documentation, health, signing_in
from fhir_server.http.fhir import FhirDoor, Ports
from fhir_server.http.framing import EXPOSED, METHODS
from fhir_server.installation import Installation
from fhir_server.joints import SeriesPicture
from fhir_server.pages import ports as pages
from fhir_server.pages import routes as page_routes
from smart_auth import images
from smart_auth import routes as auth_routes

_ANY = re.compile(r".+")
_LOOPBACK = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
_TENANTS = ("", "/t/{tenant}")
_FHIR = ("/fhir", "/fhir/{path:path}")


def application(house: Installation) -> ASGIApp:
    """Give the ASGI application of an installation.

    Apps of any origin may call it with a token. Where no token is needed only pages of this machine may,
    or any page that someone opens could read the store.
    """
    origins = _LOOPBACK if house.settings.auth == "open" else _ANY
    door = FhirDoor(
        house.tenants.shelved,
        Ports(
            authorizer=house.within_limits(house.authorizer),
            tenants=house.has_tenant,
            base=house.base,
            contents=house.kept,
            over=house.tenants.over,
            metrics=house.metrics,
            spool=house.settings.data,
            max_body=house.settings.max_body_bytes,
            origins=origins,
            trail=house.audit.trail if house.audit else None,
        ),
    )
    routes: list[BaseRoute] = [
        *health.routes(house.health, house.metrics),
        *documentation.routes(lambda: house.statements.openapi(house.base(tenancy.DEFAULT))),
        *_auth(house),
        *(Route(prefix + path, door) for prefix in _TENANTS for path in _FHIR),
        *_dicomweb(house),
        *_pages(house),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origin_regex=origins.pattern,
        allow_methods=METHODS,
        allow_headers=["*"],
        expose_headers=(*EXPOSED, "Warning"),
    )
    return _Doors(door, Starlette(routes=routes, middleware=[cors]))


class _Doors:
    """Sends requests on the default tenant's FHIR base straight to their door, others through routes.

    The routes and the CORS middleware would cost a read more than the read itself; the door answers
    CORS on its own.
    """

    def __init__(self, door: FhirDoor, others: ASGIApp) -> None:
        self._door = door
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose the door by the path."""
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self._others(scope, receive, send)
            return
        path: str = scope["path"]
        if path.startswith("/fhir/") and not path.startswith("/fhir/."):
            scope["path_params"] = {"path": path[6:]}
            await self._door(scope, receive, send)
            return
        await self._others(scope, receive, send)


def _auth(house: Installation) -> list[BaseRoute]:
    configuration = auth_routes.smart_configuration(house.smart)
    place = "/fhir/.well-known/smart-configuration"
    if house.settings.auth == "open":
        return []
    routes = auth_routes.routes(house.smart)
    if house.audit is not None:
        routes = signing_in.audited(routes, house.audit.trail, house.smart.session)
    return [
        *routes,
        *(Route(prefix + place, configuration) for prefix in _TENANTS),
    ]


def _dicomweb(house: Installation) -> list[BaseRoute]:
    open_ = house.settings.auth == "open"
    bridge = dicomweb.Bridge(
        archive=house.archive,
        ingest=house.ingest,
        authorizer=house.within_limits(
            house.authorizer if open_ else images.ImageAuthorizer(house.smart)
        ),
        visible=house.visible,
        tenants=house.has_tenant,
        address=lambda tenant: f"{house.public_url}{tenancy.path(tenant)}/dicom-web",
        trail=house.audit.trail if house.audit else None,
    )
    routes = dicomweb.routes(bridge)
    if open_:
        return [Mount(f"{prefix}/dicom-web", routes=routes) for prefix in _TENANTS]
    by_link = structs.replace(
        bridge, authorizer=house.within_limits(images.link_authorizer(house.smart))
    )
    links = dicomweb.routes(by_link)
    renewing = images.Renewing(Router(routes=routes), house.smart)
    return [
        *(Mount(f"{prefix}/dicom-web/link/{{link}}", routes=links) for prefix in _TENANTS),
        *(Mount(f"{prefix}/dicom-web", app=renewing) for prefix in _TENANTS),
    ]


def _pages(house: Installation) -> list[BaseRoute]:
    open_ = house.settings.auth == "open"
    picture = SeriesPicture(house.archive, house.visible)

    async def session(headers: Mapping[str, str]) -> Access | None:
        if open_:
            return everything("anonymous")
        found = await house.smart.session(tenancy.DEFAULT, headers)
        if found is None or house.limits is None:
            return found
        return await house.limits.limited(tenancy.DEFAULT, found)

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
