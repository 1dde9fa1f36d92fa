"""Dynamic client registration: only as the policy says, and never more than an app may have."""

import asyncio

import pytest

from smart_auth.policy import Policy
from smart_auth.registration import invite

CALLBACK = "https://app.example/callback"
WANTED = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "App"}


@pytest.fixture
def open_world(another):
    return another(policy=Policy(registration="open"))


async def register(world, metadata, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await world.http.post("/auth/register", json=metadata, headers=headers)


async def test_nobody_registers_where_the_policy_says_off(world):
    answer = await register(world, WANTED)
    assert answer.json()["error"] == "access_denied"
    for place in ("/fhir/.well-known/smart-configuration", "/.well-known/openid-configuration"):
        assert "registration_endpoint" not in (await world.http.get(place)).json()


async def test_an_app_registers_and_is_launched(open_world):
    told = (await register(open_world, WANTED)).json()
    assert told["token_endpoint_auth_method"] == "none"
    assert told["redirect_uris"] == [CALLBACK]
    assert "client_secret" not in told
    request = open_world.request(client_id=told["client_id"], redirect_uri=CALLBACK)
    page = await open_world.http.get("/auth/authorize", params=request)
    assert "Log in" in page.text


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_confidential_app_is_given_a_secret_once(open_world, method):
    answer = await register(open_world, WANTED | {"token_endpoint_auth_method": method})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told["client_secret_expires_at"] == 0
    assert told["token_endpoint_auth_method"] == method
    form = {
        "token": "x",
        "client_id": told["client_id"],
        "client_secret": told["client_secret"],
    }
    assert (await open_world.post(form, "/auth/introspect")).json() == {"active": False}


async def test_the_document_names_the_place(open_world):
    document = (await open_world.http.get("/fhir/.well-known/smart-configuration")).json()
    assert document["registration_endpoint"].endswith("/auth/register")


async def test_scopes_are_cut_to_what_any_app_may_have(open_world):
    scope = "openid patient/*.cruds system/*.rs launch"
    told = (await register(open_world, WANTED | {"scope": scope})).json()
    assert told["scope"] == "openid launch patient/*.rs"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": "x"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"scope": "system/*.rs"}, "invalid_client_metadata"),
        ({"scope": "patient/*.sr"}, "invalid_client_metadata"),
        ({"launch_uri": "http://app.example/"}, "invalid_client_metadata"),
        ({"jwks": {"keys": []}, "jwks_uri": "https://x.example"}, "invalid_client_metadata"),
    ],
)
async def test_what_cannot_be_registered_is_told(open_world, changes, error):
    answer = await register(open_world, WANTED | changes)
    assert answer.status_code == 400
    assert answer.json()["error"] == error


async def test_a_body_that_is_no_json_is_refused(open_world):
    answer = await open_world.http.post("/auth/register", content=b"{")
    assert answer.json()["error"] == "invalid_client_metadata"


@pytest.fixture
def by_token(another):
    return another(policy=Policy(registration="token"))


async def test_an_initial_access_token_is_needed_and_good_once(by_token):
    for token in (None, "wrong"):
        answer = await register(by_token, WANTED, token)
        assert answer.status_code == 401
    token = await invite(by_token.documents, "default", clock=by_token.clock)
    refused = await register(by_token, WANTED | {"redirect_uris": []}, token)
    assert refused.status_code == 400
    answers = await asyncio.gather(*(register(by_token, WANTED, token) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401]


async def test_an_initial_access_token_expires_after_a_week(by_token):
    token = await invite(by_token.documents, "default", clock=by_token.clock)
    by_token.clock.forward(7 * 24 * 3600)
    assert (await register(by_token, WANTED, token)).status_code == 401


async def test_a_service_with_keys_registers_with_a_token(by_token, client_keys):
    token = await invite(by_token.documents, "default", clock=by_token.clock)
    jwks = {"keys": [key.as_dict(private=False) for key in client_keys.values()]}
    wanted = {
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": jwks,
    }
    told = (await register(by_token, wanted, token)).json()
    id_ = told["client_id"]
    assertion = by_token.assertion(iss=id_, sub=id_)
    answer = await by_token.backend(assertion)
    assert answer.json()["scope"] == "system/*.rs"


async def test_keys_of_a_client_that_registered_itself_are_fetched_from_public_addresses(another):
    asked = []

    async def fetch_public_keys(url):
        asked.append(url)
        return b"{}"

    world = another(policy=Policy(registration="open"), fetch_public_keys=fetch_public_keys)
    wanted = WANTED | {
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": "https://169.254.169.254/jwks",
    }
    told = (await register(world, wanted)).json()
    assertion = world.assertion(iss=told["client_id"], sub=told["client_id"])
    assert (await world.backend(assertion)).status_code == 401
    assert asked == ["https://169.254.169.254/jwks"]
