"""A bulk export from start to files (Bulk Data Access 2.0, FHIR R4 async.html).

The access token goes to the origin of the FHIR server only, and to files only where the manifest says
that they need it.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import httpx
import msgspec
from msgspec import Struct

from fhir_server.bulk import manifest as manifests
from fhir_server.bulk.bearer import Bearer, NoToken
from fhir_server.bulk.manifest import Listed, Manifest, UnknownManifest

_TRIES = 5
_LONGEST_S = 120.0
_AT_ONCE = 4
_BUSY = frozenset({429, 502, 503, 504})
_PERCENT = re.compile(r"(\d{1,3})(?:\.\d+)?\s*%")


class ExportFailed(Exception):
    """The server refused or failed, or cannot be understood; the sentence says which."""


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
    """Speaks to one Bulk Data server; `sleep` waits so many seconds."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        base: str,
        bearer: Bearer,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = http
        self._base = base.rstrip("/")
        self._bearer = bearer
        self._sleep = sleep

    async def start(self, ask: Ask) -> str:
        """Kick the export off and give the URL of its status; raises ExportFailed."""
        url = f"{self._base}/{ask.path}"
        accept = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
        response = await self._answer("GET", url, accept)
        place = response.headers.get("content-location")
        if response.status_code != httpx.codes.ACCEPTED or not place:
            raise ExportFailed(f"The export was not accepted: {_reason(response)}")
        return urljoin(url, place)

    async def wait(self, status: str, told: Told) -> Manifest:
        """Poll until the export is complete and give its manifest; raises ExportFailed."""
        pause = 1.0
        while True:
            response = await self._answer("GET", status, {"Accept": "application/json"})
            if response.status_code == httpx.codes.OK:
                return _manifest(response)
            if response.status_code != httpx.codes.ACCEPTED:
                raise ExportFailed(f"The export failed: {_reason(response)}")
            progress = response.headers.get("x-progress", "")
            percent = _PERCENT.search(progress)
            told(progress, int(percent[1]) if percent else None)
            await self._sleep(_retry_after(response, pause))
            pause = min(pause * 2, _LONGEST_S)

    async def cancel(self, status: str) -> None:
        """Tell the server that the export is not wanted any more."""
        await self._answer("DELETE", status, {})

    async def fetch(self, manifest: Manifest, folder: Path, arrived: Arrived) -> list[Fetched]:
        """Fetch every file into the folder, a few at once; what went wrong is told with each."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(listed: Listed) -> Fetched:
            async with free:
                return await self._fetched(listed, manifest.needs_token, folder, arrived)

        return await asyncio.gather(*(one(listed) for listed in manifest.files))

    async def _fetched(
        self, listed: Listed, needs_token: bool, folder: Path, arrived: Arrived
    ) -> Fetched:
        """Fetch one file; only a whole one gets its name, what is short keeps .part after it."""
        part = folder / f"{listed.name}.part"
        fault = ""
        for attempt in range(_TRIES):
            try:
                lines, size = await self._streamed(listed.url, needs_token, part, arrived)
            except (httpx.TransportError, _Busy) as broken:
                fault = f"not fetched: {broken or type(broken).__name__}"
                await self._sleep(2.0**attempt)
                continue
            except (ExportFailed, NoToken) as refused:
                return Fetched(listed, 0, 0, str(refused))
            if listed.count is not None and lines < listed.count:
                return Fetched(listed, lines, size, f"short: kept as {part.name}")
            await asyncio.to_thread(part.replace, folder / listed.name)
            return Fetched(listed, lines, size)
        return Fetched(listed, 0, 0, fault)

    async def _streamed(
        self, url: str, needs_token: bool, part: Path, arrived: Arrived
    ) -> tuple[int, int]:
        """Write what a URL gives, durably; gives lines and bytes."""
        lines, size, rest = 0, 0, b""
        async with self._stream(url, needs_token) as response:
            file = await asyncio.to_thread(part.open, "wb")
            with file:
                async for piece in response.aiter_bytes():
                    await asyncio.to_thread(file.write, piece)
                    *whole, rest = (rest + piece).split(b"\n")
                    lines += sum(1 for line in whole if line.strip())
                    size += len(piece)
                    arrived(len(piece))
                await asyncio.to_thread(_durable, file.fileno(), file.flush)
        return lines + bool(rest.strip()), size

    @asynccontextmanager
    async def _stream(self, url: str, needs_token: bool) -> AsyncIterator[httpx.Response]:
        headers = {"Accept": "application/fhir+ndjson"}
        for again in (False, True):
            wanted = await self._headers(url, headers, renewed=again) if needs_token else headers
            async with self._http.stream("GET", url, headers=wanted) as response:
                if response.status_code == httpx.codes.UNAUTHORIZED and needs_token and not again:
                    continue
                if response.status_code in _BUSY:
                    raise _Busy(str(response.status_code))
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                    raise ExportFailed(f"not fetched: {_reason(response)}")
                yield response
                return

    async def _answer(self, method: str, url: str, headers: dict[str, str]) -> httpx.Response:
        """Give the answer of a small request, tried again where the server is busy or the way is broken."""
        renewed = False
        for attempt in range(_TRIES):
            pause = 2.0**attempt
            try:
                wanted = await self._headers(url, headers, renewed=renewed)
                response = await self._http.request(method, url, headers=wanted)
            except NoToken as refused:
                raise ExportFailed(str(refused)) from None
            except httpx.TransportError as broken:
                fault = f"{url} cannot be reached: {broken or type(broken).__name__}"
            else:
                if response.status_code == httpx.codes.UNAUTHORIZED and not renewed:
                    renewed = True
                    continue
                if response.status_code not in _BUSY:
                    return response
                fault = f"{url} is busy: {_reason(response)}"
                pause = _retry_after(response, pause)
            await self._sleep(pause)
        raise ExportFailed(fault)

    async def _headers(
        self, url: str, headers: dict[str, str], *, renewed: bool = False
    ) -> dict[str, str]:
        """Give the headers with the token, for the server's own origin only; raises NoToken."""
        if _origin(url) != _origin(self._base):
            return headers
        token = await self._bearer.token(renewed=renewed)
        return {**headers, "Authorization": f"Bearer {token}"} if token else headers


class _Busy(Exception):
    """The server cannot give the file now."""


def _durable(descriptor: int, flush: Callable[[], None]) -> None:
    flush()
    os.fsync(descriptor)


def _origin(url: str) -> tuple[str, str, int | None]:
    """Give scheme, host and port, by which a token's receiver is known (RFC 6454)."""
    parts = httpx.URL(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.host, parts.port or default


def _manifest(response: httpx.Response) -> Manifest:
    try:
        return manifests.read(response.content)
    except UnknownManifest as fault:
        raise ExportFailed(str(fault)) from None


def _retry_after(response: httpx.Response, otherwise: float) -> float:
    """Give the seconds to wait: Retry-After as a number or a date (RFC 9110 §10.2.3), else the default."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_S)
    try:
        left = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return otherwise
    return min(max(left, 0.0), _LONGEST_S)


def _reason(response: httpx.Response) -> str:
    """Give the status and what an OperationOutcome says of it."""
    told = ""
    try:
        value: dict[str, Any] = msgspec.json.decode(response.content, type=dict[str, Any])
        issue = value["issue"][0]
        told = issue.get("diagnostics") or issue.get("details", {}).get("text", "")
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, AttributeError):
        pass
    return f"{response.status_code} {told}".strip()
