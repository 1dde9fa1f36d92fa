"""The demo's clients and its radiologist, registered in a data folder as its operator would.

Keys and password are made once and kept in `demo/accounts.json` of that folder, readable by its owner
alone, so that a second demo day finds its accounts again.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from joserfc.jwk import ECKey
from msgspec import Struct

from fhir_server import app, tenancy
from fhir_server.settings import Settings
from fhir_server.store.port import Documents
from smart_auth.clients import Registration, add_client, get_client, remove_client
from smart_auth.passwords import Passwords
from smart_auth.users import Users, add_user, remove_user

MODALITY = "demo-modality"
WORKFLOW = "demo-workflow"
WAREHOUSE = "demo-warehouse"
READING_ROOM = "demo-reading-room"
VIEWER = "demo-viewer"
RADIOLOGIST = "demo-radiologist"

SERVICES = {
    MODALITY: "system/ImagingStudy.cruds",
    WORKFLOW: "system/*.rs system/Task.c system/Practitioner.c",
    WAREHOUSE: "system/*.rs",
}
"""The backend services and what each may do: no more than its part of the day needs."""

APPS = {
    READING_ROOM: "openid fhirUser user/*.cruds",
    VIEWER: "openid fhirUser launch/patient patient/*.rs",
}
"""The apps of the day, public clients."""

CALLBACK = "http://127.0.0.1/demo/callback"
_REMOVED_S = 1.1


class Kept(Struct):
    """What is kept in the data folder: private keys by client as JWK, and the radiologist's password."""

    keys: dict[str, dict[str, Any]]
    password: str


class Accounts(Struct, frozen=True):
    """What the demo proves itself with."""

    keys: dict[str, ECKey]
    password: str


@asynccontextmanager
async def documents(settings: Settings) -> AsyncIterator[Documents]:
    """Give the documents of an installation, beside the server that may be running on it."""
    async with app.installation(settings, "http://localhost") as house:
        yield house.services.documents


def place(data: Path) -> Path:
    """Give where the accounts of a data folder are kept."""
    return data / "demo" / "accounts.json"


async def clients(settings: Settings) -> Accounts:
    """Register the clients that are not there yet, and give what all of them prove themselves with."""
    kept, new = await asyncio.to_thread(_kept, place(settings.data))
    keys = {name: ECKey.import_key(jwk) for name, jwk in kept.keys.items()}
    wanted = [_service(name, scope, keys[name]) for name, scope in SERVICES.items()]
    wanted += [_app(name, scope) for name, scope in APPS.items()]
    async with documents(settings) as found:
        removed = False
        for registration in wanted:
            removed |= new and await remove_client(found, tenancy.DEFAULT, registration.id)
            if await get_client(found, tenancy.DEFAULT, registration.id) is None:
                await add_client(found, tenancy.DEFAULT, registration)
    if removed:  # a token issued in the second of a removal counts as taken back with it
        await asyncio.sleep(_REMOVED_S)
    return Accounts(keys, kept.password)


async def radiologist(settings: Settings, practitioner: str, password: str) -> None:
    """Let the radiologist log in as this Practitioner, with this password."""
    async with documents(settings) as found:
        users = Users(found, Passwords())
        user = await users.get(tenancy.DEFAULT, RADIOLOGIST)
        if user is not None:
            right = await users.authenticate(tenancy.DEFAULT, RADIOLOGIST, password)
            if right and user.fhir_user == practitioner:
                return
            await remove_user(found, tenancy.DEFAULT, RADIOLOGIST)
        await add_user(
            found, tenancy.DEFAULT, RADIOLOGIST, practitioner, password, role="radiologist"
        )


def _service(name: str, scope: str, key: ECKey) -> Registration:
    jwks = {"keys": [key.as_dict(private=False)]}
    return Registration(name, "asymmetric", name=_title(name), scopes=scope, keys=jwks)


def _app(name: str, scope: str) -> Registration:
    return Registration(name, "public", name=_title(name), scopes=scope, redirect_uris=(CALLBACK,))


def _title(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _kept(file: Path) -> tuple[Kept, bool]:
    """Give what is kept, made now where nothing is; tells which."""
    if file.is_file():
        return msgspec.json.decode(file.read_bytes(), type=Kept), False
    made = Kept({name: _new_key() for name in SERVICES}, secrets.token_urlsafe(12))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.encode(made))
    return made, True


def _new_key() -> dict[str, Any]:
    key = ECKey.generate_key("P-384", {"use": "sig", "alg": "ES384"}, private=True, auto_kid=True)
    return dict(key.as_dict(private=True))


def login(data: Path, base: str) -> str:
    """Say who can log in on the pages of the server that the day was played on."""
    file = place(data)
    if not file.is_file():
        return ""
    kept = msgspec.json.decode(file.read_bytes(), type=Kept)
    pages = base.removesuffix("/fhir")
    return f"Log in at {pages}/ as {RADIOLOGIST}, password {kept.password}"
