"""Errors of the authorisation server, in OAuth's own form (RFC 6749 §4.1.2.1 and §5.2)."""

from typing import ClassVar


class OAuthError(Exception):
    """A refusal that an OAuth client reads as `error` and `error_description`."""

    status: ClassVar[int] = 400
    error: ClassVar[str] = "invalid_request"

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description

    def json(self) -> dict[str, str]:
        """Give the error response body of RFC 6749 §5.2."""
        return {"error": self.error, "error_description": self.description}


class InvalidRequest(OAuthError):
    """A parameter is missing, repeated, unsupported or malformed."""


class InvalidClient(OAuthError):
    """The client is unknown or did not prove who it is: 401."""

    status = 401
    error = "invalid_client"


class InvalidGrant(OAuthError):
    """The code or refresh token is wrong, spent, expired, revoked or another client's."""

    error = "invalid_grant"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant type."""

    error = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """The grant type is not offered."""

    error = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """Only response_type=code is offered."""

    error = "unsupported_response_type"


class InvalidScope(OAuthError):
    """The scope is malformed, or nothing of it may be granted to this client."""

    error = "invalid_scope"


class AccessDenied(OAuthError):
    """The user, or a rule about the user, said no."""

    error = "access_denied"


class LoginRequired(OAuthError):
    """`prompt=none` and nobody is logged in (OpenID Connect Core §3.1.2.6)."""

    error = "login_required"


class ConsentRequired(OAuthError):
    """`prompt=none` and the user would have to be asked (OpenID Connect Core §3.1.2.6)."""

    error = "consent_required"


class UnsupportedTokenType(OAuthError):
    """A token of this type cannot be revoked (RFC 7009 §2.2.1)."""

    error = "unsupported_token_type"


class InvalidRedirectUri(OAuthError):
    """A redirect URI cannot be registered (RFC 7591 §3.2.2)."""

    error = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    """A client cannot be registered as it asks to be (RFC 7591 §3.2.2)."""

    error = "invalid_client_metadata"


class InvalidToken(OAuthError):
    """An access token is needed, or is not good for this: 401 (RFC 6750 §3.1)."""

    status = 401
    error = "invalid_token"


class SlowDown(OAuthError):
    """The address has failed too often of late: 429."""

    status = 429
    error = "temporarily_unavailable"
