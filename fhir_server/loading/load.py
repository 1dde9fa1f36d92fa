"""The files of a load, group by group: what was stored, what was refused and why, where to go on."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from fhir_server.files import Text, texts

MOST_BYTES: Final = 8 * 1024 * 1024
_AHEAD: Final = 2
_ALONE: Final = b'"Bundle"'


class Refused(msgspec.Struct, frozen=True):
    """One resource that was not stored, and why."""

    path: str
    place: int
    reason: str


class Loaded(msgspec.Struct):
    """What happened so far."""

    stored: int = 0
    skipped: int = 0
    refused: list[Refused] = []

    def refuse(self, text: Text, reason: str) -> None:
        """Take note of a resource that was not stored."""
        self.refused.append(Refused(text.path, text.place, reason))


class Way(Protocol):
    """How groups of texts get into a store; `size` is how many a group has at most."""

    @property
    def size(self) -> int:
        """The most texts of a group."""

    def begin(self, group: list[Text], mark: str) -> asyncio.Future[Any]:
        """Begin what can be done before earlier groups are stored; `mark` names the file as it is."""

    async def store(self, group: list[Text], begun: Any, totals: Loaded) -> None:
        """Store a group, durable on return, and add it to the totals."""


class Progress:
    """Where an earlier load of the same files stopped, in a file of its own."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._done: dict[str, int] = msgspec.json.decode(file.read_bytes()) if file.exists() else {}

    def done(self, mark: str) -> int:
        """Give how many places of a file are behind; 0 where the file has changed since."""
        return self._done.get(mark, 0)

    def advance(self, mark: str, place: int) -> None:
        """Keep that all places up to this one are behind."""
        self._done[mark] = place
        part = self._file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(self._done))
        part.replace(self._file)


def mark_of(path: Path) -> str:
    """Give a name of a file as it is now: its place, size and time of change."""
    state = path.stat()
    text = f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()


async def load(paths: Iterable[Path], way: Way, progress: Progress) -> AsyncIterator[Loaded]:
    """Load the files, giving the running totals after each group.

    A group is behind once it is stored: a load that is broken off goes on with the group that it was at.
    """
    totals = Loaded()
    for path in paths:
        mark = mark_of(path)
        groups = _groups(_ahead(path, progress.done(mark), totals), way.size)
        async for group, begun in _begun(groups, way, mark):
            await way.store(group, begun, totals)
            progress.advance(mark, group[-1].place)
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
