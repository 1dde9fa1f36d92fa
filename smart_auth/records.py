"""Typed values of one namespace of the Documents port: clients, users, codes, tokens, sessions."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from fhir_server.store.port import Documents

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record(Generic[T]):
    """A stored value and the revision under which it may be replaced."""

    value: T
    revision: int


class Records(Generic[T]):
    """One kind of value by tenant and key, with compare-and-set."""

    def __init__(self, documents: Documents, namespace: str, kind: type[T]) -> None:
        self._documents = documents
        self._namespace = namespace
        self._decoder = msgspec.json.Decoder(kind)

    async def get(self, tenant: str, key: str) -> Record[T] | None:
        """Give what is stored and has not expired, or None."""
        found = await self._documents.get(tenant, self._namespace, key)
        return None if found is None else Record(self._decoder.decode(found.value), found.revision)

    async def put(
        self,
        tenant: str,
        key: str,
        value: T,
        *,
        expires: int | None = None,
        revision: int | None = None,
    ) -> bool:
        """Write durably; with `revision` only over that one (0: nothing there), else tells False."""
        written = await self._documents.put(
            tenant,
            self._namespace,
            key,
            msgspec.json.encode(value),
            expires=expires,
            revision=revision,
        )
        return written is not None

    async def delete(self, tenant: str, key: str) -> bool:
        """Remove; tells whether there was one."""
        return await self._documents.delete(tenant, self._namespace, key)

    async def all(self, tenant: str) -> tuple[T, ...]:
        """Give every value by key order."""
        values: list[T] = []
        after = ""
        while page := await self._documents.list(tenant, self._namespace, after=after):
            values.extend(self._decoder.decode(document.value) for document in page)
            after = page[-1].key
        return tuple(values)


def now() -> int:
    """Give milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def new_token() -> str:
    """Give 256 random bits as base64url: a code, a refresh token, a session, a client's secret."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Give the key under which a bearer value is stored, so that the store never holds the value."""
    return hashlib.sha256(token.encode()).hexdigest()
