"""Registration of clients."""

import json

import pytest

from smart_auth.clients import (
    APP_SCOPES,
    ClientExists,
    Registration,
    add_client,
    get_client,
    list_clients,
    read_keys,
    remove_client,
)

CALLBACK = ("https://app.example/callback",)


async def add(world, **changes):
    values = {"id": "new", "kind": "public", "redirect_uris": CALLBACK} | changes
    return await add_client(world.documents, "default", Registration(**values))


async def test_a_public_app_is_read_only_unless_told_otherwise(world):
    client, secret = await add(world)
    assert secret is None
    assert client.scopes == APP_SCOPES
    assert client.grant_types == ("authorization_code", "refresh_token")
    assert await get_client(world.documents, "default", "new") == client


async def test_a_secret_is_given_once_and_stored_as_a_hash(world):
    client, secret = await add(world, kind="secret")
    assert len(secret) >= 43
    assert client.secret_hash.startswith("$argon2id$")
    stored = b"".join(document.value for document in world.documents.held.values())
    assert secret.encode() not in stored


async def test_of_keys_only_the_public_half_is_stored(world, client_keys):
    keys = {"keys": [key.as_dict(private=True) for key in client_keys.values()]}
    client, _ = await add(world, kind="asymmetric", redirect_uris=(), keys=keys)
    assert client.grant_types == ("client_credentials",)
    assert client.scopes == "system/*.rs"
    assert not any("d" in key or "p" in key for key in client.jwks["keys"])


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"id": "a b"},
        {"id": "x" * 129},
        {"id": "é"},
        {"redirect_uris": ()},
        {"redirect_uris": ("http://app.example/callback",)},
        {"redirect_uris": ("https://app.example/callback#x",)},
        {"redirect_uris": ("/callback",)},
        {"redirect_uris": ("javascript:alert(1)",)},
        {"redirect_uris": ("data:text/html,x",)},
        {"redirect_uris": ("https://user:pass@app.example/",)},
        {"redirect_uris": ("https://app.example:port/",)},
        {"redirect_uris": ("https:///callback",)},
        {"redirect_uris": ("myapp:/callback",)},
        {"redirect_uris": ("https://app.example/ a",)},
        {"launch_uri": "http://app.example/launch"},
        {"scopes": "patient/*.sr"},
        {"scopes": "openid profile"},
        {"keys": {"keys": []}},
        {"kind": "asymmetric"},
        {"kind": "asymmetric", "keys": {"keys": []}},
        {"kind": "asymmetric", "keys": "http://client.example/jwks"},
        {"kind": "asymmetric", "keys": "ftp://client.example/jwks"},
    ],
)
async def test_a_wrong_registration_is_refused(world, changes):
    with pytest.raises(ValueError, match=r"^[A-Z].{20}"):
        await add(world, **changes)
    assert await get_client(world.documents, "default", "new") is None


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/callback?x=1",
        "http://127.0.0.1:9000/cb",
        "http://localhost/cb",
        "http://[::1]:8/cb",
        "com.example.app:/cb",
    ],
)
async def test_a_redirect_uri_may_be(world, uri):
    client, _ = await add(world, redirect_uris=(uri,))
    assert client.redirect_uris == (uri,)


async def test_an_id_is_taken_once_in_a_tenant(world):
    await add(world)
    with pytest.raises(ClientExists):
        await add(world)
    other = Registration("new", "public", redirect_uris=CALLBACK)
    assert (await add_client(world.documents, "other", other))[0].id == "new"


async def test_clients_are_listed_and_removed(world):
    assert [c.id for c in await list_clients(world.documents, "default")] == [
        "app",
        "by-url",
        "ehr",
        "service",
        "web",
    ]
    assert await remove_client(world.documents, "default", "web")
    assert not await remove_client(world.documents, "default", "web")
    assert await get_client(world.documents, "default", "web") is None


async def test_a_removed_clients_tokens_end(world):
    answer = await world.tokens()
    await world.access(answer["access_token"])
    await remove_client(world.documents, "default", "app", clock=world.clock)
    world.clock.forward(1)
    response = await world.http.get(
        "/fhir/Patient", headers={"Authorization": f"Bearer {answer['access_token']}"}
    )
    assert response.status_code == 401


def test_keys_are_read_from_a_file_or_left_as_a_url(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": []}))
    assert read_keys(str(path)) == {"keys": []}
    assert read_keys("https://client.example/jwks") == "https://client.example/jwks"
    path.write_text("no JSON")
    with pytest.raises(ValueError, match="not a JSON Web Key Set"):
        read_keys(str(path))
    with pytest.raises(ValueError, match="cannot be read"):
        read_keys(str(tmp_path / "absent"))
