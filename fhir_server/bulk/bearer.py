"""The access token of a bulk-data client: a given one, or one got by a signed assertion and renewed.

SMART App Launch 2.2, Backend Services: https://hl7.org/fhir/smart-app-launch/backend-services.html
"""

import time
import uuid
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from smart_auth import jose

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIVES_S = 240
_MARGIN_S = 30
_DEFAULT_S = 300


class NoToken(Exception):
    """No access token can be had; the sentence says why."""


class Bearer(Protocol):
    """Gives the access token that requests carry."""

    async def token(self, *, renewed: bool = False) -> str | None:
        """Give the token, None where none is used; `renewed` asks for one that is not the last."""


class Given:
    """A token from elsewhere, or none at all."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    async def token(self, *, renewed: bool = False) -> str | None:
        """Give it; raises NoToken where the server has refused it."""
        if renewed:
            raise NoToken("The server does not take the access token" if self._token else _NEEDED)
        return self._token


_NEEDED = "The server wants an access token: --token, or --client with --key"


class SigningKey:
    """A private key with its id, and the algorithm that SMART's asymmetric clients use with it."""

    def __init__(self, key: RSAKey | ECKey, kid: str) -> None:
        self.key = key
        self.kid = kid
        self.algorithm = "RS384" if isinstance(key, RSAKey) else "ES384"


def read_key(path: Path, kid: str | None = None) -> SigningKey:
    """Read a private key: JWK, JWKS or PEM. `kid` is its id where the file names none.

    Raises ValueError with a sentence on what is wrong.
    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise ValueError(f"The file of the key cannot be read: {fault.strerror}") from None
    try:
        return _pem(data, kid) if data.lstrip().startswith(b"-----") else _jwk(data, kid)
    except (JoseError, msgspec.DecodeError, ValueError, TypeError, KeyError):
        raise ValueError(
            "The file holds no private key that is RSA or EC P-384, as JWK, JWKS or PEM"
        ) from None


def _pem(data: bytes, kid: str | None) -> SigningKey:
    try:
        key: RSAKey | ECKey = RSAKey.import_key(data)
    except (JoseError, ValueError, TypeError):
        key = ECKey.import_key(data)
    return _signing(key, kid or key.thumbprint())


def _jwk(data: bytes, kid: str | None) -> SigningKey:
    plain = msgspec.json.decode(data, type=dict[str, Any])
    listed = plain.get("keys", [plain])
    private = [one for one in listed if "d" in one and kid in {None, one.get("kid")}]
    if not private:
        raise ValueError
    kind = RSAKey if private[0]["kty"] == "RSA" else ECKey
    key = kind.import_key(private[0])
    return _signing(key, kid or private[0].get("kid") or key.thumbprint())


def _signing(key: RSAKey | ECKey, kid: str) -> SigningKey:
    if not key.is_private or (isinstance(key, ECKey) and key.curve_name != "P-384"):
        raise ValueError
    return SigningKey(key, kid)


class Assertion:
    """Gets tokens by client_credentials with a signed assertion, anew before they end (RFC 7523)."""

    def __init__(
        self, http: httpx.AsyncClient, base: str, client: str, key: SigningKey, scope: str = ""
    ) -> None:
        self._http = http
        self._base = base
        self._client = client
        self._key = key
        self._scope = scope
        self._url = ""
        self._token = ""
        self._ends = 0.0

    async def token(self, *, renewed: bool = False) -> str | None:
        """Give a token that lives; raises NoToken."""
        if renewed or time.monotonic() >= self._ends:
            await self._renew()
        return self._token

    async def _renew(self) -> None:
        if not self._url:
            await self._discover()
        form = {
            "grant_type": "client_credentials",
            "scope": self._scope,
            "client_assertion_type": _ASSERTION,
            "client_assertion": self._assertion(),
        }
        asked = time.monotonic()
        answered = await self._json("POST", self._url, data=form)
        token, lives = answered.get("access_token"), answered.get("expires_in", _DEFAULT_S)
        if not isinstance(token, str) or not isinstance(lives, int):
            raise NoToken("The token URL gave no access token")
        self._token, self._ends = token, asked + max(lives - _MARGIN_S, lives / 2)

    async def _discover(self) -> None:
        """Find the token URL, and the scopes that the server's version of SMART knows."""
        told = await self._json("GET", f"{self._base}/.well-known/smart-configuration")
        url = told.get("token_endpoint")
        if not isinstance(url, str):
            raise NoToken("The server's smart-configuration names no token URL")
        first = "permission-v2" not in told.get("capabilities", [])
        self._url = url
        self._scope = self._scope or ("system/*.read" if first else "system/*.rs")

    def _assertion(self) -> str:
        now = int(time.time())
        header = {"alg": self._key.algorithm, "kid": self._key.kid, "typ": "JWT"}
        claims = {
            "iss": self._client,
            "sub": self._client,
            "aud": self._url,
            "iat": now,
            "exp": now + _LIVES_S,
            "jti": uuid.uuid4().hex,
        }
        return jose.signed(header, claims, self._key.key)

    async def _json(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(
                method, url, headers={"Accept": "application/json"}, **more
            )
            value = msgspec.json.decode(response.content, type=dict[str, Any])
        except httpx.HTTPError as fault:
            raise NoToken(f"{url} cannot be reached: {type(fault).__name__}") from None
        except msgspec.DecodeError:
            raise NoToken(f"{url} gave no JSON object ({response.status_code})") from None
        if response.status_code != httpx.codes.OK:
            told = value.get("error_description") or value.get("error") or ""
            raise NoToken(f"{url} refused with {response.status_code}: {told}")
        return value
