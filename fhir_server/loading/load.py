"""The files of a load, group by group: what was stored, what was refused and why, where to go on."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from fhir_server.files import Text, texts
from fhir_server.loading.progress import Behind, Progress, mark_of

MOST_BYTES: Final = 8 * 1024 * 1024
_AHEAD: Final = 2
_ALONE: Final = b'"Bundle"'


class BrokenOff(Exception):
    """The load cannot go on; the sentence says why. The group that it was at is not behind."""


class Refused(msgspec.Struct, frozen=True):
    """One resource that was not stored, and why."""

    path: str
    place: int
    reason: str


class Loaded(msgspec.Struct):
    """What happened so far: stored now, on lines passed over as stored before, refused now.

    `before` counts what an earlier load refused of lines passed over; `told` are the first of these.
    """

    stored: int = 0
    skipped: int = 0
    refused: list[Refused] = []
    before: int = 0
    told: list[Refused] = []

    def refuse(self, text: Text, reason: str) -> None:
        """Take note of a resource that was not stored."""
        self.refused.append(Refused(text.path, text.place, reason))

    def refused_before(self, path: Path, behind: Behind) -> None:
        """Take note of what was refused when the lines that are behind were loaded."""
        self.skipped -= behind.lines
        self.before += behind.refused
        self.told += [Refused(str(path), place, reason) for place, reason in behind.first]


class Way(Protocol):
    """How groups of texts get into a store; `size` is how many a group has at most."""

    @property
    def size(self) -> int:
        """The most texts of a group."""

    def begin(self, group: list[Text], mark: str) -> asyncio.Future[Any]:
        """Begin what can be done before earlier groups are stored; `mark` names the file as it is."""

    async def store(self, group: list[Text], begun: Any, totals: Loaded) -> None:
        """Store a group, durable on return, and add it to the totals; raises BrokenOff."""


async def load(paths: Iterable[Path], way: Way, progress: Progress) -> AsyncIterator[Loaded]:
    """Load the files, giving the running totals at first and after each group; raises BrokenOff.

    A group is behind once it is stored: a load that is broken off goes on with the group that it was at.
    """
    totals = Loaded()
    yield totals
    for path in paths:
        mark = mark_of(path)
        behind = progress.behind(mark)
        totals.refused_before(path, behind)
        groups = _groups(_ahead(path, behind.place, totals), way.size)
        async for group, begun in _begun(groups, way, mark):
            known = len(totals.refused)
            await way.store(group, begun, totals)
            refused = [(one.place, one.reason) for one in totals.refused[known:] if one.place]
            place = max(text.place for text in group)
            await asyncio.to_thread(progress.advance, mark, place, refused)
            yield totals
    yield totals


async def _begun(
    groups: Iterable[list[Text]], way: Way, mark: str
) -> AsyncIterator[tuple[list[Text], Any]]:
    """Give groups with what was begun of them, having begun some of those that follow."""
    waiting: deque[tuple[list[Text], asyncio.Future[Any]]] = deque()
    try:
        for group in groups:
            waiting.append((group, way.begin(group, mark)))
            if len(waiting) > _AHEAD:
                first, begun = waiting.popleft()
                yield first, await begun
        while waiting:
            first, begun = waiting.popleft()
            yield first, await begun
    finally:
        for _, begun in waiting:
            begun.cancel()


def _ahead(path: Path, behind: int, totals: Loaded) -> Iterator[Text]:
    for text in texts(path):
        if text.place and text.place <= behind:
            totals.skipped += 1
        else:
            yield text


def _groups(found: Iterable[Text], most: int) -> Iterator[list[Text]]:
    """Group texts by number and size; a Bundle stands alone, for it may be a transaction of its own."""
    group, size = list[Text](), 0
    for one in found:
        alone = _ALONE in one.raw
        if group and (alone or len(group) >= most or size + len(one.raw) > MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(one)
        size += len(one.raw)
        if alone:
            yield group
            group, size = [], 0
    if group:
        yield group
