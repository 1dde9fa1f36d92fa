"""A bulk export from start to files (Bulk Data Access 2.0, FHIR R4 async.html)."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import urlencode, urljoin

import httpx
from msgspec import Struct

from fhir_server.bulk import manifest as manifests
from fhir_server.bulk.exchange import (
    LONGEST_S,
    TRIES,
    Broken,
    Exchange,
    ExportFailed,
    reason,
    retry_after,
)
from fhir_server.bulk.manifest import Listed, Manifest, UnknownManifest

_AT_ONCE = 4
_PERCENT = re.compile(r"(\d{1,3})(?:\.\d+)?\s*%")


class Ask(Struct, frozen=True):
    """What to export; `level` is "", "Patient" or "Group/ID", `since` an instant."""

    level: str = ""
    types: tuple[str, ...] = ()
    since: str = ""

    @property
    def path(self) -> str:
        """Give path and query of the kick-off request, below the FHIR base."""
        named = {"_type": ",".join(self.types), "_since": self.since}
        query = urlencode({name: value for name, value in named.items() if value})
        place = f"{self.level}/$export" if self.level else "$export"
        return f"{place}?{query}" if query else place


class Fetched(Struct, frozen=True):
    """A file that was fetched: lines and bytes that came, and what is wrong with it, if anything."""

    listed: Listed
    lines: int
    size: int
    problem: str = ""


Told = Callable[[str, int | None], None]
"""Is told what the server says of its progress, and the percentage if there is one."""
Arrived = Callable[[int], None]
"""Is told that so many more bytes arrived."""


class BulkClient:
    """Speaks to one Bulk Data server."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def start(self, ask: Ask) -> str:
        """Kick the export off and give the URL of its status; raises ExportFailed."""
        url = f"{self._exchange.base}/{ask.path}"
        headers = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
        response = await self._exchange.ask("GET", url, headers)
        place: str = response.headers.get("content-location", "")
        if response.status_code != httpx.codes.ACCEPTED or not place:
            raise ExportFailed(f"The export was not accepted: {reason(response)}")
        return urljoin(url, place)

    async def wait(self, status: str, told: Told) -> Manifest:
        """Poll until the export is complete and give its manifest; raises ExportFailed."""
        pause = 1.0
        while True:
            response = await self._exchange.ask("GET", status, {"Accept": "application/json"})
            if response.status_code == httpx.codes.OK:
                return _manifest(response, status)
            if response.status_code != httpx.codes.ACCEPTED:
                raise ExportFailed(f"The export failed: {reason(response)}")
            progress: str = response.headers.get("x-progress", "")
            percent = _PERCENT.search(progress)
            told(progress, int(percent[1]) if percent else None)
            await self._exchange.sleep(retry_after(response, pause))
            pause = min(pause * 2, LONGEST_S)

    async def cancel(self, status: str) -> None:
        """Tell the server that the export is not wanted any more; raises ExportFailed."""
        await self._exchange.ask("DELETE", status, {})

    async def fetch(self, manifest: Manifest, folder: Path, arrived: Arrived) -> list[Fetched]:
        """Fetch every file into the folder, a few at once; what went wrong is told with each."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(listed: Listed) -> Fetched:
            async with free:
                return await self._fetched(listed, folder, arrived)

        return await asyncio.gather(*(one(listed) for listed in manifest.files))

    async def _fetched(self, listed: Listed, folder: Path, arrived: Arrived) -> Fetched:
        """Fetch one file; only a whole one gets its name, what is short keeps .part after it."""
        part = folder / f"{listed.name}.part"
        fault = ""
        for attempt in range(TRIES):
            try:
                lines, size = await self._written(listed, part, arrived)
            except Broken as broken:
                fault = f"not fetched: {broken}"
                await self._exchange.sleep(2.0**attempt)
                continue
            except ExportFailed as refused:
                return Fetched(listed, 0, 0, f"not fetched: {refused}")
            if listed.count is not None and lines < listed.count:
                return Fetched(listed, lines, size, f"short: kept as {part.name}")
            await asyncio.to_thread(part.replace, folder / listed.name)
            return Fetched(listed, lines, size)
        return Fetched(listed, 0, 0, fault)

    async def _written(self, listed: Listed, part: Path, arrived: Arrived) -> tuple[int, int]:
        """Write what a file's URL gives, durably; gives lines and bytes."""
        lines, size, rest = 0, 0, b""
        async with self._exchange.stream(listed.url, protected=listed.protected) as response:
            file = await asyncio.to_thread(part.open, "wb")
            with file:
                async for piece in response.aiter_bytes():
                    await asyncio.to_thread(file.write, piece)
                    *whole, rest = (rest + piece).split(b"\n")
                    lines += sum(1 for line in whole if line.strip())
                    size += len(piece)
                    arrived(len(piece))
                await asyncio.to_thread(_keep, file)
        return lines + bool(rest.strip()), size


def _keep(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _manifest(response: httpx.Response, place: str) -> Manifest:
    try:
        return manifests.read(response.content, place)
    except UnknownManifest as fault:
        raise ExportFailed(str(fault)) from None
