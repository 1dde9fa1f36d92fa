"""Image tokens: what lets an unmodified viewer load pixels from /dicom-web.

A cookie of the same grant, for pictures that a page loads without headers, renewed by itself as long as the
grant lasts; and links, which show one study for a while to whoever has them. Both are signed by the keys of
the access tokens, carry the grant and fall with it, and allow reading images only.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import structs
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server import tenancy
from fhir_server.access import Access
from resources.outcome import Unauthorised
from smart_auth import forms, scopes
from smart_auth.access_token import AccessTokens, Claims, TokenKind
from smart_auth.authorizer import SmartAuthorizer, bearer
from smart_auth.clients import get_client
from smart_auth.jose import BadToken
from smart_auth.keys import KeyRing
from smart_auth.oauth_error import InvalidRequest, InvalidScope, InvalidToken
from smart_auth.realm import Realm
from smart_auth.records import now
from smart_auth.sessions import cookie
from smart_auth.smart import Smart

COOKIE = TokenKind("img+jwt", "dicom-web")
LINK = TokenKind("link+jwt", "dicom-web")
COOKIE_S = 900
LINK_S = 3_600
LONGEST_LINK_S = 7 * 24 * 3_600
_IMAGES = " ".join(f"{level}/ImagingStudy.rs" for level in ("patient", "user", "system"))
_UID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")


class ImageAuthorizer:
    """The access port of /dicom-web: a bearer token as anywhere, else the image cookie."""

    def __init__(self, smart: Smart) -> None:
        self._smart = smart
        self._cookies = _authorizer(smart, COOKIE)

    async def access(self, tenant: str, headers: Mapping[str, str]) -> Access:
        """Give the caller's access, by lower-case header names; raises Unauthorised."""
        held = None
        if "authorization" not in headers:
            held = cookie(headers, _name(self._smart.realm(tenant)))
        if held is None:
            return await self._smart.authorizer.access(tenant, headers)
        return await self._cookies.access(tenant, {"authorization": f"Bearer {held}"})


def link_authorizer(smart: Smart) -> SmartAuthorizer:
    """Give the access port of links, whose token is handed over as a bearer token."""
    return _authorizer(smart, LINK)


class Images:
    """Issues image cookies and links for bearers of access tokens."""

    def __init__(self, smart: Smart) -> None:
        self._smart = smart
        self._tokens = {kind: _tokens(smart.keys, smart.clock, kind) for kind in (COOKIE, LINK)}

    async def begin(self, realm: Realm, request: Request) -> Response:
        """Answer with the image cookie; the access token is a header or a form field (RFC 6750 §2)."""
        form = await _optional_form(request)
        claims = await self._claims(realm, request, form)
        response = JSONResponse({"expires_in": COOKIE_S}, headers={"Cache-Control": "no-store"})
        response.headers.append("Set-Cookie", self.cookie(realm, claims))
        client = await get_client(self._smart.documents, realm.tenant, claims.client_id)
        origin = request.headers.get("origin", "")
        if client is not None and origin in {_origin(uri) for uri in client.redirect_uris}:
            response.headers["Access-Control-Allow-Credentials"] = "true"
        return response

    async def link(self, realm: Realm, request: Request) -> Response:
        """Answer with a link to one study: a DICOMweb base URL of its own, good for so many seconds."""
        form = forms.once(await forms.body(request))
        claims = await self._claims(realm, request, form)
        study = form.get("study", "")
        seconds = form.get("seconds", str(LINK_S))
        if not _UID.fullmatch(study) or len(study) > 64:
            raise InvalidRequest("study is a Study Instance UID")
        if not seconds.isdigit() or not 0 < int(seconds) <= LONGEST_LINK_S:
            raise InvalidRequest(f"seconds is 1 to {LONGEST_LINK_S}")
        only = " ".join(
            f"{one}?identifier=urn:dicom:uid|urn:oid:{study}" for one in _IMAGES.split()
        )
        token = self._signed(LINK, realm, claims, only, int(seconds))
        base = f"{realm.images_url}/link/{token}"
        told = {"url": f"{base}/studies/{study}", "dicomweb": base, "expires_in": int(seconds)}
        return JSONResponse(told, headers={"Cache-Control": "no-store"})

    def cookie(self, realm: Realm, claims: Claims) -> str:
        """Give the Set-Cookie header of the image cookie for what a token allows."""
        value = self._signed(COOKIE, realm, claims, _IMAGES, COOKIE_S)
        place = f"{realm.path}/dicom-web"
        site = "SameSite=None; Secure; Partitioned" if realm.secure else "SameSite=Lax"
        return f"{_name(realm)}={value}; Path={place}; Max-Age={COOKIE_S}; HttpOnly; {site}"

    async def renewed(self, realm: Realm, headers: Mapping[str, str]) -> str | None:
        """Give the Set-Cookie header of a fresh cookie for one past half its life, while its grant lasts."""
        held = cookie(headers, _name(realm))
        if held is None or "authorization" in headers:
            return None
        try:
            claims = self._tokens[COOKIE].read(realm, held)
        except BadToken:
            return None
        time = self._smart.clock() // 1_000
        if time < claims.iat + COOKIE_S // 2 or time >= claims.until:
            return None
        session = claims.session and await self._smart.sessions.get(realm.tenant, claims.session)
        if claims.session and not session:
            return None
        return self.cookie(realm, claims)

    def _signed(
        self, kind: TokenKind, realm: Realm, claims: Claims, only: str, seconds: int
    ) -> str:
        allowed = scopes.parse(claims.scope).narrowed(scopes.parse(only))
        if not allowed.clinical:
            raise InvalidScope("The token does not allow reading imaging studies")
        time = self._smart.clock() // 1_000
        until = max(claims.exp, claims.until)
        changed = structs.replace(
            claims,
            scope=scopes.Scopes(allowed.clinical).text,
            aud=kind.audience(realm),
            iss=realm.issuer,
            iat=time,
            exp=min(time + seconds, until),
            until=until,
        )
        return self._tokens[kind].sign(changed)

    async def _claims(self, realm: Realm, request: Request, form: Mapping[str, str]) -> Claims:
        try:
            token = form.get("access_token") or bearer(request.headers)
            return await self._smart.authorizer.claims(realm.tenant, token)
        except (BadToken, Unauthorised):
            raise InvalidToken("An access token of this server is needed") from None


class Renewing:
    """Wraps /dicom-web: an answer to an ageing image cookie brings a fresh one."""

    def __init__(self, app: ASGIApp, smart: Smart) -> None:
        self._app = app
        self._smart = smart
        self._images = Images(smart)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and put the fresh cookie on a good answer."""
        headers = dict(Request(scope).headers) if scope["type"] == "http" else {}
        if "cookie" not in headers:
            await self._app(scope, receive, send)
            return
        tenant = scope.get("path_params", {}).get("tenant", tenancy.DEFAULT)

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                fresh = await self._images.renewed(self._smart.realm(tenant), headers)
                if fresh is not None:
                    MutableHeaders(scope=message).append("Set-Cookie", fresh)
            await send(message)

        await self._app(scope, receive, answered)


async def _optional_form(request: Request) -> Mapping[str, str]:
    if "content-type" not in request.headers:
        return {}
    return forms.once(await forms.body(request))


def _authorizer(smart: Smart, kind: TokenKind) -> SmartAuthorizer:
    tokens = _tokens(smart.keys, smart.clock, kind)
    return SmartAuthorizer(tokens, smart.revocations, smart.public_url, smart.clock)


def _tokens(
    keys: KeyRing, clock: Callable[[], int] = now, kind: TokenKind = COOKIE
) -> AccessTokens:
    return AccessTokens(keys, clock, kind)


def _name(realm: Realm) -> str:
    prefix = "__Secure-" if realm.secure else ""
    return f"{prefix}hounsfield-images-{realm.tenant}"


def _origin(uri: str) -> str:
    parts: Any = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
