"""The routes under /auth and the discovery documents, for the default tenant and each other one.

RFC 6749, RFC 7009, RFC 7662, OpenID Connect Core and Discovery, SMART App Launch 2.2.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhir_server import tenancy
from resources.outcome import Unauthorised
from smart_auth import forms, metadata
from smart_auth.authorizer import bearer
from smart_auth.browser import Browser
from smart_auth.jose import BadToken
from smart_auth.oauth_error import InvalidClient, OAuthError
from smart_auth.realm import Realm
from smart_auth.smart import Smart

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

Answer = Callable[[Request], Awaitable[Response]]
FormAnswer = Callable[[Realm, Mapping[str, str], Mapping[str, str]], Awaitable[Any]]


def routes(smart: Smart) -> list[Route]:
    """Give the routes of the authorisation server; the composition root mounts them at the root."""
    places: list[tuple[str, str, Answer]] = [
        ("/.well-known/openid-configuration", "GET", _openid_configuration(smart)),
        ("/auth/jwks", "GET", _jwks(smart)),
        ("/auth/token", "POST", _form(smart, smart.tokens.answer)),
        ("/auth/introspect", "POST", _form(smart, smart.introspection.introspect)),
        ("/auth/revoke", "POST", _form(smart, smart.introspection.revoke)),
        ("/auth/userinfo", "GET POST", _userinfo(smart)),
        ("/auth/authorize", "GET POST", _page(smart, Browser.authorize)),
        ("/auth/consent", "POST", _page(smart, Browser.decide)),
        ("/auth/login", "GET", _page(smart, Browser.login_page)),
        ("/auth/login", "POST", _page(smart, Browser.login)),
        ("/auth/logout", "GET", _page(smart, Browser.logout_page)),
        ("/auth/logout", "POST", _page(smart, Browser.logout)),
    ]
    return [
        Route(prefix + path, answer, methods=methods.split())
        for prefix in ("", "/t/{tenant}")
        for path, methods, answer in places
    ]


def smart_configuration(smart: Smart) -> Answer:
    """Give what answers [base]/.well-known/smart-configuration; the tenant is the path's."""

    async def answer(request: Request) -> Response:
        realm = await _realm(smart, request)
        return JSONResponse(metadata.smart_configuration(realm)) if realm else _absent()

    return answer


def _openid_configuration(smart: Smart) -> Answer:
    async def answer(request: Request) -> Response:
        realm = await _realm(smart, request)
        return JSONResponse(metadata.openid_configuration(realm)) if realm else _absent()

    return answer


def _jwks(smart: Smart) -> Answer:
    async def answer(request: Request) -> Response:
        del request
        return JSONResponse(smart.keys.jwks(), headers={"Cache-Control": "max-age=300"})

    return answer


def _form(smart: Smart, take: FormAnswer) -> Answer:
    """Give what answers a form from a client: JSON, an OAuth error, or nothing."""

    async def answer(request: Request) -> Response:
        realm = await _realm(smart, request)
        if realm is None:
            return _absent()
        try:
            form = forms.once(await forms.body(request))
            told = await take(realm, form, request.headers)
        except OAuthError as error:
            return _error(error, request)
        return JSONResponse(told, headers=_NO_STORE) if told is not None else Response()

    return answer


def _userinfo(smart: Smart) -> Answer:
    """Give what answers OpenID Connect Core §5.3."""

    async def answer(request: Request) -> Response:
        realm = await _realm(smart, request)
        if realm is None:
            return _absent()
        try:
            claims = await smart.authorizer.claims(realm.tenant, bearer(request.headers))
        except (BadToken, Unauthorised):
            return _challenge("invalid_token", 401)
        words = claims.scope.split()
        if "openid" not in words:
            return _challenge("insufficient_scope", 403)
        told = {"sub": claims.sub}
        if "fhirUser" in words and claims.fhir_user:
            told["fhirUser"] = f"{realm.fhir_url}/{claims.fhir_user}"
        return JSONResponse(told, headers=_NO_STORE)

    return answer


def _page(smart: Smart, show: Callable[[Browser, Request], Awaitable[Response]]) -> Answer:
    async def answer(request: Request) -> Response:
        realm = await _realm(smart, request)
        return await show(Browser(smart, realm), request) if realm else _absent()

    return answer


async def _realm(smart: Smart, request: Request) -> Realm | None:
    """Give the realm of the path, if there is one; the default tenant has one address only."""
    tenant = request.path_params.get("tenant", tenancy.DEFAULT)
    if "tenant" in request.path_params and tenant == tenancy.DEFAULT:
        return None
    known = tenancy.well_formed(tenant) and await smart.has_tenant(tenant)
    return smart.realm(tenant) if known else None


def _absent() -> Response:
    return JSONResponse({"error": "not_found"}, 404)


def _error(error: OAuthError, request: Request) -> Response:
    headers = dict(_NO_STORE)
    if isinstance(error, InvalidClient) and "authorization" in request.headers:
        headers["WWW-Authenticate"] = 'Basic realm="hounsfield"'
    return JSONResponse(error.json(), error.status, headers=headers)


def _challenge(error: str, status: int) -> Response:
    return Response(status_code=status, headers={"WWW-Authenticate": f'Bearer error="{error}"'})
