"""What a user authorised, and the one-time values that stand for it: codes and refresh tokens.

RFC 6749 §4.1.2 and §6, RFC 9700 §4.14 (rotation with reuse detection). Only hashes are stored.
"""

import asyncio
import base64
import hashlib
import hmac
import re
import uuid
from collections.abc import Callable

import msgspec
from msgspec import Struct

from fhir_server.store.port import Documents
from smart_auth.launch_context import NOTHING, LaunchContext
from smart_auth.oauth_error import InvalidGrant
from smart_auth.records import Record, Records, digest, new_token, now
from smart_auth.revocation import Revocations

CODE_MS = 60_000
_REMEMBERED_MS = 3_600_000
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


class Granted(Struct, frozen=True, omit_defaults=True):
    """An authorisation: which client may do what, for whom, with which patient and launch context.

    Times in ms since 1970 UTC; `session` is the place of the login session that it came of; `methods`
    are how the user logged in (RFC 8176).
    """

    client: str
    user: str
    sub: str
    fhir_user: str
    scope: str
    authenticated: int
    session: str
    patient: str | None = None
    launch: LaunchContext = NOTHING
    methods: tuple[str, ...] = ()
    nonce: str | None = None
    id: str = msgspec.field(default_factory=lambda: uuid.uuid4().hex)


class Code(Struct, frozen=True):
    """An authorisation code: bound to client, redirect URI and PKCE challenge; used at most once."""

    granted: Granted
    redirect_uri: str
    challenge: str
    expires: int
    used: bool = False


class Refresh(Struct, frozen=True):
    """A refresh token: replaced at each use; `expires` is that of the whole line."""

    granted: Granted
    expires: int
    used: bool = False


class Grants:
    """Issues and takes codes and refresh tokens."""

    def __init__(
        self, documents: Documents, revocations: Revocations, clock: Callable[[], int] = now
    ) -> None:
        self._codes = Records(documents, "smart.codes", Code)
        self._refreshes = Records(documents, "smart.refresh", Refresh)
        self._revocations = revocations
        self._clock = clock

    async def code(self, tenant: str, granted: Granted, redirect_uri: str, challenge: str) -> str:
        """Give a new code, good once within 60 s; it stays known for an hour, so that reuse is noticed."""
        value, issued = new_token(), self._clock()
        code = Code(granted, redirect_uri, challenge, issued + CODE_MS)
        await self._codes.put(tenant, digest(value), code, expires=issued + _REMEMBERED_MS)
        return value

    async def redeem(
        self, tenant: str, client: str, value: str, redirect_uri: str, verifier: str
    ) -> Granted:
        """Take a code; raises InvalidGrant. A second use takes back all that came of it (RFC 6749 §4.1.2)."""
        found = await self._codes.get(tenant, digest(value))
        if found is None or found.value.granted.client != client:
            raise InvalidGrant("The code is unknown, expired, or another client's")
        code = found.value
        spent = msgspec.structs.replace(code, used=True)
        until = self._clock() + _REMEMBERED_MS
        first = not code.used and await self._codes.put(
            tenant, digest(value), spent, expires=until, revision=found.revision
        )
        if not first:
            await self._revocations.revoke(tenant, f"grant:{code.granted.id}")
            raise InvalidGrant("The code was used before; what came of it is taken back")
        if code.expires <= self._clock():
            raise InvalidGrant("The code has expired")
        if code.redirect_uri != redirect_uri:
            raise InvalidGrant("redirect_uri is not the one of the authorisation request")
        if not _proves(verifier, code.challenge):
            raise InvalidGrant("code_verifier does not fit the code_challenge")
        return code.granted

    async def refresh_token(self, tenant: str, granted: Granted, expires: int) -> str:
        """Give a new refresh token that lives until `expires` (ms since 1970 UTC)."""
        value = new_token()
        await self._refreshes.put(tenant, digest(value), Refresh(granted, expires), expires=expires)
        return value

    async def found(self, tenant: str, client: str, value: str) -> Record[Refresh]:
        """Give a client's live refresh token, without using it; raises InvalidGrant.

        One that was used before takes back its whole line, for one of the two users is a thief.
        """
        found = await self._refreshes.get(tenant, digest(value))
        if found is None or found.value.granted.client != client:
            raise InvalidGrant("The refresh token is unknown, expired, or another client's")
        grant = f"grant:{found.value.granted.id}"
        if found.value.used:
            await self._revocations.revoke(tenant, grant)
        names = (grant, f"user:{found.value.granted.sub}")
        ended = found.value.expires <= self._clock()
        if found.value.used or ended or await self._revocations.any(tenant, names):
            raise InvalidGrant("The refresh token was used before, has expired or was revoked")
        return found

    async def holder(self, tenant: str, value: str) -> str | None:
        """Give the id of the client that a refresh token was issued to, None for no such token."""
        found = await self._refreshes.get(tenant, digest(value))
        return found.value.granted.client if found else None

    async def rotate(self, tenant: str, value: str, found: Record[Refresh]) -> str:
        """Use a refresh token and give the next of its line; raises InvalidGrant if another was quicker.

        Both are written at once, to share a commit; the next one of whoever was slower is told to nobody.
        """
        refresh = found.value
        spent = msgspec.structs.replace(refresh, used=True)
        used = self._refreshes.put(
            tenant, digest(value), spent, expires=refresh.expires, revision=found.revision
        )
        first, following = await asyncio.gather(
            used, self.refresh_token(tenant, refresh.granted, refresh.expires)
        )
        if not first:
            await self._revocations.revoke(tenant, f"grant:{refresh.granted.id}")
            raise InvalidGrant("The refresh token was used twice at once; its line is taken back")
        return following

    async def give_up(self, tenant: str, client: str, value: str) -> None:
        """Take back the line of a client's refresh token, if it is one (RFC 7009 §2.1)."""
        found = await self._refreshes.get(tenant, digest(value))
        if found is not None and found.value.granted.client == client:
            await self._revocations.revoke(tenant, f"grant:{found.value.granted.id}")


def _proves(verifier: str, challenge: str) -> bool:
    """Tell whether the verifier hashes to the challenge (RFC 7636 §4.6, S256)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    hashed = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(hashed, challenge.encode())
