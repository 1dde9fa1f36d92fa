"""The port of large contents outside the store, by tenant and hash (FHIR R4 binary.html).

Acknowledged means durable, as in `fhir_server.store.port`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fhir_server.store.port import Brought


class Blobs(Protocol):
    """Large contents outside the store, by tenant and SHA-256 of their bytes."""

    @property
    def counted(self) -> bool:
        """Tell whether the store itself counts who names a content, and erases it with the last one.

        Then `keeping` and `erasing` hold nobody off, and `commit` raises ContentGone where what it names
        was erased since it was put. Otherwise whoever purges removes what is named no more.
        """

    def keeping(self) -> AbstractAsyncContextManager[None]:
        """Hold off `erasing`, in every process, from a content's `put` until what names it is committed."""

    def erasing(self) -> AbstractAsyncContextManager[None]:
        """Be alone, in every process: no content is between its `put` and its commit meanwhile."""

    async def put(self, tenant: str, data: bytes) -> str:
        """Keep a content, durable on return, and give its SHA-256 in hexadecimal; one that is there stays."""

    async def keep(self, tenant: str, brought: Brought) -> None:
        """Keep a content that waits in a file, durable on return; one that is there stays."""

    async def get(self, tenant: str, sha256: str) -> bytes | None:
        """Give a content, or None where it is missing."""

    async def size(self, tenant: str, sha256: str) -> int | None:
        """Give a content's size in bytes, or None where it is missing."""

    def pieces(
        self, tenant: str, sha256: str, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Give the bytes from `start` up to `stop` (or the end) of a content, piece by piece.

        Raises ContentGone where it is missing, also when it goes away meanwhile.
        """

    async def delete(self, tenant: str, sha256: str) -> None:
        """Remove a content if it is there."""
