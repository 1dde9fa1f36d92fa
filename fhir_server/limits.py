"""What limits a caller beyond the token: the person's role, security labels, patients' Consents."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from fhir_server.access import Access, Authorizer
from fhir_server.consents import Consents
from smart_auth.roles import BREAK_GLASS, Roles

_KNOWN_MS = 1_000
_MOST = 10_000


class Limits:
    """Gives callers' access within those limits; looked up again after a second."""

    def __init__(self, roles: Roles, consents: Consents, clock: Callable[[], int]) -> None:
        self._roles = roles
        self._consents = consents
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[Access, Access, int]] = {}

    async def limited(self, tenant: str, access: Access, reason: str | None = None) -> Access:
        """Give an access within its limits; with a reason, with the glass broken. Raises Forbidden."""
        if reason is not None:
            return await self._roles.limited(tenant, access, reason)
        now, key = self._clock(), (tenant, id(access))
        held = self._known.get(key)
        if held is not None and held[0] is access and now - held[2] < _KNOWN_MS:
            return held[1]
        made = await self._made(tenant, access)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = (access, made, now)
        return made

    async def _made(self, tenant: str, access: Access) -> Access:
        person = access.fhir_user is not None or access.patient is not None
        cleared = replace(access, clearance="R") if person else access
        within = await self._roles.limited(tenant, cleared)
        withheld = await self._consents.withheld(tenant, within)
        return replace(within, withheld=withheld) if withheld else within


class Limited:
    """An access port whose every access is within the limits."""

    def __init__(self, inner: Authorizer, limits: Limits) -> None:
        self._inner = inner
        self._limits = limits

    async def access(self, tenant: str, headers: Mapping[str, str]) -> Access:
        """Give the caller's access, by lower-case header names; raises Unauthorised, Forbidden."""
        access = await self._inner.access(tenant, headers)
        return await self._limits.limited(tenant, access, headers.get(BREAK_GLASS))
