"""A backend service's token: client_credentials with a signed assertion (SMART App Launch 2.2, RFC 7523)."""

import time
import uuid
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from fhir_server.demo.rest import expect
from fhir_server.demo.step import require

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ALGORITHM = "ES384"
_LIFETIME_S = 120
_SPARE_S = 60


class Service:
    """A client that proves itself with its private key and renews its token before it ends."""

    def __init__(
        self, http: httpx.AsyncClient, token_url: str, client: tuple[str, ECKey], scope: str
    ) -> None:
        self._http = http
        self._token_url = token_url
        self._client, self._key = client
        self._scope = scope
        self._token, self._until = "", 0.0

    async def token(self) -> str:
        """Give an access token that is good for a minute at least."""
        if time.monotonic() > self._until - _SPARE_S:
            began = time.monotonic()
            answer = await self._asked()
            self._token = answer["access_token"]
            self._until = began + float(answer["expires_in"])
        return self._token

    async def _asked(self) -> dict[str, Any]:
        form = {
            "grant_type": "client_credentials",
            "scope": self._scope,
            "client_assertion_type": ASSERTION,
            "client_assertion": self._assertion(),
        }
        response = await self._http.post(self._token_url, data=form)
        expect(response, 200)
        answer: dict[str, Any] = response.json()
        granted = set(answer["scope"].split())
        require(granted == set(self._scope.split()), "the token does not have the scope asked for")
        return answer

    def _assertion(self) -> str:
        """Sign an assertion for one use."""
        now = int(time.time())
        header = {"alg": _ALGORITHM, "kid": self._key.kid, "typ": "JWT"}
        claims = {
            "iss": self._client,
            "sub": self._client,
            "aud": self._token_url,
            "exp": now + _LIFETIME_S,
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(header, claims, self._key, algorithms=[_ALGORITHM])
