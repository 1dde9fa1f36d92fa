"""People and tokens of issuers outside, mapped to resources of ours.

A user or patient whom no resource of ours stands for is nobody here: the login is refused, and a token's
scopes that need one become no grants.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from smart_auth import jose, scopes
from smart_auth.access_token import Claims
from smart_auth.issuers import Issuer
from smart_auth.launch_context import REFERENCE
from smart_auth.provider import Http, Provider, ProviderFailed, http
from smart_auth.realm import Realm
from smart_auth.records import digest, now
from smart_auth.users import FHIR_USER

_INTROSPECTED_S = 60


class Identities(Protocol):
    """Finds resources of ours; the composition root gives one over the search interaction."""

    async def find(
        self, tenant: str, type_: str, query: Sequence[tuple[str, str]]
    ) -> Sequence[Mapping[str, Any]]:
        """Give the current resources of a type that match decoded query pairs."""


class NoIdentities:
    """Finds nobody: for an installation whose composition root gives no search."""

    async def find(
        self, tenant: str, type_: str, query: Sequence[tuple[str, str]]
    ) -> Sequence[Mapping[str, Any]]:
        """Give nothing."""
        del tenant, type_, query
        return ()


class External:
    """The issuers outside that this installation trusts, and for what."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        identities: Identities,
        open_http: Http = http,
        clock: Callable[[], int] = now,
    ) -> None:
        self._providers = [Provider(issuer, open_http, clock) for issuer in issuers]
        self._identities = identities
        self._clock = clock

    def providers(self, tenant: str) -> tuple[Issuer, ...]:
        """Give the issuers that people of a tenant may log in with."""
        issuers = (provider.issuer for provider in self._providers)
        return tuple(one for one in issuers if one.login and one.tenant == tenant)

    def provider(self, tenant: str, name: str) -> Provider | None:
        """Give an issuer to log in with, None where there is none of that name."""
        for one in self._providers:
            if one.issuer.login and (one.issuer.tenant, one.issuer.name) == (tenant, name):
                return one
        return None

    async def token(self, realm: Realm, token: str) -> Claims:
        """Give what an access token of an issuer outside means here; raises jose.BadToken."""
        provider = self._accepting(realm.tenant, token)
        told = await self._told(provider, token)
        issuer = provider.issuer
        wanted = issuer.audience or realm.fhir_url
        audience = told.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if wanted.rstrip("/") not in {str(one).rstrip("/") for one in named}:
            raise jose.BadToken("for another audience")
        try:
            granted = scopes.parse(str(told.get("scope", "")))
        except scopes.MalformedScope:
            raise jose.BadToken("its scopes break the grammar") from None
        granted = granted.narrowed(scopes.parse(issuer.allowed_scopes))
        time = self._clock() // 1_000
        return Claims(
            iss=issuer.url,
            sub=f"{issuer.name}:{told.get('sub', '')}",
            aud=wanted,
            exp=_until(issuer, told, time),
            iat=time,
            jti=digest(token),
            client_id=f"{issuer.name}:{told.get('client_id') or told.get('azp') or ''}",
            scope=granted.text,
            tenant=realm.tenant,
            patient=await self.patient(issuer, told),
            fhir_user=await self.user(issuer, realm, told),
        )

    async def user(self, issuer: Issuer, realm: Realm, claims: Mapping[str, Any]) -> str | None:
        """Give the relative reference of the person of ours that the claims are about, or None."""
        if issuer.user_by == "fhirUser":
            base = (issuer.fhir_url or realm.fhir_url).rstrip("/") + "/"
            reference = str(claims.get("fhirUser", "")).removeprefix(base)
            if not FHIR_USER.fullmatch(reference):
                return None
            type_, _, id_ = reference.partition("/")
            return await self._only(issuer.tenant, type_, ("_id", id_))
        value = claims.get(issuer.user_claim)
        if not isinstance(value, str) or not value:
            return None
        for type_ in issuer.user_types:
            named = ("identifier", f"{_escaped(issuer.user_system)}|{_escaped(value)}")
            if found := await self._only(issuer.tenant, type_, named):
                return found
        return None

    async def patient(self, issuer: Issuer, claims: Mapping[str, Any]) -> str | None:
        """Give the logical id of our Patient for the one in the issuer's context, or None."""
        value = claims.get(issuer.patient_claim)
        if not isinstance(value, str) or not value:
            return None
        criterion = ("_id", value)
        if issuer.patient_by == "identifier":
            criterion = ("identifier", f"{_escaped(issuer.patient_system)}|{_escaped(value)}")
        elif not REFERENCE.fullmatch(f"Patient/{value}"):
            return None
        found = await self._only(issuer.tenant, "Patient", criterion)
        return found.partition("/")[2] if found else None

    async def _only(self, tenant: str, type_: str, criterion: tuple[str, str]) -> str | None:
        """Give the reference of the one match; of several nobody knows which is meant."""
        found = await self._identities.find(tenant, type_, (criterion,))
        return f"{type_}/{found[0]['id']}" if len(found) == 1 else None

    def _accepting(self, tenant: str, token: str) -> Provider:
        """Give the issuer to ask of a token: the one it names, or the one that is asked about opaque ones."""
        offered = [
            one
            for one in self._providers
            if one.issuer.tokens != "off" and one.issuer.tenant == tenant
        ]
        if not offered:
            raise jose.BadToken("no issuer outside is trusted")
        try:
            named = jose.claims(token).get("iss")
        except jose.BadToken:
            asked = [one for one in offered if one.issuer.tokens == "introspection"]
            if len(asked) != 1:
                raise
            return asked[0]
        for one in offered:
            if one.issuer.url == named:
                return one
        raise jose.BadToken("of an issuer that is not trusted")

    async def _told(self, provider: Provider, token: str) -> Mapping[str, Any]:
        if provider.issuer.tokens == "jwks":
            claims = await provider.claims(token)
            if "nonce" in claims or "at_hash" in claims:
                raise jose.BadToken("an ID token is no access token")
            return claims
        try:
            told = await provider.introspect(token)
        except ProviderFailed:
            raise jose.BadToken("the issuer cannot be asked") from None
        if told.get("active") is not True:
            raise jose.BadToken("not active")
        if told.get("iss", provider.issuer.url) != provider.issuer.url:
            raise jose.BadToken("of another issuer")
        return told


def _until(issuer: Issuer, told: Mapping[str, Any], time_s: int) -> int:
    """Give until when the answer is kept, in seconds since 1970; an introspected one is asked again."""
    expires = told.get("exp")
    until = int(expires) if isinstance(expires, int | float) else time_s + _INTROSPECTED_S
    if issuer.tokens == "introspection":
        until = min(until, time_s + _INTROSPECTED_S)
    if until <= time_s:
        raise jose.BadToken("expired")
    return until


def _escaped(text: str) -> str:
    """Give a value for a token search, with what separates values escaped."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace(",", "\\,").replace("$", "\\$")
