"""Who the client is: Basic, posted secret, signed assertion, or public (RFC 6749 §2.3, RFC 7523 §2.2)."""

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from msgspec import Struct

from fhir_server.store.port import Documents
from smart_auth import jose
from smart_auth.client_keys import ALGORITHMS, ClientKeys, UnusableKeys
from smart_auth.clients import Client, get_client
from smart_auth.oauth_error import InvalidClient, InvalidRequest
from smart_auth.passwords import Passwords
from smart_auth.realm import Realm
from smart_auth.records import Records, digest, now

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_ASSERTION_S = 300
_SKEW_S = 10


class Seen(Struct, frozen=True):
    """The mark of an assertion that was used."""

    client: str


class ClientAuthentication:
    """Proves which registered client sends a request to the token, introspection or revocation URL."""

    def __init__(
        self,
        documents: Documents,
        passwords: Passwords,
        keys: ClientKeys,
        clock: Callable[[], int] = now,
        *,
        public_keys: ClientKeys | None = None,
    ) -> None:
        self._public_keys = public_keys or keys
        self._documents = documents
        self._passwords = passwords
        self._keys = keys
        self._seen = Records(documents, "smart.assertions", Seen)
        self._clock = clock

    async def client(
        self, realm: Realm, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> Client:
        """Give the client that the request proves; raises InvalidClient, or InvalidRequest for two proofs."""
        basic = _basic(headers.get("authorization", ""))
        ways = [basic is not None, "client_secret" in form, "client_assertion" in form]
        if sum(ways) > 1:
            raise InvalidRequest("Only one way of client authentication may be used in a request")
        if "client_assertion" in form:
            client = await self._by_assertion(realm, form)
        else:
            id_, secret = basic or (form.get("client_id", ""), form.get("client_secret"))
            client = await self._by_secret(realm, id_, secret)
        if form.get("client_id", client.id) != client.id:
            raise InvalidClient("client_id is not the client that was authenticated")
        return client

    async def public(self, realm: Realm, id_: str) -> Client | None:
        """Give a public client by its id, which is all it can tell; None for any other."""
        client = await get_client(self._documents, realm.tenant, id_)
        return client if client is not None and client.kind == "public" else None

    async def _by_secret(self, realm: Realm, id_: str, secret: str | None) -> Client:
        client = await get_client(self._documents, realm.tenant, id_)
        if client is not None and client.kind == "public" and not secret:
            return client
        hashed = client.secret_hash if client else None
        proven = secret is not None and await self._passwords.verify_secret(hashed, secret)
        if client is None or not proven:
            raise InvalidClient("The client is not known, or did not prove who it is")
        return client

    async def _by_assertion(self, realm: Realm, form: Mapping[str, str]) -> Client:
        """Check an assertion as SMART's asymmetric client authentication says."""
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise InvalidRequest(f"client_assertion_type must be {ASSERTION_TYPE}")
        assertion = form["client_assertion"]
        try:
            header, claimed = jose.header(assertion), jose.claims(assertion)
        except jose.BadToken:
            raise InvalidClient("client_assertion is not a signed JSON Web Token") from None
        client = await self._claimed(realm, claimed)
        claims = await self._proven(client, assertion, header)
        await self._check(realm, client, claims)
        return client

    async def _claimed(self, realm: Realm, claims: Mapping[str, Any]) -> Client:
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or claims.get("sub") != issuer:
            raise InvalidClient("iss and sub of the assertion must both be the client's id")
        client = await get_client(self._documents, realm.tenant, issuer)
        if client is None or client.kind != "asymmetric":
            raise InvalidClient("The assertion's issuer is not a client registered with keys")
        return client

    async def _proven(
        self, client: Client, assertion: str, header: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise InvalidClient("The assertion must be signed with RS384 or ES384")
        if not isinstance(kid, str):
            raise InvalidClient("The assertion's header must name its key: kid")
        if header.get("jku", client.jwks_url) != client.jwks_url:
            raise InvalidClient("jku of the assertion is not the JWKS URL that is registered")
        try:
            keys = self._public_keys if client.dynamic else self._keys
            key = await keys.key(kid, client.jwks, client.jwks_url)
        except UnusableKeys as fault:
            raise InvalidClient(str(fault)) from None
        if key is None or key.key_type != ALGORITHMS[algorithm]:
            raise InvalidClient("The client has no key of this kid for this algorithm")
        try:
            return jose.verified(assertion, key, algorithm)
        except jose.BadToken:
            raise InvalidClient("The assertion's signature does not hold") from None

    async def _check(self, realm: Realm, client: Client, claims: Mapping[str, Any]) -> None:
        """Check audience, times and that the assertion is used for the first time (RFC 7523 §3)."""
        audience = claims.get("aud")
        if audience not in (realm.url("token"), [realm.url("token")]):
            raise InvalidClient("aud of the assertion must be the token URL")
        until = _expiry(claims, self._clock() / 1_000)
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise InvalidClient("The assertion needs a jti")
        mark = digest(f"{client.id}\n{jti}")
        expires = int((until + _SKEW_S) * 1_000) + 1
        if not await self._seen.put(
            realm.tenant, mark, Seen(client.id), expires=expires, revision=0
        ):
            raise InvalidClient("The assertion was used before: each needs a jti of its own")


def _expiry(claims: Mapping[str, Any], now_s: float) -> float:
    """Give when the assertion expires, in seconds since 1970 UTC; raises InvalidClient for wrong times."""
    until, since = _time(claims.get("exp")), _time(claims.get("nbf", 0))
    if until is None or since is None:
        raise InvalidClient("The assertion needs an exp, in seconds since 1970")
    if until <= now_s - _SKEW_S:
        raise InvalidClient("The assertion has expired")
    if until > now_s + LONGEST_ASSERTION_S + _SKEW_S:
        raise InvalidClient("The assertion's exp is more than five minutes ahead")
    if since > now_s + _SKEW_S:
        raise InvalidClient("The assertion is not valid yet")
    return until


def _time(value: Any) -> float | None:
    """Give a claim as seconds since 1970, None if it is no such time: neither NaN nor infinity is one."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value < 1e11 else None


def _basic(authorization: str) -> tuple[str, str] | None:
    """Read HTTP Basic, whose parts are form-encoded first (RFC 6749 §2.3.1); raises InvalidClient."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidClient("The Authorization header is not HTTP Basic") from None
    id_, colon, secret = text.partition(":")
    if not colon:
        raise InvalidClient("The Authorization header is not HTTP Basic")
    return unquote_plus(id_), unquote_plus(secret)
