"""A conversation with an issuer outside: discovery, keys, the code exchange, introspection.

OpenID Connect Core and Discovery, RFC 6749 §4.1, RFC 7636, RFC 7662.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx
import msgspec
from joserfc.jwk import ECKey

from smart_auth import jose
from smart_auth.client_keys import ClientKey, ClientKeys, UnusableKeys
from smart_auth.issuers import ALGORITHMS, Issuer
from smart_auth.records import now

Http = Callable[[], httpx.AsyncClient]
_FRESH_MS = 3_600_000
_LARGEST = 262_144
_SKEW_S = 10


class ProviderFailed(Exception):
    """The issuer did not answer, or what it said does not hold; the sentence has nothing of a person."""


def http() -> httpx.AsyncClient:
    """Give a client that waits 5 s and follows no redirects."""
    return httpx.AsyncClient(timeout=5, follow_redirects=False)


class Provider:
    """One issuer: what it offers is asked for once an hour, its keys when they are needed."""

    def __init__(
        self, issuer: Issuer, open_http: Http = http, clock: Callable[[], int] = now
    ) -> None:
        self.issuer = issuer
        self._http = open_http
        self._clock = clock
        self._metadata: tuple[int, Mapping[str, Any]] | None = None
        self._lock = asyncio.Lock()
        self._keys = ClientKeys(self._bytes, clock, ALGORITHMS)

    async def authorization_url(self, parameters: Mapping[str, str]) -> str:
        """Give the URL that a browser is sent to; raises ProviderFailed."""
        place = await self._place("authorization_endpoint")
        joint = "&" if "?" in place else "?"
        return f"{place}{joint}{urlencode(parameters)}"

    async def exchange(self, code: str, redirect_uri: str, verifier: str) -> Mapping[str, Any]:
        """Give the token response for a code; raises ProviderFailed."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        return await self._posted("token_endpoint", form)

    async def introspect(self, token: str) -> Mapping[str, Any]:
        """Give what the issuer says of a token (RFC 7662 §2.2); raises ProviderFailed."""
        return await self._posted("introspection_endpoint", {"token": token})

    async def claims(self, token: str) -> Mapping[str, Any]:
        """Give the claims of a token of this issuer that has not expired; raises jose.BadToken.

        Signature, `iss`, `exp` and `nbf` are checked; `aud` and the rest are the caller's.
        """
        header = jose.header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or not isinstance(kid, str):
            raise jose.BadToken("of no algorithm that is taken, or without a kid")
        try:
            key = await self._keys.key(kid, None, await self._place("jwks_uri"))
        except (UnusableKeys, ProviderFailed):
            raise jose.BadToken("the keys of the issuer cannot be had") from None
        if key is None or not _fits(key, str(algorithm)):
            raise jose.BadToken("not signed by a key of the issuer")
        claims = jose.verified(token, key, str(algorithm))
        time = self._clock() / 1_000
        until, since = claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(until, int | float) or not isinstance(since, int | float):
            raise jose.BadToken("without the times that it needs")
        if until <= time - _SKEW_S or since > time + _SKEW_S:
            raise jose.BadToken("expired, or not valid yet")
        if claims.get("iss") != self.issuer.url:
            raise jose.BadToken("of another issuer")
        return claims

    async def _posted(self, name: str, form: Mapping[str, str]) -> Mapping[str, Any]:
        secret = await asyncio.to_thread(self.issuer.secret)
        place = await self._place(name)
        ours = self.issuer.client_id
        sent = {**form} if secret else {**form, "client_id": ours}
        proof = {"Authorization": _basic(ours, secret)} if secret else {}
        try:
            async with self._http() as client:
                response = await client.post(place, data=sent, headers=proof)
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise ProviderFailed(f"{name} did not answer: {type(fault).__name__}") from None
        if response.status_code != 200:
            raise ProviderFailed(f"{name} answered {response.status_code}")
        return _object(response.content)

    async def _place(self, name: str) -> str:
        found = (await self._discovered()).get(name)
        if not isinstance(found, str):
            raise ProviderFailed(f"The issuer names no {name}")
        return found

    async def _discovered(self) -> Mapping[str, Any]:
        async with self._lock:
            if self._metadata is None or self._clock() - self._metadata[0] >= _FRESH_MS:
                place = f"{self.issuer.url.rstrip('/')}/.well-known/openid-configuration"
                try:
                    told = _object(await self._bytes(place))
                except UnusableKeys as fault:
                    raise ProviderFailed(str(fault)) from None
                if told.get("issuer") != self.issuer.url:
                    raise ProviderFailed("The discovery document is of another issuer")
                self._metadata = (self._clock(), told)
            return self._metadata[1]

    async def _bytes(self, url: str) -> bytes:
        try:
            async with self._http() as client:
                response = await client.get(url, headers={"Accept": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            raise UnusableKeys(f"The issuer did not answer: {type(fault).__name__}") from None
        if response.status_code != 200 or len(response.content) > _LARGEST:
            raise UnusableKeys(f"The issuer answered {response.status_code}")
        return response.content


def _basic(client: str, secret: str) -> str:
    """Give HTTP Basic, its parts form-encoded first (RFC 6749 §2.3.1)."""
    pair = f"{quote_plus(client)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _fits(key: ClientKey, algorithm: str) -> bool:
    """Tell whether a key is of the algorithm's type and, of a curve, its size."""
    if isinstance(key, ECKey):
        return {"ES256": "P-256", "ES384": "P-384"}.get(algorithm) == key.curve_name
    return algorithm.startswith("RS")


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(content[:_LARGEST], type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ProviderFailed("The issuer did not answer with a JSON object") from None
