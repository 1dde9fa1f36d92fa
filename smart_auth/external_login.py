"""Logging in at an OpenID provider outside: there with state, nonce and PKCE, and back with a code.

OpenID Connect Core §3.1, RFC 7636, RFC 9207 (the answer must name the issuer that was asked).
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import structlog
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from smart_auth import jose
from smart_auth.issuers import Issuer
from smart_auth.login import Login, local
from smart_auth.provider import Provider, ProviderFailed
from smart_auth.realm import Realm
from smart_auth.records import Records, digest, new_token
from smart_auth.smart import Smart

log = structlog.get_logger()
_OUTGOING_MS = 600_000


class Outgoing(Struct, frozen=True):
    """A browser that was sent to a provider, what must come back, and where it goes afterwards."""

    issuer: str
    nonce: str
    verifier: str
    following: str


class _Refused(Exception):
    """The login did not succeed; the sentence is for the user's eyes."""


class ExternalLogin:
    """Answers the two requests of a login at a provider, of one realm."""

    def __init__(self, smart: Smart, realm: Realm) -> None:
        self._smart = smart
        self._realm = realm
        self._outgoing = Records(smart.documents, "smart.outgoing", Outgoing)

    async def leave(self, request: Request) -> Response:
        """Send the browser to the provider that the path names."""
        provider = self._provider(request)
        if provider is None:
            return self._unknown()
        state, nonce, verifier = new_token(), new_token(), new_token()
        following = local(request.query_params.get("next", ""))
        sent = Outgoing(provider.issuer.name, nonce, verifier, following)
        until = self._smart.clock() + _OUTGOING_MS
        await self._outgoing.put(self._realm.tenant, digest(state), sent, expires=until)
        try:
            url = await provider.authorization_url(
                self._parameters(provider.issuer, state, nonce, verifier)
            )
        except ProviderFailed as fault:
            return self._failed(provider.issuer, str(fault))
        response = RedirectResponse(url, 303)
        response.headers.append(
            "Set-Cookie", self._smart.sessions.outgoing_cookie(self._realm, state)
        )
        return response

    async def arrive(self, request: Request) -> Response:
        """Answer a browser that comes back: a session for the person whom the provider vouches for."""
        provider = self._provider(request)
        if provider is None:
            return self._unknown()
        try:
            sent = await self._sent(request, provider.issuer)
            claims = await self._vouched(provider, sent, request.query_params.get("code", ""))
        except _Refused as refused:
            return self._failed(provider.issuer, str(refused))
        issuer = provider.issuer
        fhir_user = await self._smart.external.user(issuer, self._realm, claims)
        if fhir_user is None:
            return self._failed(issuer, "Nobody on this server stands for this account")
        user = await self._smart.users.arrived(
            self._realm.tenant, issuer.name, str(claims["sub"]), fhir_user, issuer.role
        )
        methods = claims.get("amr")
        known = tuple(str(one) for one in methods) if isinstance(methods, list) else ()
        return await Login(self._smart, self._realm).begin(user, sent.following, known)

    def _provider(self, request: Request) -> Provider | None:
        return self._smart.external.provider(self._realm.tenant, request.path_params["issuer"])

    def _callback(self, issuer: Issuer) -> str:
        return self._realm.url(f"external/{issuer.name}/callback")

    def _parameters(
        self, issuer: Issuer, state: str, nonce: str, verifier: str
    ) -> Mapping[str, str]:
        hashed = hashlib.sha256(verifier.encode()).digest()
        parameters = {
            "response_type": "code",
            "client_id": issuer.client_id,
            "redirect_uri": self._callback(issuer),
            "scope": issuer.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(hashed).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return parameters | ({"aud": issuer.fhir_url} if issuer.fhir_url else {})

    async def _sent(self, request: Request, issuer: Issuer) -> Outgoing:
        """Give what the browser was sent with, once; raises _Refused for an answer to nobody's question."""
        state = request.query_params.get("state", "")
        held = self._smart.sessions.outgoing(self._realm, request.headers) or ""
        tenant = self._realm.tenant
        same = hmac.compare_digest(state.encode("utf-8", "replace"), held.encode())
        found = await self._outgoing.get(tenant, digest(state)) if state and same else None
        if found is None or not await self._outgoing.delete(tenant, digest(state)):
            raise _Refused("The login was open for too long, or began in another browser")
        named = request.query_params.get("iss", issuer.url)
        if found.value.issuer != issuer.name or named != issuer.url:
            raise _Refused("The answer is of another provider than the one that was asked")
        if "error" in request.query_params:
            raise _Refused("The provider did not log you in")
        return found.value

    async def _vouched(self, provider: Provider, sent: Outgoing, code: str) -> Mapping[str, Any]:
        """Give the claims of the ID token for a code; raises _Refused (OpenID Connect Core §3.1.3.7)."""
        try:
            told = await provider.exchange(code, self._callback(provider.issuer), sent.verifier)
            claims = await provider.claims(str(told.get("id_token", "")))
        except (ProviderFailed, jose.BadToken):
            raise _Refused("The provider's answer does not hold") from None
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        ours = provider.issuer.client_id
        if ours not in named or (len(named) > 1 and claims.get("azp") != ours):
            raise _Refused("The provider's answer is for another server")
        if claims.get("nonce") != sent.nonce or not claims.get("sub"):
            raise _Refused("The provider's answer is to another question")
        return claims

    def _failed(self, issuer: Issuer, reason: str) -> Response:
        log.warning("external login refused", issuer=issuer.name, reason=reason)
        return self._smart.pages.message("You are not logged in", f"{reason}.", 403)

    def _unknown(self) -> Response:
        return self._smart.pages.message("Nothing here", "There is no such provider.", 404)
