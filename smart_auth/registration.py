"""Dynamic client registration, as far as the operator's policy allows it (RFC 7591)."""

import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from fhir_server.store.port import Documents
from smart_auth.clients import (
    APP_SCOPES,
    SERVICE_SCOPES,
    Client,
    Kind,
    Registration,
    add_client,
    check_redirect,
)
from smart_auth.oauth_error import (
    AccessDenied,
    InvalidClientMetadata,
    InvalidRedirectUri,
    InvalidToken,
)
from smart_auth.policy import Policy
from smart_auth.realm import Realm
from smart_auth.records import Records, digest, new_token, now
from smart_auth.scopes import MalformedScope, parse

INVITED_MS = 7 * 24 * 3_600 * 1_000
METHODS: dict[str, Kind] = {
    "none": "public",
    "client_secret_basic": "secret",
    "client_secret_post": "secret",
    "private_key_jwt": "asymmetric",
}
_NAMES: dict[Kind, str] = {
    "public": "none",
    "secret": "client_secret_basic",
    "asymmetric": "private_key_jwt",
}


class Wanted(Struct, frozen=True):
    """The client metadata that is understood (RFC 7591 §2); other members are ignored, as §2 allows."""

    redirect_uris: tuple[str, ...] = ()
    token_endpoint_auth_method: str = "client_secret_basic"  # noqa: S105 - a method's name
    grant_types: tuple[str, ...] = ("authorization_code",)
    response_types: tuple[str, ...] = ("code",)
    client_name: str = ""
    scope: str = ""
    jwks_uri: str | None = None
    jwks: dict[str, Any] | None = None
    initiate_login_uri: str | None = None
    launch_uri: str | None = None


class Invitation(Struct, frozen=True):
    """An initial access token that was given out: good for one registration."""

    issued: int


async def invite(documents: Documents, tenant: str, *, clock: Callable[[], int] = now) -> str:
    """Give an initial access token, good once within a week (RFC 7591 §1.2)."""
    value, issued = new_token(), clock()
    invitations = Records(documents, "smart.invitations", Invitation)
    await invitations.put(tenant, digest(value), Invitation(issued), expires=issued + INVITED_MS)
    return value


class DynamicRegistration:
    """Answers registration requests."""

    def __init__(
        self, documents: Documents, policy: Policy, clock: Callable[[], int] = now
    ) -> None:
        self._documents = documents
        self._policy = policy
        self._invitations = Records(documents, "smart.invitations", Invitation)
        self._clock = clock

    async def register(self, realm: Realm, body: bytes, token: str | None) -> dict[str, Any]:
        """Give the client information response (RFC 7591 §3.2.1); raises OAuthError.

        The initial access token is used up only where the registration succeeds.
        """
        if self._policy.registration == "off":
            raise AccessDenied("Clients do not register themselves here: ask the operator")
        invited = await self._invited(realm.tenant, token)
        registration, method = _registration(_read(body), invited=invited)
        if invited and not await self._invitations.delete(realm.tenant, digest(token or "")):
            raise InvalidToken("The initial access token was used by another request")
        try:
            client, secret = await add_client(self._documents, realm.tenant, registration)
        except ValueError as fault:
            raise InvalidClientMetadata(_ascii(str(fault))) from None
        told = information(client) | {"token_endpoint_auth_method": method}
        if secret is not None:
            told |= {"client_secret": secret, "client_secret_expires_at": 0}
        return told

    async def _invited(self, tenant: str, token: str | None) -> bool:
        """Tell whether the request carries an initial access token; raises InvalidToken where it must."""
        if token is None and self._policy.registration == "open":
            return False
        found = await self._invitations.get(tenant, digest(token or ""))
        if found is None or found.value.issued + INVITED_MS <= self._clock():
            raise InvalidToken("Registration needs an initial access token of the operator")
        return True


def information(client: Client) -> dict[str, Any]:
    """Give a client's metadata in RFC 7591's words, never the secret's hash."""
    metadata = {
        "client_id": client.id,
        "client_name": client.name,
        "client_id_issued_at": client.created // 1000,
        "token_endpoint_auth_method": _NAMES[client.kind],
        "grant_types": list(client.grant_types),
        "response_types": ["code"] if client.redirect_uris else [],
        "redirect_uris": list(client.redirect_uris),
        "scope": client.scopes,
        "launch_uri": client.launch_uri,
        "jwks": client.jwks,
        "jwks_uri": client.jwks_url,
    }
    return {name: value for name, value in metadata.items() if value not in (None, [])}


def _read(body: bytes) -> Wanted:
    try:
        return msgspec.json.decode(body, type=Wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidClientMetadata("The body is not client metadata in JSON") from None


def _registration(wanted: Wanted, *, invited: bool) -> tuple[Registration, str]:
    method = wanted.token_endpoint_auth_method
    if method not in METHODS:
        raise InvalidClientMetadata(f"token_endpoint_auth_method is one of {', '.join(METHODS)}")
    kind = METHODS[method]
    service = "client_credentials" in wanted.grant_types
    if service and (kind != "asymmetric" or not invited):
        raise InvalidClientMetadata(
            "client_credentials needs private_key_jwt and an initial access token"
        )
    app = "authorization_code" in wanted.grant_types
    if app and not wanted.redirect_uris:
        raise InvalidRedirectUri("redirect_uris is required for authorization_code")
    if not {*wanted.grant_types} <= {"authorization_code", "refresh_token", "client_credentials"}:
        raise InvalidClientMetadata("grant_types names one that is not offered")
    for uri in wanted.redirect_uris:
        _check(uri)
    if wanted.jwks is not None and wanted.jwks_uri is not None:
        raise InvalidClientMetadata("jwks and jwks_uri exclude each other")
    return (
        Registration(
            uuid.uuid4().hex,
            kind,
            wanted.client_name[:128],
            wanted.redirect_uris if app else (),
            _scopes(wanted.scope, app=app, service=service),
            wanted.jwks if wanted.jwks is not None else wanted.jwks_uri,
            wanted.launch_uri or wanted.initiate_login_uri,
            dynamic=True,
        ),
        method,
    )


def _check(uri: str) -> None:
    try:
        check_redirect(uri)
    except ValueError as fault:
        raise InvalidRedirectUri(_ascii(str(fault))) from None


def _scopes(text: str, *, app: bool, service: bool) -> str:
    """Give what the client may ask for: its wish, cut to what any app or service may have."""
    most = " ".join(([APP_SCOPES] if app else []) + ([SERVICE_SCOPES] if service else []))
    try:
        narrowed = parse(text or most).narrowed(parse(most))
    except MalformedScope:
        raise InvalidClientMetadata("scope breaks the grammar of SMART scopes") from None
    if not narrowed:
        raise InvalidClientMetadata("Nothing of the scope may be had by registration")
    return narrowed.text


def _ascii(text: str) -> str:
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)[:300]
