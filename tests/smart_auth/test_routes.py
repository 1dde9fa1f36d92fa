"""Discovery, the wall between tenants, and clients that others wrote."""

import base64
import warnings

import pytest
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc.jwk import KeySet
from starlette.routing import Match

from smart_auth.clients import Registration, add_client
from smart_auth.users import add_user

BASE = "http://127.0.0.1:8080"
CALLBACK = "http://127.0.0.1:9000/callback"


async def test_the_smart_document_tells_where_everything_is(world):
    told = (await world.http.get("/fhir/.well-known/smart-configuration")).json()
    assert told["issuer"] == BASE
    assert told["authorization_endpoint"] == f"{BASE}/auth/authorize"
    assert told["token_endpoint"] == f"{BASE}/auth/token"
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert set(told["token_endpoint_auth_signing_alg_values_supported"]) == {"RS384", "ES384"}
    assert "launch-ehr" in told["capabilities"]
    assert "launch-standalone" in told["capabilities"]


async def test_every_address_of_the_documents_is_served(world):
    for document in (
        "/fhir/.well-known/smart-configuration",
        "/.well-known/openid-configuration",
        "/t/other/fhir/.well-known/smart-configuration",
        "/t/other/.well-known/openid-configuration",
    ):
        told = (await world.http.get(document)).json()
        addresses = [v for k, v in told.items() if k.endswith(("_endpoint", "_uri"))]
        assert len(addresses) >= 5
        for address in addresses:
            path = address.removeprefix(BASE)
            found = [
                route.matches({"type": "http", "path": path, "method": method})[0]
                for route in world.app.routes
                for method in ("GET", "POST")
            ]
            assert Match.FULL in found, path


async def test_every_scope_that_is_told_is_understood(world):
    from smart_auth.scopes import parse

    told = (await world.http.get("/fhir/.well-known/smart-configuration")).json()
    text = " ".join(told["scopes_supported"])
    assert set(parse(text).text.split()) == set(told["scopes_supported"])


async def test_the_openid_document_is_valid_by_authlib(world, monkeypatch):
    told = (await world.http.get("/.well-known/openid-configuration")).json()
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    secure = {
        k: v.replace("http://127.0.0.1:8080", "https://server.example") if isinstance(v, str) else v
        for k, v in told.items()
    }
    for wrong in ({"jwks_uri": None}, {"response_types_supported": None}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            OpenIDProviderMetadata(secure | wrong).validate()
    OpenIDProviderMetadata(secure).validate()


async def test_the_key_set_is_public(world):
    keys = KeySet.import_key_set((await world.http.get("/auth/jwks")).json())
    assert not any(key.is_private for key in keys)


async def test_userinfo_names_the_user_to_a_token_with_openid(world):
    answer = await world.tokens()
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    told = (await world.http.get("/auth/userinfo", headers=bearer)).json()
    assert told["fhirUser"] == f"{BASE}/fhir/Practitioner/d1"
    plain = await world.tokens(scope="user/*.rs")
    bearer = {"Authorization": f"Bearer {plain['access_token']}"}
    assert (await world.http.get("/auth/userinfo", headers=bearer)).status_code == 403
    assert (await world.http.get("/auth/userinfo")).status_code == 401


@pytest.mark.parametrize(
    "path", ["/t/default/auth/jwks2", "/t/default/.well-known/openid-configuration"]
)
async def test_the_default_tenant_has_one_address(world, path):
    assert (await world.http.get(path)).status_code == 404


@pytest.mark.parametrize("tenant", ["No", "a.b", "-x", "x" * 64, "%20", "other%0A", "absent"])
async def test_an_impossible_or_unknown_tenant_is_not_found(world, tenant):
    path = f"/t/{tenant}/fhir/.well-known/smart-configuration"
    assert (await world.http.get(path)).status_code == 404
    assert (await world.http.post(f"/t/{tenant}/auth/token")).status_code == 404


async def test_a_tenant_is_an_issuer_of_its_own(world):
    told = (await world.http.get("/t/other/fhir/.well-known/smart-configuration")).json()
    assert told["issuer"] == f"{BASE}/t/other"
    assert told["token_endpoint"] == f"{BASE}/t/other/auth/token"


async def test_one_tenants_client_code_and_token_are_nothing_in_another(world):
    await add_client(
        world.documents, "other", Registration("app", "public", redirect_uris=(CALLBACK,))
    )
    await add_user(world.documents, "other", "eve", "Practitioner/e", "correct horse")
    got = await world.authorize()
    form = {
        "grant_type": "authorization_code",
        "code": got["code"],
        "redirect_uri": CALLBACK,
        "code_verifier": "v" * 64,
        "client_id": "app",
    }
    assert (await world.post(form, "/t/other/auth/token")).status_code == 400
    answer = (await world.post(form)).json()
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    assert (await world.http.get("/fhir/Patient", headers=bearer)).status_code == 200
    assert (await world.http.get("/t/other/fhir/Patient", headers=bearer)).status_code == 401
    refresh = {
        "grant_type": "refresh_token",
        "refresh_token": answer["refresh_token"],
        "client_id": "app",
    }
    assert (await world.post(refresh, "/t/other/auth/token")).status_code == 400
    assertion = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": world.assertion(),
    }
    assert (await world.post(assertion, "/t/other/auth/token")).status_code == 401


async def test_an_authorisation_request_of_one_tenant_does_not_reach_another(world):
    response = await world.http.get("/t/other/auth/authorize", params=world.request())
    assert response.status_code == 400


async def test_authlibs_client_walks_the_whole_flow(world):
    with warnings.catch_warnings():  # it wants httpx2, which is not ours to choose
        import authlib.deprecate

        warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
        from authlib.integrations.httpx_client import AsyncOAuth2Client

    async with AsyncOAuth2Client(
        "app",
        redirect_uri=CALLBACK,
        scope="openid launch/patient offline_access patient/*.rs",
        code_challenge_method="S256",
        token_endpoint_auth_method="none",
        transport=world.http._transport,
    ) as client:
        url, state = client.create_authorization_url(
            f"{BASE}/auth/authorize", code_verifier="v" * 64, aud=f"{BASE}/fhir"
        )
        browser = world.browser()
        page = await browser.log_in(await browser.get(url))
        page = await browser.submit(page, nth=1, patient="bob")
        done = await browser.submit(page, decision="allow")
        token = await client.fetch_token(
            f"{BASE}/auth/token",
            authorization_response=done.headers["location"],
            state=state,
            code_verifier="v" * 64,
        )
        assert token["patient"] == "bob"
        assert (await client.get(f"{BASE}/fhir/Patient")).json()["patient"] == "bob"
        again = await client.refresh_token(f"{BASE}/auth/token")
        assert again["access_token"]


async def test_responses_with_tokens_are_not_cached_and_say_so(world):
    response = await world.backend(world.assertion())
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"


async def test_no_token_or_password_is_stored_or_logged(world, caplog):
    caplog.set_level(0)
    got = await world.authorize()
    answer = (await world.token(got["code"])).json()
    stored = b"".join(
        document.value + key[2].encode() for key, document in world.documents.held.items()
    )
    ours = "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("http"))
    for secret in (
        got["code"],
        answer["access_token"],
        answer["refresh_token"],
        answer["id_token"],
        "correct horse",
    ):
        assert secret.encode() not in stored
        assert base64.b64encode(secret.encode()) not in stored
        assert secret not in ours
