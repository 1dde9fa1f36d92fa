"""Access tokens: JSON Web Tokens that this installation signs and verifies by itself (RFC 9068)."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

from fhir_server.access import Access
from smart_auth import jose, scopes
from smart_auth.keys import KeyRing
from smart_auth.launch_context import NOTHING, LaunchContext
from smart_auth.realm import Realm
from smart_auth.records import now


@dataclass(frozen=True, slots=True)
class TokenKind:
    """A use of signed claims: the token's type, and the place below the issuer that it is for."""

    type: str
    place: str

    def audience(self, realm: Realm) -> str:
        """Give what `aud` of such a token names."""
        return f"{realm.issuer}/{self.place}"


ACCESS = TokenKind("at+jwt", "fhir")
"""The access tokens of RFC 9068."""


class Claims(Struct, frozen=True, omit_defaults=True, rename={"fhir_user": "fhirUser"}):
    """What a token says; times in seconds since 1970 UTC, `grant` the authorisation it came of.

    `context` are relative references besides the patient, e.g. ImagingStudy/1, `launch` is what the app
    was told of them, for introspection. `until` is how long the grant can be renewed, by the login session
    at `session` if it is bound to one.
    """

    iss: str
    sub: str
    aud: str
    exp: int
    iat: int
    jti: str
    client_id: str
    scope: str
    tenant: str
    grant: str = ""
    patient: str | None = None
    fhir_user: str | None = None
    context: tuple[str, ...] = ()
    launch: LaunchContext = NOTHING
    until: int = 0
    session: str = ""

    def access(self) -> Access:
        """Give the access that the token stands for."""
        granted = scopes.parse(self.scope)
        return Access(
            self.sub,
            scopes.grants(granted, self.patient, self.fhir_user),
            self.client_id,
            self.fhir_user,
            self.patient,
            tuple(self.scope.split()),
            self.context,
        )


class AccessTokens:
    """Signs claims of one kind and reads them back; one kind is never taken for another."""

    def __init__(
        self, keys: KeyRing, clock: Callable[[], int] = now, kind: TokenKind = ACCESS
    ) -> None:
        self._kind = kind
        self._keys = keys
        self._clock = clock

    def sign(self, claims: Claims) -> str:
        """Give the token of these claims."""
        ring = self._keys.access
        header = {"alg": ring.algorithm, "kid": ring.kid, "typ": self._kind.type}
        return jose.signed(header, msgspec.to_builtins(claims), ring.signing)

    def read(self, realm: Realm, token: str) -> Claims:
        """Give the claims of a live token of this realm; raises BadToken for any other.

        Whether it was revoked is not told here.
        """
        claims = self._signed_here(token)
        named = {
            (realm.issuer, self._kind.audience(realm)),
            (realm.operator, realm.operator),
        }
        if (claims.iss, claims.aud) not in named or claims.tenant != realm.tenant:
            raise jose.BadToken("of another issuer, audience or tenant")
        if claims.exp * 1_000 <= self._clock():
            raise jose.BadToken("expired")
        return claims

    def _signed_here(self, token: str) -> Claims:
        header = jose.header(token)
        kid = header.get("kid")
        key = self._keys.access.public(kid) if isinstance(kid, str) else None
        if key is None or header.get("typ") != self._kind.type:
            raise jose.BadToken("not an access token of this installation")
        return _claims(jose.verified(token, key, self._keys.access.algorithm))


def new_claims(
    realm: Realm, issued: int, seconds: int, *, operator: bool = False, **more: Any
) -> Claims:
    """Give claims for a realm from `issued` (ms since 1970 UTC), living so many seconds."""
    issuer, audience = (
        (realm.operator, realm.operator) if operator else (realm.issuer, realm.fhir_url)
    )
    since = issued // 1_000
    return Claims(
        iss=issuer,
        aud=audience,
        iat=since,
        exp=since + seconds,
        jti=uuid.uuid4().hex,
        tenant=realm.tenant,
        **more,
    )


def _claims(payload: Mapping[str, Any]) -> Claims:
    try:
        return msgspec.convert(payload, Claims)
    except msgspec.ValidationError:
        raise jose.BadToken("claims are missing") from None
