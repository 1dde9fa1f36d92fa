"""Groups straight into the store of a data folder: many resources a commit, each checked like any other."""

import asyncio
from collections.abc import Iterator, Sequence

from fhir_server.context import Context
from fhir_server.files import Text
from fhir_server.interactions.put_many import put
from fhir_server.loading.answers import refusal
from fhir_server.loading.door import Door
from fhir_server.loading.load import BrokenOff, Loaded
from fhir_server.loading.preparing import Prepared, Preparing, told
from fhir_server.store.port import Change, Key, StoreUnavailable
from resources.outcome import FhirError

_Run = list[tuple[Text, Change]]


class Straight:
    """The way into a store of our own; what only a request can say goes through `door`."""

    size = 1000

    def __init__(self, context: Context, preparing: Preparing, door: Door) -> None:
        self._context = context
        self._preparing = preparing
        self._door = door

    def begin(self, group: list[Text], mark: str) -> asyncio.Future[list[Prepared]]:
        """Begin to parse, check and index the group."""
        return asyncio.ensure_future(self._preparing.group(group, mark))

    async def store(self, group: Sequence[Text], begun: list[Prepared], totals: Loaded) -> None:
        """Store a group in one commit, in more where a resource comes twice; raises BrokenOff."""
        try:
            await self._stored(group, begun, totals)
        except StoreUnavailable as fault:
            raise BrokenOff(str(fault)) from None

    async def _stored(self, group: Sequence[Text], begun: list[Prepared], totals: Loaded) -> None:
        """Put runs of resources, with what needs the door in its place between them."""
        run: _Run = []
        for text, prepared in zip(group, begun, strict=True):
            for why in prepared.reasons:
                totals.refuse(text, why)
            if prepared.door:
                await self._put(run, totals)
                run = []
                await self._door.store([text], prepared.door, totals)
            run += [(text, change) for change in prepared.changes]
        await self._put(run, totals)

    async def _put(self, run: _Run, totals: Loaded) -> None:
        for part in _apart(run):
            await self._part(part, totals)

    async def _part(self, part: _Run, totals: Loaded) -> None:
        """Put resources; where some are refused, halves of them, until it is known which."""
        try:
            await put(self._context, [change for _, change in part])
        except FhirError as fault:
            if not refusal(fault.status):
                raise BrokenOff(told(fault)) from None
            if len(part) == 1:
                totals.refuse(part[0][0], told(fault))
                return
            half = len(part) // 2
            await self._part(part[:half], totals)
            await self._part(part[half:], totals)
        else:
            totals.stored += len(part)


def _apart(run: _Run) -> Iterator[_Run]:
    """Part a run so that no part has two changes of one resource."""
    part, seen = _Run(), set[Key]()
    for text, change in run:
        if change.key in seen:
            yield part
            part, seen = [], set()
        part.append((text, change))
        seen.add(change.key)
    if part:
        yield part
