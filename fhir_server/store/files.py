"""Files of jobs beside a store: what a request brought, and what an answer or an export came to.

Every server of a store must find them, so they are in a folder only where the store is one machine's, too.
Each is whole or not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from fhir_server.durable import sync_folder

_PIECE: Final = 1 << 18


class Place(NamedTuple):
    """Where a file is: whose tenant, which job, under what name."""

    tenant: str
    job: str
    name: str


class Opened(NamedTuple):
    """A file to be read: its size in bytes, and what begins to read it."""

    size: int
    read: Callable[[], AsyncIterator[bytes]]


class Files(Protocol):
    """The files of one kind of job."""

    async def write(self, place: Place, data: bytes) -> None:
        """Keep some bytes as a file, durable on return, in place of what was there."""

    async def keep(self, place: Place, file: Path) -> None:
        """Keep a file that is on the disk already, durable on return; it is not there any more then."""

    async def read(self, place: Place) -> bytes | None:
        """Give a file's bytes, or None where there is none."""

    async def opened(self, place: Place) -> Opened | None:
        """Give a file to be read piece by piece, or None where there is none."""

    async def forget(self, tenant: str, job: str) -> None:
        """Remove all files of a job."""

    async def jobs(self, seconds: int) -> Sequence[tuple[str, str]]:
        """Give tenant and job of those files that are older than so many seconds."""


class FolderFiles:
    """Satisfies `Files` in a folder: `FOLDER/tenant/job/name`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, place: Place) -> Path:
        """Give where a file is on the disk, or would be."""
        return self._folder / place.tenant / place.job / place.name

    async def write(self, place: Place, data: bytes) -> None:
        """Keep some bytes as a file."""
        await asyncio.to_thread(self._made)
        await asyncio.to_thread(_write, self.path(place), data)

    async def keep(self, place: Place, file: Path) -> None:
        """Move a file to its place, if it is not there already."""
        await asyncio.to_thread(self._made)
        await asyncio.to_thread(_moved, file, self.path(place))

    async def read(self, place: Place) -> bytes | None:
        """Give a file's bytes, or None."""
        return await asyncio.to_thread(_read, self.path(place))

    async def opened(self, place: Place) -> Opened | None:
        """Give a file to be read piece by piece, or None."""
        path = self.path(place)
        size = await asyncio.to_thread(_size, path)
        return None if size is None else Opened(size, partial(_pieces, path))

    async def forget(self, tenant: str, job: str) -> None:
        """Remove the folder of a job."""
        await asyncio.to_thread(shutil.rmtree, self._folder / tenant / job, ignore_errors=True)

    async def jobs(self, seconds: int) -> Sequence[tuple[str, str]]:
        """Give tenant and job of folders that were made so long ago."""
        return await asyncio.to_thread(_old, self._folder, time.time() - seconds)

    def _made(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _old(folder: Path, before: float) -> list[tuple[str, str]]:
    """Give the old of those that are there; where one goes meanwhile, the next look gives the others."""
    found: list[tuple[str, str]] = []
    with contextlib.suppress(FileNotFoundError):
        old = (place for place in folder.glob("*/*") if place.stat().st_mtime < before)
        found.extend((place.parent.name, place.name) for place in old)
    return found


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    """Read a file in pieces, off the event loop."""
    with path.open("rb") as opened:
        while piece := await asyncio.to_thread(opened.read, _PIECE):
            yield piece


def _write(path: Path, data: bytes) -> None:
    """Write a file whole and durably, with its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)
    _sync(path)


def _moved(file: Path, path: Path) -> None:
    if file != path:
        path.parent.mkdir(parents=True, exist_ok=True)
        file.replace(path)
    _sync(path)


def _sync(path: Path) -> None:
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        sync_folder(folder)
