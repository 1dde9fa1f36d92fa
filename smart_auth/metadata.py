"""The discovery documents, which name only what works (SMART App Launch 2.2, OpenID Connect Discovery)."""

from typing import Any

from smart_auth.client_keys import ALGORITHMS
from smart_auth.keys import ALGORITHM
from smart_auth.policy import Policy
from smart_auth.realm import Realm
from smart_auth.scopes import WORDS

CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "context-banner",
    "context-style",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
_METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt")
_CLINICAL = tuple(
    f"{level}/*.{letters}"
    for level in ("patient", "user", "system")
    for letters in ("rs", "cruds", "read", "write", "*")
)


STYLE = {
    "color_background": "#ffffff",
    "color_error": "#a3261b",
    "color_highlight": "#0b5cad",
    "color_modal_backdrop": "#17212b",
    "color_success": "#1c6b3c",
    "color_text": "#17212b",
    "dim_border_radius": "6px",
    "dim_font_size": "16px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}
"""What `smart_style_url` leads to: the look of our own pages."""


def smart_configuration(realm: Realm, policy: Policy) -> dict[str, Any]:
    """Give the document at [base]/.well-known/smart-configuration.

    /dicom-web takes the same tokens: a scope for ImagingStudy is one for its pixels.
    """
    images = {"url": realm.images_url, "capabilities": ["smart-imaging-access"]}
    return {
        **_common(realm, policy),
        "capabilities": list(CAPABILITIES),
        "associated_endpoints": [images],
    }


def openid_configuration(realm: Realm, policy: Policy) -> dict[str, Any]:
    """Give the document at [issuer]/.well-known/openid-configuration."""
    common = _common(realm, policy)
    common["token_endpoint_auth_methods_supported"] = [*_METHODS, "none"]
    return {
        **common,
        "userinfo_endpoint": realm.url("userinfo"),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "response_modes_supported": ["query"],
        "claims_supported": [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "auth_time",
            "nonce",
            "amr",
            "fhirUser",
        ],
        "prompt_values_supported": ["none", "login", "consent"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def oauth_uris(fhir_url: str) -> dict[str, str]:
    """Give what CapabilityStatement.rest.security tells in the oauth-uris extension of a FHIR base.

    SMART 1's way of discovery, which client libraries still begin with.
    """
    issuer = fhir_url.removesuffix("/fhir")
    return {
        name: f"{issuer}/auth/{name}" for name in ("authorize", "token", "introspect", "revoke")
    }


def _common(realm: Realm, policy: Policy) -> dict[str, Any]:
    offered = (
        {} if policy.registration == "off" else {"registration_endpoint": realm.url("register")}
    )
    return {
        **offered,
        "issuer": realm.issuer,
        "jwks_uri": realm.url("jwks"),
        "authorization_endpoint": realm.url("authorize"),
        "token_endpoint": realm.url("token"),
        "introspection_endpoint": realm.url("introspect"),
        "revocation_endpoint": realm.url("revoke"),
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": list(_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "scopes_supported": [*WORDS, *_CLINICAL],
        "authorization_response_iss_parameter_supported": True,
    }
