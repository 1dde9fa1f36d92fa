"""The authorisation server's routes tell the audit trail: logins, launches, tokens (IHE IUA, BALP)."""

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fhir_server import tenancy
from fhir_server.access import Access
from fhir_server.audit.trail import Trail

Session = Callable[[str, Mapping[str, str]], Awaitable[Access | None]]
"""Gives who is logged in in the browser of a request to a tenant."""
Answer = Callable[[Request], Awaitable[Response]]

_LARGEST = 65_536
_SHOWN = ("grant_type", "scope", "token_type_hint", "patient", "decision", "intent")
"""What of a form the trail keeps: nothing that opens anything."""
_LOGINS = ("login", "external")
_LAUNCHES = ("launch", "apps", "simulator")
_OF_A_SESSION = frozenset({"consent", "logout", "launch"})


class _Claims(msgspec.Struct):
    """What of an access token says whose it is."""

    sub: str = ""
    client_id: str = ""
    fhirUser: str = ""  # noqa: N815 - SMART's name
    patient: str = ""
    scope: str = ""


class _Token(msgspec.Struct):
    access_token: str = ""


def audited(routes: Sequence[Route], trail: Trail, session: Session) -> list[Route]:
    """Give the routes, each telling what it answered; pages that are only looked at are not told."""
    return [
        Route(route.path, _told(route, trail, session), methods=sorted(route.methods or ()))
        for route in routes
    ]


def _told(route: Route, trail: Trail, session: Session) -> Answer:
    answer: Answer = route.endpoint
    act = _act(route.path)

    async def told(request: Request) -> Response:
        """Answer one request, and give the trail who did what, without any secret of the form."""
        if not _worth(act, request):
            return await answer(request)
        form = await _form(request)
        tenant = request.path_params.get("tenant", tenancy.DEFAULT)
        who = None
        if act in _OF_A_SESSION and tenancy.well_formed(tenant):
            who = await session(tenant, request.headers)
        response = await answer(request)
        if act == "login" and tenancy.well_formed(tenant):
            who = await _arrived(tenant, session, response)
        status = 200 if response.status_code in {302, 303} else response.status_code
        claims = _claims(response) if act == "token" else _Claims()
        trail.event(
            tenant,
            "auth",
            act,
            status,
            who,
            subject=claims.sub or form.get("name", "") or (who.subject if who else ""),
            client=claims.client_id or form.get("client_id", "") or _basic(request),
            user=claims.fhirUser or ((who.fhir_user or "") if who else ""),
            address=request.client.host if request.client else "",
            path=f"auth/{route.path.rpartition('/auth/')[2]}",
            what=[f"Patient/{claims.patient}"] if claims.patient else (),
            query=[(name, form[name]) for name in _SHOWN if name in form],
            note=claims.scope,
        )
        return response

    return told


async def _arrived(tenant: str, session: Session, response: Response) -> Access | None:
    """Give who has just logged in, by the cookies that the answer sets."""
    cookies = [one.partition(";")[0] for one in response.headers.getlist("set-cookie")]
    return await session(tenant, {"cookie": "; ".join(cookies)}) if cookies else None


def _act(path: str) -> str:
    """Name what a route does by its place: login and what belongs to it, token, logout, launch …"""
    first = path.rpartition("/auth/")[2].split("/")[0]
    if first in _LOGINS:
        return "login"
    return "launch" if first in _LAUNCHES else first


def _worth(act: str, request: Request) -> bool:
    """Tell whether a request is an act: every POST is, and the way back from an external provider."""
    if request.method == "POST":
        return act not in {"jwks", "userinfo", "authorize"}
    return act == "login" and "code" in request.query_params


async def _form(request: Request) -> Mapping[str, str]:
    """Read a modest form, which stays readable for the route itself; a larger one is left to it."""
    length = request.headers.get("content-length", "")
    kind = request.headers.get("content-type", "")
    if not length.isdigit() or int(length) > _LARGEST or "form" not in kind:
        return {}
    text = (await request.body()).decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True))


def _claims(response: Response) -> _Claims:
    """Give what a token that was just issued says."""
    try:
        token = msgspec.json.decode(bytes(response.body), type=_Token).access_token
        middle = token.split(".")[1] if token.count(".") == 2 else ""
        padded = middle + "=" * (-len(middle) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=_Claims)
    except (msgspec.DecodeError, ValueError):
        return _Claims()


def _basic(request: Request) -> str:
    """Give the client's name of HTTP Basic authentication, empty without it."""
    scheme, _, coded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded).decode().partition(":")[0]
    except ValueError:
        return ""
