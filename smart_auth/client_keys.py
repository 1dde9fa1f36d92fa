"""The public keys of clients that sign assertions: inline, or fetched from their JWKS URL and cached.

SMART App Launch 2.2, Client Authentication: Asymmetric (RFC 7517, RFC 7523).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from smart_auth.records import now

ALGORITHMS = {"RS384": "RSA", "ES384": "EC"}
"""The signature algorithms of SMART's asymmetric clients and the key type of each."""


class Answer(NamedTuple):
    """A fetched key set, and for how many seconds it may be kept where its server said so."""

    content: bytes
    max_age: int | None = None


Fetch = Callable[[str], Awaitable[bytes | Answer]]
"""Fetches a key set; one that does not know how long it may be kept is bytes alone."""
ClientKey = RSAKey | ECKey

_FRESH_MS = 300_000
_RETRY_MS = 5_000
_STALE_MS = 3_600_000
_PUBLIC_PARTS = ("kty", "kid", "n", "e", "crv", "x", "y", "alg", "use")
_SMALLEST_RSA = 2_048
_CURVES = {"P-256": "ES256", "P-384": "ES384"}


class UnusableKeys(Exception):
    """The key set cannot be had or holds no usable key; the sentence says why and is fit for the client."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: Mapping[str, ClientKey]
    at: int
    fresh: int = _FRESH_MS
    stale: int = _STALE_MS


class ClientKeys:
    """Finds the key of an assertion by its `kid`, fetching again when a client has rotated its keys."""

    def __init__(
        self,
        fetch: Fetch,
        clock: Callable[[], int] = now,
        algorithms: Collection[str] = frozenset(ALGORITHMS),
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._algorithms = algorithms
        self._cache: dict[str, _Fetched] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def key(
        self, kid: str, inline: Mapping[str, Any] | None, url: str | None
    ) -> ClientKey | None:
        """Give the client's key of that id, None if it has none; raises UnusableKeys."""
        if url is None:
            return public_keys(inline or {}, self._algorithms).get(kid)
        async with self._locks.setdefault(url, asyncio.Lock()):
            held = self._cache.get(url)
            if held is None or self._is_due(held, kid):
                held = await self._renew(url, held)
        return held.keys.get(kid)

    def _read(self, answer: bytes | Answer) -> _Fetched:
        """Give the keys of an answer; they are never kept for longer than it says."""
        content, max_age = answer if isinstance(answer, Answer) else (answer, None)
        keys = public_keys(_decoded(content), self._algorithms)
        if max_age is None:
            return _Fetched(keys, self._clock())
        longest = max_age * 1_000
        return _Fetched(keys, self._clock(), min(_FRESH_MS, longest), min(_STALE_MS, longest))

    def _is_due(self, held: _Fetched, kid: str) -> bool:
        """Tell whether to fetch: the set is old, or lacks the id and was not fetched just now."""
        age = self._clock() - held.at
        return age >= held.fresh or (kid not in held.keys and age >= _RETRY_MS)

    async def _renew(self, url: str, held: _Fetched | None) -> _Fetched:
        """Fetch a set; for an hour the last good one serves where the client's server does not answer.

        Where that server said for how long it may be kept, it serves no longer than that.
        """
        try:
            fresh = self._read(await self._fetch(url))
        except UnusableKeys:
            if held is None or self._clock() - held.at >= held.stale:
                raise
            return held
        self._cache[url] = fresh
        return fresh


def public_keys(
    jwks: Mapping[str, Any], algorithms: Collection[str] = frozenset(ALGORITHMS)
) -> dict[str, ClientKey]:
    """Give the usable public keys of a JWKS by key id; raises UnusableKeys if there is none.

    Usable is a signing key with a `kid`: RSA of 2048 bits and more for RS256 and RS384, P-256 for ES256,
    P-384 for ES384, as far as these `algorithms` are wanted. Private parts are dropped.
    """
    listed = jwks.get("keys")
    found: dict[str, ClientKey] = {}
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict) and (key := _key(item, algorithms)) is not None:
            found[str(item["kid"])] = key
    if not found:
        raise UnusableKeys(
            "The client's key set holds no signing key with a kid that is RSA of at least 2048 bits"
            " or EC P-384"
        )
    return found


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UnusableKeys("The client's JWKS URL did not give a JSON object") from None


def _key(item: dict[str, Any], algorithms: Collection[str]) -> ClientKey | None:
    parts = {name: item[name] for name in _PUBLIC_PARTS if name in item}
    if not isinstance(parts.get("kid"), str) or parts.get("use", "sig") != "sig":
        return None
    try:
        return _suitable(parts, algorithms)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _suitable(parts: dict[str, Any], algorithms: Collection[str]) -> ClientKey | None:
    stated = parts.get("alg")
    wanted = (
        frozenset(algorithms) if stated is None else frozenset({stated}) & frozenset(algorithms)
    )
    if parts.get("kty") == "RSA" and wanted & {"RS256", "RS384"}:
        if len(parts["n"]) * 6 < _SMALLEST_RSA:
            return None
        rsa = RSAKey.import_key(parts)
        return rsa if rsa.public_key.key_size >= _SMALLEST_RSA else None
    if parts.get("kty") == "EC":
        curve = ECKey.import_key(parts)
        return curve if _CURVES.get(curve.curve_name) in wanted else None
    return None
