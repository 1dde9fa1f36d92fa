"""The SMART implementation of the access port: a bearer token → Access (RFC 6750, SMART App Launch 2.2)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from fhir_server.access import Access
from resources.outcome import Unauthorised
from smart_auth.access_token import AccessTokens, Claims
from smart_auth.external import External
from smart_auth.jose import BadToken
from smart_auth.realm import realm
from smart_auth.records import now
from smart_auth.revocation import Revocations

_CACHED = 10_000
_RECHECK_MS = 1_000


@dataclass(slots=True)
class _Known:
    """A verified token: its access, until when it lives, and when revocation was last looked up."""

    access: Access
    claims: Claims
    tenant: str
    expires: int
    checked: int
    epoch: int


class SmartAuthorizer:
    """Gives the access of bearer tokens that this installation, or an issuer that it trusts, signed.

    A verified token is remembered by its hash. A revocation by this process holds at once, by another
    process after at most a second.
    """

    def __init__(
        self,
        tokens: AccessTokens,
        revocations: Revocations,
        public_url: str,
        clock: Callable[[], int] = now,
        *,
        external: External | None = None,
    ) -> None:
        self._external = external
        self._tokens = tokens
        self._revocations = revocations
        self._public_url = public_url
        self._clock = clock
        self._known: dict[bytes, _Known] = {}

    async def access(self, tenant: str, headers: Mapping[str, str]) -> Access:
        """Give the caller's access, by lower-case header names; raises Unauthorised."""
        token = bearer(headers)
        key = sha256(token.encode()).digest()
        known = self._known.get(key)
        time = self._clock()
        if (
            known is not None
            and known.tenant == tenant
            and time < known.expires
            and time - known.checked < _RECHECK_MS
            and known.epoch == self._revocations.epoch
        ):
            return known.access
        return await self._checked(tenant, token, key)

    async def claims(self, tenant: str, token: str) -> Claims:
        """Give the claims of a live token that was not revoked; raises BadToken."""
        claims = self._tokens.read(realm(self._public_url, tenant), token)
        await self._refuse_revoked(tenant, claims)
        return claims

    async def _checked(self, tenant: str, token: str, key: bytes) -> Access:
        epoch, time = self._revocations.epoch, self._clock()
        known = self._known.pop(key, None)
        try:
            if known is None or known.tenant != tenant or time >= known.expires:
                claims = await self._read(tenant, token)
                known = _Known(claims.access(), claims, tenant, claims.exp * 1_000, 0, 0)
            await self._refuse_revoked(tenant, known.claims)
        except (BadToken, ValueError):
            raise Unauthorised(
                "The access token is not valid here: it is expired, revoked, or of another server",
                error="invalid_token",
            ) from None
        known.checked, known.epoch = time, epoch
        self._remember(key, known)
        return known.access

    async def _read(self, tenant: str, token: str) -> Claims:
        """Give the claims of a live token of ours or, in resource-server mode, of an issuer outside."""
        here = realm(self._public_url, tenant)
        try:
            return self._tokens.read(here, token)
        except BadToken:
            if self._external is None:
                raise
            return await self._external.token(here, token)

    async def _refuse_revoked(self, tenant: str, claims: Claims) -> None:
        names = [f"token:{claims.jti}", f"user:{claims.sub}"]
        if claims.grant:
            names.append(f"grant:{claims.grant}")
        taken_back = await self._revocations.any(tenant, names)
        issued = claims.iat * 1_000
        if taken_back or await self._revocations.client_removed(tenant, claims.client_id, issued):
            raise BadToken("revoked")

    def _remember(self, key: bytes, known: _Known) -> None:
        """Keep a verified token, dropping the longest unverified one where there are too many."""
        while len(self._known) >= _CACHED:
            del self._known[next(iter(self._known))]
        self._known[key] = known


def bearer(headers: Mapping[str, str]) -> str:
    """Give the token of an Authorization header (RFC 6750 §2.1); raises Unauthorised without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token or not token.isascii():
        raise Unauthorised("A bearer token is needed: Authorization: Bearer …")
    return token.strip()
