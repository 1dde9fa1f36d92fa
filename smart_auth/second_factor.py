"""A user's second factor: an authenticator app, and recovery codes for when the phone is lost (RFC 6238).

Secrets are kept outside FHIR and sealed; of recovery codes only the hashes are kept.
"""

import secrets
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from fhir_server.store.port import Documents
from smart_auth import totp
from smart_auth.attempts import Attempts
from smart_auth.records import Record, Records, digest, now
from smart_auth.seal import Seal

RECOVERY_CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
State = Literal["off", "begun", "on"]


class Factor(Struct, frozen=True):
    """The sealed secret, the last time step used, hashes of unused recovery codes, whether it counts."""

    sealed: str
    step: int = -1
    recovery: tuple[str, ...] = ()
    confirmed: bool = False


class SecondFactors:
    """Enrols, verifies and removes second factors, by the user's `sub`."""

    def __init__(self, documents: Documents, seal: Seal, clock: Callable[[], int] = now) -> None:
        self._factors = Records(documents, "smart.second-factors", Factor)
        self._attempts = Attempts(documents, "smart.second-tries", clock)
        self._seal = seal
        self._clock = clock

    async def state(self, tenant: str, sub: str) -> State:
        """Tell whether a code is asked for at login: `begun` is enrolled and not confirmed yet."""
        found = await self._factors.get(tenant, sub)
        if found is None:
            return "off"
        return "on" if found.value.confirmed else "begun"

    async def begin(self, tenant: str, sub: str) -> bytes:
        """Give a new secret to enrol; a factor that is on stays as it is: raises ValueError."""
        found = await self._factors.get(tenant, sub)
        if found is not None and found.value.confirmed:
            raise ValueError("There is a second factor already")
        secret = totp.new_secret()
        await self._factors.put(
            tenant, sub, Factor(self._seal.close(secret, _purpose(tenant, sub)))
        )
        return secret

    async def begun(self, tenant: str, sub: str) -> bytes | None:
        """Give the secret that is being enrolled, None where there is none."""
        found = await self._factors.get(tenant, sub)
        if found is None or found.value.confirmed:
            return None
        return self._secret(tenant, sub, found.value)

    async def confirm(self, tenant: str, sub: str, code: str) -> tuple[str, ...] | None:
        """Turn a begun factor on by its first code; gives the recovery codes, None for a wrong code."""
        found = await self._factors.get(tenant, sub)
        if found is None or found.value.confirmed or not await self._attempts.count(tenant, sub):
            return None
        secret = self._secret(tenant, sub, found.value)
        step = totp.step_of(secret, code, self._clock(), found.value.step)
        if step is None:
            return None
        codes = tuple(_recovery_code() for _ in range(RECOVERY_CODES))
        hashes = tuple(digest(one) for one in codes)
        factor = Factor(found.value.sealed, step, hashes, confirmed=True)
        if not await self._factors.put(tenant, sub, factor, revision=found.revision):
            return None
        await self._attempts.forget(tenant, sub)
        return codes

    async def verify(self, tenant: str, sub: str, code: str) -> bool:
        """Take a code of the app or a recovery code, each good once; five wrong ones lock for a while."""
        if not await self._attempts.count(tenant, sub):
            return False
        found = await self._factors.get(tenant, sub)
        after = self._used(tenant, sub, code, found) if found else None
        if found is None or after is None:
            return False
        if not await self._factors.put(tenant, sub, after, revision=found.revision):
            return False
        await self._attempts.forget(tenant, sub)
        return True

    async def remove(self, tenant: str, sub: str) -> bool:
        """Take the second factor away; tells whether there was one."""
        await self._attempts.forget(tenant, sub)
        return await self._factors.delete(tenant, sub)

    def _used(self, tenant: str, sub: str, code: str, found: Record[Factor]) -> Factor | None:
        """Give the factor after the code was used, None for a wrong code."""
        factor = found.value
        if not factor.confirmed:
            return None
        step = totp.step_of(self._secret(tenant, sub, factor), code, self._clock(), factor.step)
        if step is not None:
            return msgspec.structs.replace(factor, step=step)
        hashed = digest(code.strip().lower())
        if hashed not in factor.recovery:
            return None
        return msgspec.structs.replace(
            factor, recovery=tuple(one for one in factor.recovery if one != hashed)
        )

    def _secret(self, tenant: str, sub: str, factor: Factor) -> bytes:
        return self._seal.open(factor.sealed, _purpose(tenant, sub))


def _purpose(tenant: str, sub: str) -> str:
    return f"second factor\n{tenant}\n{sub}"


def _recovery_code() -> str:
    """Give 60 random bits as three groups of four letters and digits."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))
    return "-".join(groups)
