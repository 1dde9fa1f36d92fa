"""The queue of jobs: a place is held by one worker at a time, by compare-and-set, until it says."""

from collections.abc import AsyncIterator, Callable, Collection

import msgspec
from msgspec.structs import replace

from fhir_server.jobs import job as jobs
from fhir_server.jobs.job import QUEUE, QUEUE_TENANT, Queued
from fhir_server.store.port import Document, Documents

LEASE = 15_000
"""How long a place is held without a word from its worker, in milliseconds."""
_PAGE = 200


class Held(msgspec.Struct):
    """A place that this worker holds; `revision` is that of its last word, the proof that it does."""

    key: str
    place: Queued
    revision: int


class Queue:
    """The queue as one worker sees it; `name` is the worker's, told apart from every other that runs."""

    def __init__(self, documents: Documents, clock: Callable[[], int], name: str) -> None:
        self._documents = documents
        self._clock = clock
        self._name = name

    async def free(self) -> None:
        """Let go of what a worker of this name held before it died."""
        async for document, place in self._places():
            if place.worker == self._name and place.held_until:
                await self._put(document.key, replace(place, held_until=0), document.revision)

    async def claim(self, kinds: Collection[str]) -> Held | None:
        """Hold the oldest place of these kinds that nobody holds, or give None."""
        if not kinds:
            return None
        async for document, place in self._places():
            if place.kind not in kinds or place.held_until > self._clock():
                continue
            if not await self._has_job(document, place):
                continue
            held = replace(place, worker=self._name, held_until=self._clock() + LEASE)
            revision = await self._put(document.key, held, document.revision)
            if revision is not None:
                return Held(document.key, held, revision)
        return None

    async def extend(self, held: Held) -> bool:
        """Hold a place for longer; False where it is held no more."""
        return await self._say(held, self._clock() + LEASE)

    async def release(self, held: Held, wait: int = 0) -> None:
        """Let go of a place, so that anyone may claim it after `wait` milliseconds."""
        await self._say(held, self._clock() + wait if wait else 0)

    async def drop(self, held: Held) -> None:
        """Remove a place, whose job has ended."""
        await self._documents.delete(QUEUE_TENANT, QUEUE, held.key)

    async def _say(self, held: Held, until: int) -> bool:
        place = replace(held.place, held_until=until)
        revision = await self._put(held.key, place, held.revision)
        if revision is not None:
            held.place, held.revision = place, revision
        return revision is not None

    async def _has_job(self, document: Document, place: Queued) -> bool:
        """Tell whether the job of a place is there; a place whose job never came is removed."""
        if await jobs.find(self._documents, place.tenant, place.job) is not None:
            return True
        if place.created + LEASE < self._clock():
            await self._documents.delete(QUEUE_TENANT, QUEUE, document.key)
        return False

    async def _places(self) -> AsyncIterator[tuple[Document, Queued]]:
        after = ""
        while found := await self._documents.list(QUEUE_TENANT, QUEUE, after=after, limit=_PAGE):
            for document in found:
                yield document, msgspec.json.decode(document.value, type=Queued)
            after = found[-1].key

    async def _put(self, key: str, place: Queued, revision: int) -> int | None:
        value = msgspec.json.encode(place)
        return await self._documents.put(QUEUE_TENANT, QUEUE, key, value, revision=revision)
