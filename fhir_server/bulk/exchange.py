"""Requests to a bulk data server: the token only for its own origin, tried again where it is busy."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from fhir_server.bulk.bearer import Bearer, NoToken

TRIES = 5
LONGEST_S = 120.0
_BUSY = frozenset({429, 502, 503, 504})

Sleep = Callable[[float], Awaitable[None]]


class ExportFailed(Exception):
    """The server refused or failed, or cannot be understood; the sentence says which."""


class Broken(Exception):
    """The way is broken or the server is busy: it may be tried again."""


class Exchange:
    """Asks one server; `base` is its FHIR base, `sleep` waits so many seconds."""

    def __init__(
        self, http: httpx.AsyncClient, base: str, bearer: Bearer, sleep: Sleep = asyncio.sleep
    ) -> None:
        self.base = base.rstrip("/")
        self.sleep = sleep
        self._http = http
        self._bearer = bearer

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> httpx.Response:
        """Give the answer of a small request, asking again while the server is busy; raises ExportFailed."""
        renewed = False
        for attempt in range(TRIES):
            pause = 2.0**attempt
            try:
                wanted = await self._with_token(url, headers, renewed=renewed)
                response = await self._http.request(method, url, headers=wanted)
            except NoToken as refused:
                raise ExportFailed(str(refused)) from None
            except httpx.RequestError as broken:
                fault = f"{url} cannot be reached: {_words(broken)}"
            else:
                if response.status_code == httpx.codes.UNAUTHORIZED and not renewed:
                    renewed = True
                    continue
                if response.status_code not in _BUSY:
                    return response
                fault = f"{url} is busy: {reason(response)}"
                pause = retry_after(response, pause)
            await self.sleep(pause)
        raise ExportFailed(fault)

    @asynccontextmanager
    async def stream(self, url: str, *, protected: bool) -> AsyncIterator[httpx.Response]:
        """Give the answer of a large request as it comes; raises Broken or ExportFailed."""
        try:
            async with self._opened(url, protected=protected) as response:
                yield response
        except httpx.RequestError as broken:
            raise Broken(_words(broken)) from None
        except NoToken as refused:
            raise ExportFailed(str(refused)) from None

    @asynccontextmanager
    async def _opened(self, url: str, *, protected: bool) -> AsyncIterator[httpx.Response]:
        headers = {"Accept": "application/fhir+ndjson"}
        for again in (False, True):
            wanted = await self._with_token(url, headers, renewed=again) if protected else headers
            async with self._http.stream("GET", url, headers=wanted) as response:
                if response.status_code == httpx.codes.OK:
                    yield response
                    return
                if response.status_code == httpx.codes.UNAUTHORIZED and protected and not again:
                    continue
                await response.aread()
                if response.status_code in _BUSY:
                    raise Broken(reason(response))
                raise ExportFailed(reason(response))

    async def _with_token(
        self, url: str, headers: Mapping[str, str], *, renewed: bool
    ) -> Mapping[str, str]:
        """Give the headers with the token, for the server's own origin only; raises NoToken."""
        if _origin(url) != _origin(self.base):
            return headers
        token = await self._bearer.token(renewed=renewed)
        return {**headers, "Authorization": f"Bearer {token}"} if token else headers


def retry_after(response: httpx.Response, otherwise: float) -> float:
    """Give the seconds to wait: Retry-After as a number or a date (RFC 9110 §10.2.3), else the default."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_S)
    try:
        left = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return otherwise
    return min(max(left, 0.0), LONGEST_S)


def reason(response: httpx.Response) -> str:
    """Give the status, and what an OperationOutcome says of it."""
    told = ""
    try:
        value: dict[str, Any] = msgspec.json.decode(response.content, type=dict[str, Any])
        issue = value["issue"][0]
        told = issue.get("diagnostics") or issue.get("details", {}).get("text", "")
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, AttributeError):
        told = ""
    return f"{response.status_code} {told}".strip()


def _origin(url: str) -> tuple[str, str, int | None]:
    """Give scheme, host and port, by which a token's receiver is known (RFC 6454)."""
    parts = httpx.URL(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.host, parts.port or default


def _words(fault: Exception) -> str:
    return str(fault) or type(fault).__name__
