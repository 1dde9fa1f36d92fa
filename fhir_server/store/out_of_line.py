"""A store whose large Binary contents lie outside it (FHIR R4 binary.html).

In the store such a Binary has, in place of its base64, a mark with the SHA-256 of the bytes. Everyone above
sees whole resources. The bytes are durable before what names them is committed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

from msgspec.structs import replace

from fhir_server.search.expression import Plan
from fhir_server.store.port import (
    Blobs,
    Body,
    Care,
    Change,
    Key,
    Match,
    Page,
    Past,
    Precondition,
    Scope,
    Store,
    StoreUnavailable,
    Version,
)
from resources.outcome import Invalid

TYPE: Final = "Binary"
LARGE: Final = 256 * 1024
_DATA: Final = b'"data":"'
_MARK: Final = b'"data":"blob:'
_SHA256: Final = 64
_PAGE: Final = 500


class OutOfLine:
    """Satisfies `Store` over another one; contents of more than `large` bytes are kept in `blobs`."""

    def __init__(self, store: Store, care: Care, blobs: Blobs, *, large: int = LARGE) -> None:
        self._store = store
        self._care = care
        self._blobs = blobs
        self._large = large
        self.count = store.count
        self.position = store.position
        self.explain = store.explain

    async def read(self, key: Key) -> Version | None:
        """Give the current version, or None."""
        version = await self._store.read(key)
        if version is None or key.type != TYPE:
            return version
        return await self._whole(version)

    async def read_many(self, keys: Sequence[Key]) -> Sequence[Version]:
        """Give the current versions of those keys that exist."""
        return await self._wholes(await self._store.read_many(keys))

    async def vread(self, key: Key, version_id: int) -> Version | None:
        """Give one version, or None."""
        version = await self._store.vread(key, version_id)
        if version is None or key.type != TYPE:
            return version
        return await self._whole(version)

    async def commit(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition] = ()
    ) -> Sequence[Version]:
        """Write all changes or none, large contents first."""
        if not any(change.key.type == TYPE for change in changes):
            return await self._store.commit(changes, preconditions)
        async with self._blobs.keeping():
            marked = [await self._marked(change) for change in changes]
            versions = await self._store.commit(marked, preconditions)
        return await self._wholes(versions)

    async def history(self, scope: Scope, page: Page) -> Sequence[Version]:
        """Give versions newest first."""
        return await self._wholes(await self._store.history(scope, page))

    async def search(self, plan: Plan) -> Sequence[Match]:
        """Give the page of matches that the plan asks for."""
        found = await self._store.search(plan)
        if not any(branch.type == TYPE for branch in plan.branches):
            return found
        return [replace(match, version=await self._whole(match.version)) for match in found]

    async def changes(self, after: int) -> AsyncIterator[Version]:
        """Follow every version with a position above `after`."""
        async for version in self._store.changes(after):
            yield await self._whole(version)

    async def purge(self, key: Key) -> int:
        """Erase every version but the current one, and contents that no version names any more."""
        if key.type != TYPE:
            return await self._care.purge(key)
        async with self._blobs.erasing():
            mine = await self._named(Scope(key.tenant, TYPE, key.id))
            erased = await self._care.purge(key)
            for sha256 in mine - await self._named(Scope(key.tenant, TYPE)):
                await self._blobs.delete(key.tenant, sha256)
        return erased

    async def import_versions(self, versions: Sequence[Past]) -> int:
        """Take over versions of another store, large contents first."""
        async with self._blobs.keeping():
            return await self._care.import_versions([await self._taken(past) for past in versions])

    def keeping(self) -> AbstractAsyncContextManager[None]:
        """Hold off purges of contents meanwhile."""
        return self._blobs.keeping()

    async def verify(self, tenants: Sequence[str]) -> Sequence[str]:
        """Read every content that a version names; gives a sentence for each that is not right."""
        faults = []
        for tenant in tenants:
            for sha256 in sorted(await self._named(Scope(tenant, TYPE))):
                data = await self._blobs.get(tenant, sha256)
                if data is None or hashlib.sha256(data).hexdigest() != sha256:
                    what = "lost" if data is None else "damaged"
                    faults.append(f"The content {sha256} of a Binary of tenant {tenant} is {what}.")
        return faults

    # --- how ---

    async def _marked(self, change: Change) -> Change:
        if change.key.type != TYPE or change.body is None:
            return change
        tail = await self._without(change.key.tenant, change.body.tail)
        return change if tail is None else replace(change, body=Body(change.body.head, tail))

    async def _taken(self, past: Past) -> Past:
        if past.key.type != TYPE or past.body is None:
            return past
        body = await self._without(past.key.tenant, past.body)
        return past if body is None else replace(past, body=body)

    async def _without(self, tenant: str, text: bytes) -> bytes | None:
        """Give JSON with a mark in place of its content, None where that stays; raises Invalid."""
        if _MARK in text:
            raise Invalid("Binary.data is not base64", expression="Binary.data")
        start = text.rfind(_DATA) + len(_DATA)
        end = text.find(b'"', start)
        if start < len(_DATA) or (end - start) * 3 // 4 <= self._large:
            return None
        data = await asyncio.to_thread(_decoded, text[start:end])
        if data is None:
            return None
        sha256 = await self._blobs.put(tenant, data)
        return text[: start - len(_DATA)] + _MARK + sha256.encode() + text[end:]

    async def _wholes(self, versions: Sequence[Version]) -> Sequence[Version]:
        if not any(version.key.type == TYPE for version in versions):
            return versions
        return [await self._whole(version) for version in versions]

    async def _whole(self, version: Version) -> Version:
        """Give a version with its content in place; raises StoreUnavailable where that is lost."""
        body = version.body
        sha256 = None if body is None or version.key.type != TYPE else _mark(body)
        if body is None or sha256 is None:
            return version
        data = await self._blobs.get(version.key.tenant, sha256)
        if data is None:
            raise StoreUnavailable("the content of a Binary is missing")
        return replace(version, body=await asyncio.to_thread(_filled, body, data))

    async def _named(self, scope: Scope) -> set[str]:
        """Give the SHA-256 of every content that versions name."""
        found: set[str] = set()
        page = Page(_PAGE)
        while versions := await self._store.history(scope, page):
            marks = (_mark(version.body) for version in versions if version.body)
            found |= {sha256 for sha256 in marks if sha256 is not None}
            page = replace(page, before=versions[-1].position)
        return found


def _mark(body: bytes) -> str | None:
    start = body.find(_MARK)
    if start < 0:
        return None
    start += len(_MARK)
    return body[start : start + _SHA256].decode()


def _decoded(encoded: bytes) -> bytes | None:
    """Give the bytes of base64, None where they would not come back as the same text."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    return data if base64.b64encode(data) == encoded else None


def _filled(body: bytes, data: bytes) -> bytes:
    start = body.index(_MARK)
    end = start + len(_MARK) + _SHA256
    return body[:start] + _DATA + base64.b64encode(data) + body[end:]
