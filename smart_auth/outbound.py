"""Fetching the key sets of clients; those whose address a stranger chose, from the public Internet only.

Without that a registration could make this server ask its own network (SSRF, RFC 9700 and RFC 7591 §5).
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from smart_auth.client_keys import Answer, UnusableKeys

_LARGEST = 65_536
_JSON = {"Accept": "application/json"}


async def fetch(url: str) -> Answer:
    """Fetch a key set over HTTP: 5 s, 64 KiB, no redirects; raises UnusableKeys."""
    return await _fetched(url, _JSON, {})


async def fetch_public(url: str) -> Answer:
    """Fetch a key set over https from a public address only; raises UnusableKeys.

    The address that was looked at is the one that is connected to, so a name that changes in between
    gains nothing.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise UnusableKeys("The client's JWKS URL must be https")
    address = await _public_address(parts.hostname, parts.port or 443)
    host = f"[{address}]" if ":" in address else address
    netloc = f"{host}:{parts.port}" if parts.port else host
    pinned = parts._replace(netloc=netloc).geturl()
    return await _fetched(pinned, _JSON | {"Host": parts.netloc}, {"sni_hostname": parts.hostname})


async def _public_address(host: str, port: int) -> str:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise UnusableKeys("The client's JWKS URL could not be fetched: no such host") from None
    addresses = [str(one[4][0]) for one in found]
    if not addresses or not all(ipaddress.ip_address(one).is_global for one in addresses):
        raise UnusableKeys("The client's JWKS URL is not on a public address")
    return addresses[0]


async def _fetched(url: str, headers: Mapping[str, str], extensions: dict[str, str]) -> Answer:
    try:
        async with (
            httpx.AsyncClient(timeout=5, follow_redirects=False, trust_env=not extensions) as http,
            http.stream("GET", url, headers=headers, extensions=extensions) as response,
        ):
            if response.status_code != 200:
                raise UnusableKeys(f"The client's JWKS URL answered {response.status_code}")
            return Answer(await _bounded(response), _max_age(response))
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise UnusableKeys(
            f"The client's JWKS URL could not be fetched: {type(fault).__name__}"
        ) from None


def _max_age(response: httpx.Response) -> int | None:
    """Give for how many seconds an answer may be kept, None where it does not say (RFC 9111 §5.2.2)."""
    told = response.headers.get("cache-control", "").lower()
    if "no-store" in told or "no-cache" in told:
        return 0
    found = re.search(r"(?:^|[,\s])max-age=\"?(\d{1,9})", told)
    return int(found[1]) if found else None


async def _bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    async for part in response.aiter_bytes():
        data += part
        if len(data) > _LARGEST:
            raise UnusableKeys("The client's JWKS is larger than 64 KiB")
    return bytes(data)
