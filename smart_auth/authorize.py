"""The authorisation request, checked, and its answer (RFC 6749 §4.1.1-2, RFC 7636, SMART App Launch 2.2)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from fhir_server.store.port import Documents
from smart_auth import scopes
from smart_auth.clients import Client, get_client
from smart_auth.oauth_error import (
    InvalidRequest,
    InvalidScope,
    OAuthError,
    UnsupportedResponseType,
)
from smart_auth.realm import Realm

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST = 4_096
_BOUNDED = ("state", "scope", "nonce", "launch")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request whose client, redirect URI, audience, scopes and PKCE challenge are in order.

    `scopes` are those asked for, cut to what the client may have. `max_age` in seconds. `launch` is the
    value that the EHR opened the app with, None of a standalone launch.
    """

    client: Client
    redirect_uri: str
    state: str
    scopes: scopes.Scopes
    challenge: str
    nonce: str | None
    prompt: str
    max_age: int | None
    launch: str | None = None


class Misdirected(OAuthError):
    """Client or redirect URI are not right, so the browser must not be sent there (RFC 6749 §4.1.2.1)."""


class Refused(Exception):
    """An error that goes back to the client through the browser; carries where to send it."""

    def __init__(self, error: OAuthError, location: str) -> None:
        super().__init__(error.description)
        self.error = error
        self.location = location


async def check(
    documents: Documents, realm: Realm, parameters: Mapping[str, str]
) -> AuthorizationRequest:
    """Check a request; raises Misdirected for the user's eyes, Refused for the client's."""
    client = await get_client(documents, realm.tenant, parameters.get("client_id", ""))
    if client is None:
        raise Misdirected("The app that sent you here is not registered on this server.")
    redirect_uri = parameters.get("redirect_uri", "")
    if redirect_uri not in client.redirect_uris:
        raise Misdirected("The app asked to return to an address that is not registered for it.")
    try:
        return _checked(realm, client, redirect_uri, parameters)
    except OAuthError as error:
        state = parameters.get("state", "")
        raise Refused(error, error_location(realm, redirect_uri, state, error)) from None


def code_location(realm: Realm, request: AuthorizationRequest, code: str) -> str:
    """Give the URL that brings the code to the client, with our issuer against mix-up (RFC 9207)."""
    return _location(request.redirect_uri, code=code, state=request.state, iss=realm.issuer)


def error_location(realm: Realm, redirect_uri: str, state: str, error: OAuthError) -> str:
    """Give the URL that brings an error to the client."""
    return _location(redirect_uri, **error.json(), state=state[:_LONGEST], iss=realm.issuer)


def _checked(
    realm: Realm, client: Client, redirect_uri: str, parameters: Mapping[str, str]
) -> AuthorizationRequest:
    _check_form(parameters)
    _check_challenge(parameters)
    audience = parameters.get("aud", "")
    if not realm.hears(audience):
        raise InvalidRequest(f"aud must be {realm.fhir_url}")
    launch = parameters.get("launch")
    return AuthorizationRequest(
        client,
        redirect_uri,
        parameters["state"],
        _launched(allowed(client, parameters.get("scope", "")), launch),
        parameters["code_challenge"],
        parameters.get("nonce"),
        parameters.get("prompt", ""),
        _age(parameters.get("max_age")),
        launch,
    )


def _launched(asked: scopes.Scopes, launch: str | None) -> scopes.Scopes:
    """Give the scopes with `launch` only where the EHR launched the app; raises InvalidScope."""
    if launch is None:
        kept = scopes.Scopes(asked.clinical, tuple(w for w in asked.words if w != "launch"))
        if not kept:
            raise InvalidScope("The scope launch needs an EHR that launches the app")
        return kept
    if "launch" not in asked:
        raise InvalidScope("An EHR launch needs the scope launch")
    return asked


def allowed(client: Client, text: str) -> scopes.Scopes:
    """Give the part of a scope parameter that this client may ask a user for; raises InvalidScope."""
    try:
        asked = scopes.parse(text)
    except scopes.MalformedScope as fault:
        raise InvalidScope(_ascii(str(fault))) from None
    narrowed = asked.narrowed(client.allowed).only(("patient", "user"), scopes.WORDS)
    if not narrowed:
        raise InvalidScope("Nothing of the scope may be granted to this client")
    return narrowed


def _check_form(parameters: Mapping[str, str]) -> None:
    if parameters.get("response_type") != "code":
        raise UnsupportedResponseType("response_type must be code")
    if parameters.get("response_mode", "query") != "query":
        raise InvalidRequest("response_mode must be query")
    if not parameters.get("state"):
        raise InvalidRequest("state is required")
    if any(len(parameters.get(name, "")) > _LONGEST for name in _BOUNDED):
        raise InvalidRequest("state, scope, nonce and launch may have 4096 characters at most")
    if "request" in parameters or "request_uri" in parameters:
        raise InvalidRequest("Request objects are not offered")


def _check_challenge(parameters: Mapping[str, str]) -> None:
    """Demand PKCE with S256 from every client (RFC 7636 §4.3, RFC 9700 §2.1.1)."""
    challenge = parameters.get("code_challenge", "")
    if not challenge:
        raise InvalidRequest("code_challenge is required (PKCE)")
    if parameters.get("code_challenge_method") != "S256":
        raise InvalidRequest("code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequest("code_challenge is not the base64url of a SHA-256 hash")


def _age(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InvalidRequest("max_age is a number of seconds")
    return int(text)


def _ascii(text: str) -> str:
    """Give a description within the characters of RFC 6749 §5.2."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)[:300]


def _location(redirect_uri: str, **parameters: str) -> str:
    joint = "&" if "?" in redirect_uri else "?"
    present = {name: value for name, value in parameters.items() if value}
    return f"{redirect_uri}{joint}{urlencode(present)}"
