"""The token request: authorization_code, refresh_token and client_credentials (RFC 6749 §4-6, RFC 7523)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from smart_auth import jose, scopes
from smart_auth.access_token import AccessTokens, new_claims
from smart_auth.client_authentication import ClientAuthentication
from smart_auth.clients import Client
from smart_auth.grant import Granted, Grants
from smart_auth.keys import ALGORITHM, KeyRing
from smart_auth.oauth_error import (
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from smart_auth.realm import Realm
from smart_auth.records import now
from smart_auth.sessions import Sessions

ACCESS_S = 3_600
BACKEND_S = 300
OFFLINE_MS = 90 * 24 * 3_600 * 1_000

Form = Mapping[str, str]
Answer = dict[str, Any]


class Tokens:
    """Answers token requests."""

    def __init__(
        self,
        clients: ClientAuthentication,
        grants: Grants,
        sessions: Sessions,
        keys: KeyRing,
        clock: Callable[[], int] = now,
    ) -> None:
        self._clients = clients
        self._grants = grants
        self._sessions = sessions
        self._keys = keys
        self._signer = AccessTokens(keys, clock)
        self._clock = clock

    async def answer(self, realm: Realm, form: Form, headers: Mapping[str, str]) -> Answer:
        """Give the token response (RFC 6749 §5.1 with SMART's launch context); raises OAuthError."""
        kinds: dict[str, Callable[[Realm, Client, Form], Awaitable[Answer]]] = {
            "authorization_code": self._authorization_code,
            "refresh_token": self._refresh_token,
            "client_credentials": self._client_credentials,
        }
        kind = form.get("grant_type")
        if kind is None:
            raise InvalidRequest("grant_type is required")
        if kind not in kinds:
            raise UnsupportedGrantType(f"grant_type must be one of {', '.join(kinds)}")
        client = await self._unnamed(realm, form, headers)
        client = client or await self._clients.client(realm, form, headers)
        if kind not in client.grant_types:
            raise UnauthorizedClient(f"This client is not registered for {kind}")
        return await kinds[kind](realm, client, form)

    async def _unnamed(self, realm: Realm, form: Form, headers: Mapping[str, str]) -> Client | None:
        """Give the public client of a refresh that names no client, as RFC 6749 §6 allows it to.

        Its refresh token says whose it is; a client with a secret or keys must prove itself.
        """
        named = "authorization" in headers or any(name.startswith("client_") for name in form)
        if named or form.get("grant_type") != "refresh_token":
            return None
        holder = await self._grants.holder(realm.tenant, form.get("refresh_token", ""))
        return await self._clients.public(realm, holder) if holder else None

    async def _authorization_code(self, realm: Realm, client: Client, form: Form) -> Answer:
        granted = await self._grants.redeem(
            realm.tenant,
            client.id,
            _required(form, "code"),
            _required(form, "redirect_uri"),
            _required(form, "code_verifier"),
        )
        expires = await self._refreshable_until(realm, granted)
        answer = self._response(realm, granted, scopes.parse(granted.scope), expires)
        if expires is not None:
            answer["refresh_token"] = await self._grants.refresh_token(
                realm.tenant, granted, expires
            )
        return answer

    async def _refresh_token(self, realm: Realm, client: Client, form: Form) -> Answer:
        value = _required(form, "refresh_token")
        found = await self._grants.found(realm.tenant, client.id, value)
        granted = found.value.granted
        narrowed = _narrowed(form.get("scope"), scopes.parse(granted.scope))
        if await self._refreshable_until(realm, granted) is None:
            raise InvalidGrant("The login session that this grant was bound to has ended")
        following = await self._grants.rotate(realm.tenant, value, found)
        answer = self._response(realm, granted, narrowed, found.value.expires)
        return {**answer, "refresh_token": following}

    async def _client_credentials(self, realm: Realm, client: Client, form: Form) -> Answer:
        """Give a backend service its token, system/ scopes only (SMART Backend Services §4)."""
        try:
            asked = scopes.parse(_required(form, "scope"))
        except scopes.MalformedScope:
            raise InvalidScope("The scope does not follow the grammar of SMART scopes") from None
        granted = asked.narrowed(client.allowed).only(("system",))
        if not granted:
            raise InvalidScope("Nothing of the scope may be granted to this client")
        claims = new_claims(
            realm,
            self._clock(),
            BACKEND_S,
            sub=client.id,
            client_id=client.id,
            scope=granted.text,
        )
        return _bearer(self._signer.sign(claims), BACKEND_S, granted.text)

    async def _refreshable_until(self, realm: Realm, granted: Granted) -> int | None:
        """Give until when a grant may be renewed (ms since 1970 UTC), None: not, or no longer.

        offline_access: 90 days. online_access: as long as the login session lasts.
        """
        words = scopes.parse(granted.scope).words
        if "offline_access" in words:
            return self._clock() + OFFLINE_MS
        if "online_access" in words:
            session = await self._sessions.get(realm.tenant, granted.session)
            return session.expires if session else None
        return None

    def _response(
        self, realm: Realm, granted: Granted, allowed: scopes.Scopes, expires: int | None
    ) -> Answer:
        """Give the response; `expires` is until when the grant can be renewed (ms since 1970 UTC)."""
        claims = new_claims(
            realm,
            self._clock(),
            ACCESS_S,
            sub=granted.sub,
            client_id=granted.client,
            scope=allowed.text,
            grant=granted.id,
            patient=granted.patient,
            fhir_user=granted.fhir_user,
            context=granted.launch.references,
            launch=granted.launch,
            until=(expires or 0) // 1_000,
            session=_bound(granted) if expires else "",
        )
        answer = _bearer(self._signer.sign(claims), ACCESS_S, allowed.text)
        answer |= granted.launch.parameters(granted.patient)
        if "openid" in allowed:
            answer["id_token"] = self._id_token(realm, granted, allowed)
        return answer

    def _id_token(self, realm: Realm, granted: Granted, allowed: scopes.Scopes) -> str:
        """Give the ID token (OpenID Connect Core §2) with SMART's fhirUser, an absolute URL."""
        since = self._clock() // 1_000
        claims: dict[str, Any] = {
            "iss": realm.issuer,
            "sub": granted.sub,
            "aud": granted.client,
            "iat": since,
            "exp": since + ACCESS_S,
            "auth_time": granted.authenticated // 1_000,
        }
        if granted.methods:
            claims["amr"] = list(granted.methods)
        if granted.nonce is not None:
            claims["nonce"] = granted.nonce
        if "fhirUser" in allowed:
            claims["fhirUser"] = f"{realm.fhir_url}/{granted.fhir_user}"
        header = {"alg": ALGORITHM, "kid": self._keys.kid, "typ": "JWT"}
        return jose.signed(header, claims, self._keys.signing)


def _bound(granted: Granted) -> str:
    """Give the place of the login session that a grant ends with, empty where it outlasts it."""
    return "" if "offline_access" in scopes.parse(granted.scope).words else granted.session


def _bearer(token: str, seconds: int, scope: str) -> Answer:
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": scope,
    }


def _required(form: Form, name: str) -> str:
    value = form.get(name)
    if not value:
        raise InvalidRequest(f"{name} is required")
    return value


def _narrowed(text: str | None, granted: scopes.Scopes) -> scopes.Scopes:
    """Give the scopes of a refreshed token: those asked for, never more than granted (RFC 6749 §6)."""
    if text is None:
        return granted
    try:
        asked = scopes.parse(text)
    except scopes.MalformedScope:
        raise InvalidScope("The scope does not follow the grammar of SMART scopes") from None
    if not asked or not asked.within(granted):
        raise InvalidScope("The scope goes beyond what the user granted")
    return asked
