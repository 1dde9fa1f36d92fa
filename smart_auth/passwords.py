"""Passwords and clients' secrets, hashed with Argon2id off the event loop (RFC 9106, OWASP's figures)."""

import asyncio
import hashlib

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LONGEST = 1_024
_AT_ONCE = 2
_REMEMBERED = 256


class Passwords:
    """Hashes and verifies in threads, few at once, so that guessing cannot take the whole machine."""

    def __init__(self, *, memory_kib: int = 19_456, rounds: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=rounds, memory_cost=memory_kib, parallelism=1)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._known: dict[str, None] = {}
        self._decoy = ""

    async def hash(self, password: str) -> str:
        """Give the Argon2id hash with its parameters and salt."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Tell whether the password is right; without a hash it takes as long and is wrong."""
        if hashed is None and not self._decoy:
            self._decoy = await self.hash("nobody's")
        async with self._slots:
            right = await asyncio.to_thread(self._check, hashed or self._decoy, password)
        return right and hashed is not None

    async def verify_secret(self, hashed: str | None, secret: str) -> bool:
        """Verify a client's secret, which is 256 random bits: a right one is hashed once, then remembered."""
        mark = hashlib.sha256(f"{hashed}\n{secret}".encode()).hexdigest()
        if mark in self._known:
            return True
        if not await self.verify(hashed, secret):
            return False
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[mark] = None
        return True

    def _check(self, hashed: str, password: str) -> bool:
        if len(password) > LONGEST:
            return False
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False
