"""What was taken back before it expired: a token, a whole grant, a client's or a user's tokens."""

from collections.abc import Callable, Iterable

from msgspec import Struct

from fhir_server.store.port import Documents
from smart_auth.records import Records, now

LONGEST_MS = 400 * 24 * 3_600 * 1_000
"""How long a revocation is kept: no token lives longer."""


class Revoked(Struct, frozen=True):
    """When something was taken back; a client of that id may be registered anew later."""

    at: int


class Revocations:
    """Revocations by tenant and name: `token:JTI`, `grant:ID`, `client:ID`, `user:SUB`.

    `epoch` rises with each revocation of this process, so that a cache can tell at once.
    """

    def __init__(self, documents: Documents, clock: Callable[[], int] = now) -> None:
        self._records = Records(documents, "smart.revoked", Revoked)
        self._clock = clock
        self.epoch = 0

    async def revoke(self, tenant: str, name: str) -> None:
        """Take back, durably, what carries the name."""
        at = self._clock()
        await self._records.put(tenant, name, Revoked(at), expires=at + LONGEST_MS)
        self.epoch += 1

    async def any(self, tenant: str, names: Iterable[str]) -> bool:
        """Tell whether one of the names was taken back."""
        for name in names:
            if await self._records.get(tenant, name) is not None:
                return True
        return False

    async def client_removed(self, tenant: str, client: str, issued: int) -> bool:
        """Tell whether the client was removed since a token was issued (ms since 1970 UTC)."""
        found = await self._records.get(tenant, f"client:{client}")
        return found is not None and issued <= found.value.at
