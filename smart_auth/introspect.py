"""Token introspection and revocation (RFC 7662 with SMART App Launch 2.2's fields, RFC 7009)."""

from collections.abc import Mapping
from typing import Any

from smart_auth.authorizer import SmartAuthorizer
from smart_auth.client_authentication import ClientAuthentication
from smart_auth.grant import Grants
from smart_auth.jose import BadToken
from smart_auth.oauth_error import InvalidClient, InvalidRequest
from smart_auth.realm import Realm
from smart_auth.revocation import Revocations

Form = Mapping[str, str]


class Introspection:
    """Answers introspection and revocation requests of registered clients."""

    def __init__(
        self,
        clients: ClientAuthentication,
        authorizer: SmartAuthorizer,
        grants: Grants,
        revocations: Revocations,
    ) -> None:
        self._clients = clients
        self._authorizer = authorizer
        self._grants = grants
        self._revocations = revocations

    async def introspect(
        self, realm: Realm, form: Form, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        """Tell a client with credentials what an access token says; raises OAuthError.

        Anything but a live access token of this realm is `{"active": false}`, without a reason.
        """
        client = await self._clients.client(realm, form, headers)
        if client.kind == "public":
            raise InvalidClient("Introspection needs a client with a secret or keys")
        try:
            claims = await self._authorizer.claims(realm.tenant, _token(form))
        except BadToken:
            return {"active": False}
        told: dict[str, Any] = {
            "active": True,
            "token_type": "Bearer",
            "scope": claims.scope,
            "client_id": claims.client_id,
            "iss": claims.iss,
            "sub": claims.sub,
            "aud": claims.aud,
            "exp": claims.exp,
            "iat": claims.iat,
            "jti": claims.jti,
        }
        if claims.fhir_user is not None:
            told["fhirUser"] = f"{realm.fhir_url}/{claims.fhir_user}"
        if claims.context:
            told["fhirContext"] = [{"reference": reference} for reference in claims.context]
        return told | claims.launch.parameters(claims.patient)

    async def revoke(self, realm: Realm, form: Form, headers: Mapping[str, str]) -> None:
        """Take back a client's own token: an access token alone, a refresh token with its whole grant.

        A token that is none, or another client's, changes nothing and is no error (RFC 7009 §2.2).
        """
        client = await self._clients.client(realm, form, headers)
        token = _token(form)
        await self._grants.give_up(realm.tenant, client.id, token)
        try:
            claims = await self._authorizer.claims(realm.tenant, token)
        except BadToken:
            return
        if claims.client_id == client.id:
            await self._revocations.revoke(realm.tenant, f"token:{claims.jti}")


def _token(form: Form) -> str:
    token = form.get("token")
    if not token:
        raise InvalidRequest("token is required")
    return token
