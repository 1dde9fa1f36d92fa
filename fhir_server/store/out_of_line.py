"""A store whose large Binary contents lie outside it (FHIR R4 binary.html).

In the store such a Binary has, in place of its base64, a mark with the SHA-256 of the bytes. Everyone above
sees whole resources. The bytes are durable before what names them is committed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from msgspec.structs import replace

from fhir_server.search.expression import Plan
from fhir_server.store import marks
from fhir_server.store.blobs import Blobs
from fhir_server.store.marks import TYPE
from fhir_server.store.port import (
    Body,
    Brought,
    Care,
    Change,
    Content,
    ContentGone,
    Key,
    Match,
    Numbered,
    Page,
    Past,
    Precondition,
    Scope,
    Store,
    StoreUnavailable,
    Version,
)
from resources.outcome import Invalid

LARGE: Final = 256 * 1024
_PAGE: Final = 500
_TRIES: Final = 5
_LOST: Final = "the content of a Binary is missing"


class OutOfLine:
    """Satisfies `Store` over another one; contents of more than `large` bytes are kept in `blobs`.

    Where `whole` is off the resources that it gives have marks for them; `brought` is what each Binary that
    is written has as its content.
    """

    def __init__(
        self,
        store: Store,
        care: Care,
        blobs: Blobs,
        *,
        large: int = LARGE,
        whole: bool = True,
        brought: Brought | None = None,
    ) -> None:
        self._store = store
        self._care = care
        self._blobs = blobs
        self._large = large
        self._gives_whole = whole
        self._brought = brought
        self.count = store.count
        self.position = store.position
        self.explain = store.explain

    # --- Contents ---

    @property
    def marked(self) -> OutOfLine:
        """Give the store as it is without large contents."""
        return OutOfLine(self._store, self._care, self._blobs, large=self._large, whole=False)

    def bringing(self, brought: Brought) -> OutOfLine:
        """Give the marked store where each Binary that is written has this content."""
        return OutOfLine(self._store, self._care, self._blobs, whole=False, brought=brought)

    async def content(self, tenant: str, body: bytes) -> Content | None:
        """Give the content that a Binary's JSON has a mark for; raises StoreUnavailable where it is lost."""
        sha256 = marks.of(TYPE, body)
        if sha256 is None:
            return None
        size = await self._blobs.size(tenant, sha256)
        if size is None:
            raise StoreUnavailable(_LOST)
        return Content(size, partial(self._blobs.pieces, tenant, sha256), *marks.around(body))

    # --- Store ---

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

    async def deletions(self, numbers: Sequence[Numbered]) -> frozenset[Numbered]:
        """Give those of these superseded versions that are deletions."""
        return await self._store.deletions(numbers)

    async def commit(
        self, changes: Sequence[Change], preconditions: Sequence[Precondition] = ()
    ) -> Sequence[Version]:
        """Write all changes or none, large contents first."""
        if not any(change.key.type == TYPE for change in changes):
            return await self._store.commit(changes, preconditions)
        for _ in range(_TRIES):
            try:
                async with self._blobs.keeping():
                    marked = [await self._marked(change) for change in changes]
                    versions = await self._store.commit(marked, preconditions)
            except ContentGone:  # erased with the last version that named it: it is put once more
                continue
            return await self._wholes(versions)
        raise StoreUnavailable("the content of a Binary is erased again and again")

    async def history(self, scope: Scope, page: Page) -> Sequence[Version]:
        """Give versions newest first."""
        return await self._wholes(await self._store.history(scope, page))

    async def search(self, plan: Plan) -> Sequence[Match]:
        """Give the page of matches that the plan asks for."""
        found = await self._store.search(plan)
        if not any(branch.type == TYPE for branch in plan.branches):
            return found
        return [replace(match, version=await self._whole(match.version)) for match in found]

    async def changes(
        self, after: int, types: frozenset[str] | None = None
    ) -> AsyncIterator[Version]:
        """Follow every version with a position above `after`, of some types or all."""
        async for version in self._store.changes(after, types):
            yield await self._whole(version)

    async def purge(self, key: Key) -> int:
        """Erase every version but the current one, and contents that no version names any more."""
        if key.type != TYPE:
            return await self._care.purge(key)
        if self._blobs.counted:
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
                what = await self._fault(tenant, sha256)
                if what:
                    faults.append(f"The content {sha256} of a Binary of tenant {tenant} is {what}.")
        return faults

    async def _fault(self, tenant: str, sha256: str) -> str:
        digest = hashlib.sha256()
        try:
            async for piece in self._blobs.pieces(tenant, sha256):
                digest.update(piece)
        except ContentGone:
            return "lost"
        return "" if digest.hexdigest() == sha256 else "damaged"

    # --- how ---

    async def _marked(self, change: Change) -> Change:
        if change.key.type != TYPE or change.body is None:
            return change
        if self._brought is not None:
            await self._blobs.keep(change.key.tenant, self._brought)
            tail: bytes | None = marks.add(change.body.tail, self._brought.sha256)
        else:
            tail = await self._without(change.key.tenant, change.body.tail)
        return change if tail is None else replace(change, body=Body(change.body.head, tail))

    async def _taken(self, past: Past) -> Past:
        if past.key.type != TYPE or past.body is None:
            return past
        body = await self._without(past.key.tenant, past.body)
        return past if body is None else replace(past, body=body)

    async def _without(self, tenant: str, text: bytes) -> bytes | None:
        """Give JSON with a mark in place of its content, None where that stays; raises Invalid."""
        if marks.MARK in text:
            raise Invalid("Binary.data is not base64", expression="Binary.data")
        at = marks.content(text)
        if at is None or (at.stop - at.start) * 3 // 4 <= self._large:
            return None
        data = await asyncio.to_thread(marks.decoded, text[at])
        if data is None:
            return None
        return marks.put(text, at, await self._blobs.put(tenant, data))

    async def _wholes(self, versions: Sequence[Version]) -> Sequence[Version]:
        if not any(version.key.type == TYPE for version in versions):
            return versions
        return [await self._whole(version) for version in versions]

    async def _whole(self, version: Version) -> Version:
        """Give a version with its content in place; raises StoreUnavailable where that is lost."""
        body = version.body
        sha256 = marks.of(version.key.type, body) if self._gives_whole else None
        if body is None or sha256 is None:
            return version
        data = await self._blobs.get(version.key.tenant, sha256)
        if data is None:
            raise StoreUnavailable(_LOST)
        return replace(version, body=await asyncio.to_thread(marks.filled, body, data))

    async def _named(self, scope: Scope) -> set[str]:
        """Give the SHA-256 of every content that versions name."""
        found: set[str] = set()
        page = Page(_PAGE)
        while versions := await self._store.history(scope, page):
            named = (marks.of(version.key.type, version.body) for version in versions)
            found |= {sha256 for sha256 in named if sha256 is not None}
            page = replace(page, before=versions[-1].position)
        return found
