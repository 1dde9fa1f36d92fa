"""The door of a running server: Bundles posted to its FHIR base, and what to make of no answer."""

import asyncio
from typing import Final

import httpx

from fhir_server.loading.load import BrokenOff
from resources.model import Resource, parse, serialise
from resources.outcome import Invalid

_TIMEOUT_S: Final = 300
_TRIES: Final = 4
_LONGEST_S: Final = 120
_LATER: Final = frozenset({429, 503})
_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
)


def base_of(text: str) -> str:
    """Give a FHIR base as everyone would write it; raises ValueError for what is none."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise ValueError("--base: a URL that begins with http:// or https:// is wanted")
    return str(url).rstrip("/")


def target_of(base: str) -> str:
    """Give a name of the server that has a base, whoever asks it."""
    url = httpx.URL(base)
    return f"{url.scheme}://{url.netloc.decode()}{url.path}"


class Remote:
    """Sends Bundles to a base, and once more where the server says in seconds when to (RFC 9110 §10.2.3)."""

    def __init__(self, client: httpx.AsyncClient, base: str) -> None:
        self._client = client
        self._base = base

    async def send(self, bundle: Resource) -> tuple[int, Resource]:
        """Post a Bundle and give status and answer, {} for one that is no resource; raises BrokenOff."""
        body = serialise(bundle)
        for _ in range(_TRIES - 1):
            response = await self._post(body)
            wait = _wait(response)
            if wait is None:
                break
            await asyncio.sleep(wait)
        else:
            response = await self._post(body)
        try:
            return response.status_code, parse(response.content)
        except Invalid:
            return response.status_code, {}

    async def _post(self, body: bytes) -> httpx.Response:
        try:
            return await self._client.post(self._base, content=body)
        except _UNSENT as fault:
            raise BrokenOff(f"the server cannot be reached: {type(fault).__name__}") from None
        except httpx.HTTPError as fault:
            lost = f"the answer was lost ({type(fault).__name__})"
            raise BrokenOff(f"{lost}: it is not known what was stored of the last group") from None


def client(token: str | None) -> httpx.AsyncClient:
    """Give a client that says who it is and what it sends; raises ValueError for what is no token."""
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    if token:
        if not token.isascii():
            raise ValueError("--token: a token has letters, digits and signs of ASCII only")
        headers["Authorization"] = f"Bearer {token}"
    return httpx.AsyncClient(headers=headers, timeout=_TIMEOUT_S)


def _wait(response: httpx.Response) -> int | None:
    """Give the seconds after which to send again, None where it is not to be."""
    text = response.headers.get("retry-after", "").strip()
    if response.status_code not in _LATER or not (text.isascii() and text.isdecimal()):
        return None
    return min(int(text), _LONGEST_S)
