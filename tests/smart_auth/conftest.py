"""An authorisation server with two users and five clients, over each store it may run on."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey
from smart_browser import PASSWORD
from smart_world import CALLBACK, LAUNCH, Clock, DictDocuments, World, build, hmac_signed

from fhir_server.store.memory import MemoryStore
from fhir_server.store.port import Document
from fhir_server.store.sqlite.store import SqliteStore
from smart_auth.clients import Registration, add_client
from smart_auth.keys import KeyRing
from smart_auth.users import add_user

SECRET: dict[str, str] = {}


@pytest.fixture(scope="session")
def client_keys() -> dict[str, Any]:
    return {
        "RS384": RSAKey.generate_key(2048, {"kid": "RS384"}),
        "ES384": ECKey.generate_key("P-384", {"kid": "ES384"}),
    }


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def furnished(client_keys: dict[str, Any]) -> dict[Any, Document]:
    """What is registered, once for all tests."""
    documents = DictDocuments(Clock())
    jwks = {"keys": [key.as_dict(private=True) for key in client_keys.values()]}

    async def furnish() -> None:
        await add_user(documents, "default", "doc", "Practitioner/d1", PASSWORD, "radiologist")
        await add_user(documents, "default", "ann", "Patient/ann", PASSWORD)
        await add_user(documents, "default", "kin", "RelatedPerson/k1", PASSWORD)
        app = Registration("app", "public", "Viewer", (CALLBACK,), launch_uri=LAUNCH)
        await add_client(documents, "default", app)
        wide = "launch/patient openid fhirUser patient/*.cruds user/*.cruds system/*.cruds"
        web = Registration("web", "secret", "Portal", (CALLBACK,), wide)
        SECRET["web"] = (await add_client(documents, "default", web))[1] or ""
        ehr = Registration("ehr", "secret", "Hospital", launches=True)
        SECRET["ehr"] = (await add_client(documents, "default", ehr))[1] or ""
        service = Registration("service", "asymmetric", scopes="system/*.rs", keys=jwks)
        await add_client(documents, "default", service)
        url = Registration("by-url", "asymmetric", keys="https://client.example/jwks")
        await add_client(documents, "default", url)

    asyncio.run(furnish())
    return documents.held


@pytest.fixture
async def world(
    ring: KeyRing, furnished: dict[Any, Document], client_keys: dict[str, Any]
) -> AsyncIterator[World]:
    clock = Clock()
    documents = DictDocuments(clock)
    documents.held = copy.copy(furnished)
    built = build(documents, clock, ring, client_keys)
    async with built.http:
        yield built


@pytest.fixture
def another(
    ring: KeyRing, furnished: dict[Any, Document], client_keys: dict[str, Any]
) -> Callable[..., World]:
    """Give a world with further ports."""

    def made(**ports: Any) -> World:
        clock = Clock()
        documents = DictDocuments(clock)
        documents.held = copy.copy(furnished)
        return build(documents, clock, ring, client_keys, **ports)

    return made


@pytest.fixture(params=["memory", "sqlite"])
async def stored_world(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    ring: KeyRing,
    furnished: dict[Any, Document],
    client_keys: dict[str, Any],
) -> AsyncIterator[World]:
    """The same over the adapters that the product runs on."""
    clock = Clock()
    store: MemoryStore | SqliteStore = MemoryStore(clock=clock)
    if request.param == "sqlite":
        store = SqliteStore(tmp_path / "store.sqlite", clock=clock)
    await store.open()
    for (tenant, namespace, key), document in furnished.items():
        await store.put(tenant, namespace, key, document.value, expires=document.expires)
    built = build(store, clock, ring, client_keys)
    async with built.http:
        yield built
    await store.close()


@pytest.fixture
def secret() -> dict[str, str]:
    return SECRET


@pytest.fixture
def confuse() -> Any:
    return hmac_signed
