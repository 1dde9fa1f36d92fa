"""Issuers outside: who may vouch for our users, and whose tokens we accept; read from a TOML file."""

import tomllib
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from fhir_server import tenancy

ALGORITHMS = frozenset({"RS256", "RS384", "ES256", "ES384"})
"""The signature algorithms that are taken of them."""


class Issuer(Struct, frozen=True, forbid_unknown_fields=True):
    """One issuer, as OpenID discovery finds it at `url`.

    `login`: its users log in here with it. `tokens`: how its access tokens are checked on /fhir and
    /dicom-web. `fhir_url` is the FHIR base that its `fhirUser` names and that its `aud` must name at login;
    `audience` is what `aud` of its access tokens must name, by default our own FHIR base.

    A user is found by `user_by`: `fhirUser` takes the id of the claim where `fhir_url` is ours too or its
    ids are the same; `identifier` looks for a resource of `user_types` whose identifier has `user_system`
    and the value of `user_claim`. A patient in context is found likewise.
    """

    name: str
    url: str
    title: str = ""
    tenant: str = tenancy.DEFAULT
    login: bool = False
    tokens: Literal["off", "jwks", "introspection"] = "off"
    client_id: str = ""
    client_secret_file: str = ""
    scope: str = "openid fhirUser"
    fhir_url: str = ""
    audience: str = ""
    user_by: Literal["fhirUser", "identifier"] = "fhirUser"
    user_claim: str = "sub"
    user_system: str = ""
    user_types: tuple[str, ...] = ("Practitioner", "Patient")
    patient_by: Literal["id", "identifier"] = "identifier"
    patient_claim: str = "patient"
    patient_system: str = ""
    allowed_scopes: str = "patient/*.rs user/*.rs"
    role: str = ""

    def secret(self) -> str | None:
        """Give the secret of the client that we are there, None where we are a public one."""
        if not self.client_secret_file:
            return None
        return Path(self.client_secret_file).read_text(encoding="utf-8").strip()


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    issuer: tuple[Issuer, ...] = ()


def read(path: Path) -> tuple[Issuer, ...]:
    """Give the issuers of a file of `[[issuer]]` tables; raises ValueError, which says what is wrong."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File).issuer
    except OSError as fault:
        raise ValueError(f"{path.name} cannot be read: {fault.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as fault:
        raise ValueError(f"{path.name}: {fault}") from None
    names = [(one.tenant, one.name) for one in found]
    if len(set(names)) < len(names):
        raise ValueError(f"{path.name}: two issuers of a tenant have one name")
    for one in found:
        _check(path, one)
    return found


def _check(path: Path, one: Issuer) -> None:
    if not tenancy.well_formed(one.name):
        raise ValueError(f"{path.name}: a name is lower-case letters, digits and hyphens")
    if not one.url.startswith(("https://", "http://")):
        raise ValueError(f"{path.name}: the url of {one.name} is no absolute URL")
    if (one.login or one.tokens == "introspection") and not one.client_id:
        raise ValueError(f"{path.name}: {one.name} needs the client_id that we have there")
    if one.user_by == "identifier" and not one.user_system:
        raise ValueError(f"{path.name}: {one.name} finds users by identifier and needs user_system")
    if one.tokens != "off" and one.patient_by == "identifier" and not one.patient_system:
        raise ValueError(
            f"{path.name}: {one.name} finds patients by identifier and needs patient_system"
        )
