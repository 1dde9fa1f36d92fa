"""Registered apps and backend services: public, with a secret, or with keys (RFC 7591's vocabulary)."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from fhir_server.store.port import Documents
from smart_auth.client_keys import UnusableKeys, public_keys
from smart_auth.passwords import Passwords
from smart_auth.records import Records, new_token, now
from smart_auth.revocation import Revocations
from smart_auth.scopes import Scopes, parse

Kind = Literal["public", "secret", "asymmetric"]
APP_SCOPES = (
    "openid fhirUser launch launch/patient launch/encounter launch/imagingstudy offline_access"
    " online_access patient/*.rs user/*.rs"
)
SERVICE_SCOPES = "system/*.rs"
CLIENT_ID = re.compile(r"[A-Za-z0-9._~:/@+-]{1,128}")
_LARGEST_FILE = 65_536
_NEVER = frozenset({"javascript", "data", "vbscript", "file", "blob", "about"})


class Client(Struct, frozen=True, omit_defaults=True):
    """A registered client; of a secret only the hash is kept, of keys only the public half."""

    id: str
    name: str
    kind: Kind
    scopes: str
    created: int
    redirect_uris: tuple[str, ...] = ()
    launch_uri: str | None = None
    secret_hash: str | None = None
    jwks: dict[str, Any] | None = None
    jwks_url: str | None = None
    launches: bool = False
    """Whether it is an EHR, which may say what an app is launched with."""
    dynamic: bool = False
    """Whether it registered itself (RFC 7591)."""

    @property
    def grant_types(self) -> tuple[str, ...]:
        """Give what the client may ask the token URL for: it follows from how it is registered."""
        app = ("authorization_code", "refresh_token") if self.redirect_uris else ()
        service = ("client_credentials",) if self.kind == "asymmetric" else ()
        return app + service

    @property
    def allowed(self) -> Scopes:
        """Give the scopes that the client may be granted at most."""
        return parse(self.scopes)


@dataclass(frozen=True, slots=True)
class Registration:
    """What an operator states of a client; `keys` is a JWKS, or the https URL of one.

    Without `scopes` an app may read what its user allows, and a service may read.
    """

    id: str
    kind: Kind
    name: str = ""
    redirect_uris: tuple[str, ...] = ()
    scopes: str = ""
    keys: dict[str, Any] | str | None = None
    launch_uri: str | None = None
    launches: bool = False
    dynamic: bool = False


class ClientExists(Exception):
    """The client id is taken."""


async def add_client(
    documents: Documents, tenant: str, registration: Registration
) -> tuple[Client, str | None]:
    """Register a client; gives it with its new secret, which is known only now.

    Raises ClientExists, or ValueError with a sentence on what is wrong.
    """
    client, secret = _client(registration), None
    if registration.kind == "secret":
        secret = new_token()
        hashed = await Passwords().hash(secret)
        client = msgspec.structs.replace(client, secret_hash=hashed)
    clients = Records(documents, "smart.clients", Client)
    if not await clients.put(tenant, client.id, client, revision=0):
        raise ClientExists(f"There is already a client {client.id}")
    return client, secret


async def get_client(documents: Documents, tenant: str, id_: str) -> Client | None:
    """Give a client, or None."""
    if not CLIENT_ID.fullmatch(id_):
        return None
    found = await Records(documents, "smart.clients", Client).get(tenant, id_)
    return found.value if found else None


async def list_clients(documents: Documents, tenant: str) -> tuple[Client, ...]:
    """Give the clients by id."""
    return await Records(documents, "smart.clients", Client).all(tenant)


async def remove_client(
    documents: Documents, tenant: str, id_: str, *, clock: Callable[[], int] = now
) -> bool:
    """Remove a client and take back its tokens; tells whether there was one."""
    clients = Records(documents, "smart.clients", Client)
    if await clients.get(tenant, id_) is None:
        return False
    await Revocations(documents, clock).revoke(tenant, f"client:{id_}")
    return await clients.delete(tenant, id_)


def read_keys(source: str) -> dict[str, Any] | str:
    """Give the JWKS in a file, or the URL as it is; raises ValueError for a file that holds none."""
    if "://" in source:
        return source
    try:
        with Path(source).open("rb") as file:
            return msgspec.json.decode(file.read(_LARGEST_FILE), type=dict[str, Any])
    except OSError as fault:
        raise ValueError(f"The file of keys cannot be read: {fault.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("The file of keys is not a JSON Web Key Set") from None


def _client(registration: Registration) -> Client:
    if not CLIENT_ID.fullmatch(registration.id):
        raise ValueError("A client id is 1 to 128 letters, digits and . _ ~ : / @ + -")
    for uri in registration.redirect_uris:
        check_redirect(uri)
    if registration.launch_uri is not None and not _is_web(registration.launch_uri):
        raise ValueError("A launch URI is an https URL (http only on loopback)")
    if registration.launches and registration.kind == "public":
        raise ValueError("A client that launches apps has a secret or keys")
    if not (
        registration.redirect_uris or registration.kind == "asymmetric" or registration.launches
    ):
        raise ValueError("A client without keys needs at least one redirect URI")
    jwks, jwks_url = _keys(registration)
    return Client(
        registration.id,
        registration.name or registration.id,
        registration.kind,
        _scopes(registration),
        now(),
        registration.redirect_uris,
        registration.launch_uri,
        None,
        jwks,
        jwks_url,
        registration.launches,
        registration.dynamic,
    )


def _scopes(registration: Registration) -> str:
    """Give the allowed scopes in one spelling; raises ValueError where a word is not offered."""
    text = registration.scopes.strip()
    if not text:
        parts = [APP_SCOPES] if registration.redirect_uris else []
        parts += [SERVICE_SCOPES] if registration.kind == "asymmetric" else []
        text = " ".join(parts)
    parsed = parse(text)
    known = {*parsed.words, *(scope.text for scope in parsed.clinical)}
    unknown = [word for word in text.split() if word not in known]
    if unknown:
        raise ValueError(f"The scope {unknown[0]} is not offered")
    return parsed.text


def _keys(registration: Registration) -> tuple[dict[str, Any] | None, str | None]:
    keys = registration.keys
    if (keys is not None) != (registration.kind == "asymmetric"):
        raise ValueError("A client with kind asymmetric, and no other, has a JWKS or its URL")
    if isinstance(keys, str):
        if not _is_web(keys):
            raise ValueError("The URL of the keys must be https (http only on loopback)")
        return None, keys
    if keys is None:
        return None, None
    try:
        usable = public_keys(keys)
    except UnusableKeys as fault:
        raise ValueError(str(fault)) from None
    return {"keys": [dict(key.as_dict(private=False)) for key in usable.values()]}, None


def check_redirect(uri: str) -> None:
    """Refuse what must not receive a code (RFC 6749 §3.1.2, RFC 8252 §7): raises ValueError."""
    parts = urlsplit(uri)
    native = "." in parts.scheme and parts.scheme not in _NEVER
    if not uri.isascii() or not uri.isprintable() or " " in uri or "#" in uri:
        raise ValueError("A redirect URI is an absolute URI without a fragment")
    if not _is_web(uri) and not native:
        raise ValueError(
            "A redirect URI is https, http on loopback, or of a private scheme such as com.example.app"
        )


def _is_web(uri: str) -> bool:
    """Tell whether a URL is https, or http on this machine."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or port == 0:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
