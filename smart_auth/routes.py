"""The routes under /auth and the discovery documents, for the default tenant and each other one.

RFC 6749, RFC 7009, RFC 7662, OpenID Connect Core and Discovery, SMART App Launch 2.2.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhir_server import tenancy
from resources.outcome import Unauthorised
from smart_auth import forms, metadata
from smart_auth.apps import Apps
from smart_auth.authorizer import bearer
from smart_auth.browser import Browser
from smart_auth.enrolment import Enrolment
from smart_auth.external_login import ExternalLogin
from smart_auth.images import Images
from smart_auth.jose import BadToken
from smart_auth.login import Login
from smart_auth.metadata import STYLE
from smart_auth.oauth_error import InvalidClient, InvalidToken, OAuthError, SlowDown
from smart_auth.realm import Realm
from smart_auth.simulator import Simulator
from smart_auth.smart import Smart

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

P = TypeVar("P")
Answer = Callable[[Request], Awaitable[Response]]
FormAnswer = Callable[[Realm, Mapping[str, str], Mapping[str, str]], Awaitable[Any]]


def routes(smart: Smart) -> list[Route]:
    """Give the routes of the authorisation server; the composition root mounts them at the root."""
    images = Images(smart)
    places: list[tuple[str, str, Answer]] = [
        ("/.well-known/openid-configuration", "GET", _openid_configuration(smart)),
        ("/auth/jwks", "GET", _jwks(smart)),
        ("/auth/token", "POST", _form(smart, smart.tokens.answer)),
        ("/auth/introspect", "POST", _form(smart, smart.introspection.introspect)),
        ("/auth/revoke", "POST", _form(smart, smart.introspection.revoke)),
        ("/auth/launch", "POST", _form(smart, smart.launching.answer)),
        ("/auth/register", "POST", _register(smart)),
        ("/auth/style", "GET", _style),
        ("/auth/image-session", "POST", _image(smart, images.begin)),
        ("/auth/study-link", "POST", _image(smart, images.link)),
        ("/auth/userinfo", "GET POST", _userinfo(smart)),
        ("/auth/authorize", "GET POST", _page(smart, Browser, Browser.authorize)),
        ("/auth/consent", "POST", _page(smart, Browser, Browser.decide)),
        ("/auth/login", "GET", _page(smart, Login, Login.page)),
        ("/auth/login", "POST", _page(smart, Login, Login.submit)),
        ("/auth/login/code", "POST", _page(smart, Login, Login.code)),
        ("/auth/logout", "GET", _page(smart, Login, Login.logout_page)),
        ("/auth/logout", "POST", _page(smart, Login, Login.logout)),
        ("/auth/apps", "GET POST", _page(smart, Apps, Apps.answer)),
        ("/auth/second-factor", "GET POST", _page(smart, Enrolment, Enrolment.answer)),
        ("/auth/external/{issuer}", "GET", _page(smart, ExternalLogin, ExternalLogin.leave)),
        (
            "/auth/external/{issuer}/callback",
            "GET",
            _page(smart, ExternalLogin, ExternalLogin.arrive),
        ),
    ]
    if smart.policy.simulator:
        places.append(("/auth/simulator", "GET POST", _page(smart, Simulator, Simulator.answer)))
    return [
        Route(prefix + path, answer, methods=methods.split())
        for prefix in ("", "/t/{tenant}")
        for path, methods, answer in places
    ]


def smart_configuration(smart: Smart) -> Answer:
    """Give what answers [base]/.well-known/smart-configuration; the tenant is the path's."""

    async def answer(request: Request) -> Response:
        realm = await _realm(smart, request)
        return (
            _asked_again(metadata.smart_configuration(realm, smart.policy)) if realm else _absent()
        )

    return answer


def _openid_configuration(smart: Smart) -> Answer:
    async def answer(request: Request) -> Response:
        realm = await _realm(smart, request)
        return (
            _asked_again(metadata.openid_configuration(realm, smart.policy)) if realm else _absent()
        )

    return answer


def _jwks(smart: Smart) -> Answer:
    async def answer(request: Request) -> Response:
        del request
        return JSONResponse(smart.keys.jwks(), headers={"Cache-Control": "max-age=300"})

    return answer


def _form(smart: Smart, take: FormAnswer) -> Answer:
    """Give what answers a form from a client: JSON, an OAuth error, or nothing."""

    async def answer(request: Request) -> Response:
        """Answer one form; a client that fails to prove itself counts against its address."""
        realm = await _realm(smart, request)
        if realm is None:
            return _absent()
        address = request.client.host if request.client else ""
        try:
            if smart.failures.too_many(address):
                raise SlowDown("There were too many failures from this address")
            form = forms.once(await forms.body(request))
            told = await take(realm, form, request.headers)
        except OAuthError as error:
            if isinstance(error, InvalidClient):
                smart.failures.count(address)
            return _error(error, request)
        return JSONResponse(told, headers=_NO_STORE) if told is not None else Response()

    return answer


def _userinfo(smart: Smart) -> Answer:
    """Give what answers OpenID Connect Core §5.3."""

    async def answer(request: Request) -> Response:
        """Give the claims of the user to a token with the scope openid."""
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


def _page(
    smart: Smart,
    pages: Callable[[Smart, Realm], P],
    show: Callable[[P, Request], Awaitable[Response]],
) -> Answer:
    """Give what answers a person's browser."""

    async def answer(request: Request) -> Response:
        realm = await _realm(smart, request)
        return await show(pages(smart, realm), request) if realm else _absent()

    return answer


def _image(smart: Smart, take: Callable[[Realm, Request], Awaitable[Response]]) -> Answer:
    """Give what answers the bearer of an access token who asks for an image token."""

    async def answer(request: Request) -> Response:
        realm = await _realm(smart, request)
        try:
            return await take(realm, request) if realm else _absent()
        except OAuthError as error:
            return _error(error, request)

    return answer


def _register(smart: Smart) -> Answer:
    """Give what answers a client that registers itself (RFC 7591 §3)."""

    async def answer(request: Request) -> Response:
        """Register one client; an initial access token, where there is one, must be good."""
        realm = await _realm(smart, request)
        if realm is None:
            return _absent()
        try:
            body = await forms.bounded(request)
            token = bearer(request.headers) if "authorization" in request.headers else None
            told = await smart.registration.register(realm, body, token)
        except Unauthorised:
            return _challenge("invalid_token", 401)
        except OAuthError as error:
            return _error(error, request)
        return JSONResponse(told, 201, headers=_NO_STORE)

    return answer


async def _style(request: Request) -> Response:
    """Answer with the look of our pages (SMART App Launch 2.2, Styling)."""
    del request
    return JSONResponse(STYLE, headers={"Cache-Control": "max-age=3600"})


async def _realm(smart: Smart, request: Request) -> Realm | None:
    """Give the realm of the path, if there is one; the default tenant has one address only."""
    tenant = request.path_params.get("tenant", tenancy.DEFAULT)
    if "tenant" in request.path_params and tenant == tenancy.DEFAULT:
        return None
    known = tenancy.well_formed(tenant) and await smart.has_tenant(tenant)
    return smart.realm(tenant) if known else None


def _asked_again(told: Mapping[str, Any]) -> Response:
    """Answer with what is for everyone: it may be kept, and is asked for again before it is used."""
    return JSONResponse(told, headers={"Cache-Control": "no-cache"})


def _absent() -> Response:
    return JSONResponse({"error": "not_found"}, 404)


def _error(error: OAuthError, request: Request) -> Response:
    headers = dict(_NO_STORE)
    if isinstance(error, SlowDown):
        headers["Retry-After"] = "300"
    if isinstance(error, InvalidToken):
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    if isinstance(error, InvalidClient) and "authorization" in request.headers:
        headers["WWW-Authenticate"] = 'Basic realm="hounsfield"'
    return JSONResponse(error.json(), error.status, headers=headers)


def _challenge(error: str, status: int) -> Response:
    return Response(status_code=status, headers={"WWW-Authenticate": f'Bearer error="{error}"'})
