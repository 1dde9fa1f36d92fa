"""The public keys of clients that sign assertions: inline, or fetched from their JWKS URL and cached.

SMART App Launch 2.2, Client Authentication: Asymmetric (RFC 7517, RFC 7523).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from smart_auth.records import now

ALGORITHMS = {"RS384": "RSA", "ES384": "EC"}
"""The signature algorithms of SMART's asymmetric clients and the key type of each."""

Fetch = Callable[[str], Awaitable[bytes]]
ClientKey = RSAKey | ECKey

_FRESH_MS = 300_000
_RETRY_MS = 5_000
_STALE_MS = 3_600_000
_LARGEST = 65_536
_PUBLIC_PARTS = ("kty", "kid", "n", "e", "crv", "x", "y", "alg", "use")
_SMALLEST_RSA = 2_048


class UnusableKeys(Exception):
    """The key set cannot be had or holds no usable key; the sentence says why and is fit for the client."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: Mapping[str, ClientKey]
    at: int


class ClientKeys:
    """Finds the key of an assertion by its `kid`, fetching again when a client has rotated its keys."""

    def __init__(self, fetch: Fetch, clock: Callable[[], int] = now) -> None:
        self._fetch = fetch
        self._clock = clock
        self._cache: dict[str, _Fetched] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def key(
        self, kid: str, inline: Mapping[str, Any] | None, url: str | None
    ) -> ClientKey | None:
        """Give the client's key of that id, None if it has none; raises UnusableKeys."""
        if url is None:
            return public_keys(inline or {}).get(kid)
        async with self._locks.setdefault(url, asyncio.Lock()):
            held = self._cache.get(url)
            if held is None or self._is_due(held, kid):
                held = await self._renew(url, held)
        return held.keys.get(kid)

    def _is_due(self, held: _Fetched, kid: str) -> bool:
        """Tell whether to fetch: the set is old, or lacks the id and was not fetched just now."""
        age = self._clock() - held.at
        return age >= _FRESH_MS or (kid not in held.keys and age >= _RETRY_MS)

    async def _renew(self, url: str, held: _Fetched | None) -> _Fetched:
        """Fetch a set; for an hour the last good one serves where the client's server does not answer."""
        try:
            fresh = _Fetched(public_keys(_decoded(await self._fetch(url))), self._clock())
        except UnusableKeys:
            if held is None or self._clock() - held.at >= _STALE_MS:
                raise
            return held
        self._cache[url] = fresh
        return fresh


def public_keys(jwks: Mapping[str, Any]) -> dict[str, ClientKey]:
    """Give the usable public keys of a JWKS by key id; raises UnusableKeys if there is none.

    Usable is a signing key with a `kid`: RSA of 2048 bits and more for RS384, P-384 for ES384. Private
    parts are dropped.
    """
    listed = jwks.get("keys")
    found: dict[str, ClientKey] = {}
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and (key := _key(item)) is not None:
            found[str(item["kid"])] = key
    if not found:
        raise UnusableKeys(
            "The client's key set holds no signing key with a kid that is RSA of at least 2048 bits"
            " or EC P-384"
        )
    return found


async def fetch(url: str) -> bytes:
    """Fetch a key set over HTTP: 5 s, 64 KiB, no redirects; raises UnusableKeys."""
    try:
        async with (
            httpx.AsyncClient(timeout=5, follow_redirects=False) as http,
            http.stream("GET", url, headers={"Accept": "application/json"}) as response,
        ):
            if response.status_code != 200:
                raise UnusableKeys(f"The client's JWKS URL answered {response.status_code}")
            return await _bounded(response)
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise UnusableKeys(
            f"The client's JWKS URL could not be fetched: {type(fault).__name__}"
        ) from None


async def _bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    async for part in response.aiter_bytes():
        data += part
        if len(data) > _LARGEST:
            raise UnusableKeys("The client's JWKS is larger than 64 KiB")
    return bytes(data)


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnusableKeys("The client's JWKS URL did not give a JSON object") from None


def _key(item: dict[str, Any]) -> ClientKey | None:
    parts = {name: item[name] for name in _PUBLIC_PARTS if name in item}
    if not isinstance(parts.get("kid"), str) or parts.get("use", "sig") != "sig":
        return None
    try:
        return _suitable(parts)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _suitable(parts: dict[str, Any]) -> ClientKey | None:
    algorithm = parts.get("alg")
    if parts.get("kty") == "RSA" and algorithm in {None, "RS384"}:
        if len(parts["n"]) * 6 < _SMALLEST_RSA:
            return None
        rsa = RSAKey.import_key(parts)
        return rsa if rsa.public_key.key_size >= _SMALLEST_RSA else None
    if parts.get("kty") == "EC" and algorithm in {None, "ES384"}:
        curve = ECKey.import_key(parts)
        return curve if curve.curve_name == "P-384" else None
    return None
