"""The token request: codes, refresh tokens, backend services, and what each refuses."""

import asyncio
import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from token_requests import error, refresh

from fhir_server.access import Grant
from smart_auth.scopes import MUST_BE_NAMED

BASE = "http://127.0.0.1:8080"
CALLBACK = "http://127.0.0.1:9000/callback"
RS = frozenset("rs")


def of_people(*parts):
    """A grant of a person's scopes, which reach types of their own by name only."""
    return Grant(*parts, apart=MUST_BE_NAMED)


async def test_a_code_becomes_a_token_with_its_patient(world):
    answer = await world.tokens()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3600
    assert answer["patient"] == "ann"
    assert answer["scope"] == "openid fhirUser launch/patient offline_access patient/*.rs"
    access = await world.access(answer["access_token"])
    assert access.grants == (of_people("*", RS, "ann"),)
    assert access.patient == "ann"
    assert access.client == "app"
    assert access.fhir_user == "Practitioner/d1"


async def test_the_id_token_is_signed_and_names_the_user(world):
    answer = await world.tokens()
    keys = KeySet.import_key_set((await world.http.get("/auth/jwks")).json())
    token = jwt.decode(answer["id_token"], keys, algorithms=["RS256"])
    assert token.claims["iss"] == BASE
    assert token.claims["aud"] == "app"
    assert token.claims["nonce"] == "n1"
    assert token.claims["fhirUser"] == f"{BASE}/fhir/Practitioner/d1"
    assert token.claims["exp"] > token.claims["iat"] == world.clock() // 1000


async def test_an_id_token_is_no_access_token(world):
    answer = await world.tokens()
    response = await world.http.get(
        "/fhir/Patient", headers={"Authorization": f"Bearer {answer['id_token']}"}
    )
    assert response.status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 64},
        {"code_verifier": "v" * 42},
        {"code_verifier": "v" * 129},
        {"code_verifier": "é" * 64},
        {"redirect_uri": "http://127.0.0.1:9000/other"},
        {"code": "wrong"},
    ],
)
async def test_a_code_that_does_not_fit_its_request_is_refused(world, changes):
    got = await world.authorize()
    assert error(await world.token(got["code"], **changes)) == (400, "invalid_grant")


@pytest.mark.parametrize("missing", ["code", "redirect_uri", "code_verifier", "grant_type"])
async def test_what_is_missing_is_named(world, missing):
    got = await world.authorize()
    response = await world.token(got["code"], **{missing: None})
    assert error(response) == (400, "invalid_request")
    assert missing in response.json()["error_description"]


async def test_a_wrong_verifier_spends_the_code(world):
    got = await world.authorize()
    assert error(await world.token(got["code"], code_verifier="w" * 64)) == (400, "invalid_grant")
    assert error(await world.token(got["code"])) == (400, "invalid_grant")


async def test_a_code_expires_after_a_minute(world):
    got = await world.authorize()
    world.clock.forward(60)
    assert error(await world.token(got["code"])) == (400, "invalid_grant")


async def test_a_replayed_code_is_refused_and_takes_its_tokens_back(world):
    got = await world.authorize()
    answer = (await world.token(got["code"])).json()
    await world.access(answer["access_token"])
    assert error(await world.token(got["code"])) == (400, "invalid_grant")
    response = await world.http.get(
        "/fhir/Patient", headers={"Authorization": f"Bearer {answer['access_token']}"}
    )
    assert response.status_code == 401
    form = {
        "grant_type": "refresh_token",
        "refresh_token": answer["refresh_token"],
        "client_id": "app",
    }
    assert error(await world.post(form)) == (400, "invalid_grant")


async def test_of_two_exchanges_at_once_at_most_one_succeeds(world):
    got = await world.authorize()
    answers = await asyncio.gather(*(world.token(got["code"]) for _ in range(5)))
    assert sum(answer.status_code == 200 for answer in answers) == 1


async def test_a_foreign_clients_code_is_refused_and_not_spent(world, secret):
    got = await world.authorize()
    form = {"client_id": "web", "client_secret": secret["web"]}
    assert error(await world.token(got["code"], **form)) == (400, "invalid_grant")
    assert (await world.token(got["code"])).status_code == 200


async def test_a_refresh_token_is_replaced_at_each_use(world):
    first = await world.tokens()
    world.clock.forward(10)
    second = (await refresh(world, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert second["patient"] == "ann"
    third = await refresh(world, second["refresh_token"])
    assert third.status_code == 200


async def test_a_reused_refresh_token_takes_the_whole_line_back(world):
    first = await world.tokens()
    second = (await refresh(world, first["refresh_token"])).json()
    assert error(await refresh(world, first["refresh_token"])) == (400, "invalid_grant")
    assert error(await refresh(world, second["refresh_token"])) == (400, "invalid_grant")
    for answer in (first, second):
        response = await world.http.get(
            "/fhir/Patient", headers={"Authorization": f"Bearer {answer['access_token']}"}
        )
        assert response.status_code == 401


async def test_a_public_client_may_refresh_without_its_name(world):
    first = await world.tokens()
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = await world.post(form)
    assert second.status_code == 200
    assert error(await world.post(form)) == (400, "invalid_grant")
    unknown = await world.post(form | {"refresh_token": "unknown"})
    assert error(unknown) == (401, "invalid_client")


async def test_a_confidential_client_may_not_refresh_without_its_proof(world):
    from smart_auth.clients import Registration, add_client

    scopes = "openid patient/*.rs offline_access launch/patient"
    app = Registration("safe", "secret", redirect_uris=(CALLBACK,), scopes=scopes)
    _, hidden = await add_client(world.documents, "default", app)
    got = await world.authorize(client_id="safe", scope=scopes)
    form = {"client_id": "safe", "client_secret": hidden}
    first = (await world.token(got["code"], **form)).json()
    unnamed = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert error(await world.post(unnamed)) == (401, "invalid_client")
    assert error(await world.post(unnamed | {"client_id": "safe"})) == (401, "invalid_client")
    assert (await world.post(unnamed | form)).status_code == 200


async def test_of_two_refreshes_at_once_at_most_one_succeeds(world):
    first = await world.tokens()
    token = first["refresh_token"]
    answers = await asyncio.gather(*(refresh(world, token) for _ in range(5)))
    assert sum(answer.status_code == 200 for answer in answers) <= 1


async def test_a_refresh_may_narrow_the_scope_and_not_widen_it(world):
    first = await world.tokens()
    wide = await refresh(world, first["refresh_token"], scope="patient/*.cruds")
    assert error(wide) == (400, "invalid_scope")
    broken = await refresh(world, first["refresh_token"], scope="patient/*.sr")
    assert error(broken) == (400, "invalid_scope")
    narrow = await refresh(world, first["refresh_token"], scope="patient/Observation.rs")
    assert narrow.json()["scope"] == "patient/Observation.rs"
    access = await world.access(narrow.json()["access_token"])
    assert access.grants == (of_people("Observation", RS, "ann"),)
    whole = await refresh(world, narrow.json()["refresh_token"])
    assert whole.json()["scope"] == first["scope"]


async def test_a_refresh_token_expires_after_90_days(world):
    first = await world.tokens()
    world.clock.forward(90 * 24 * 3600)
    assert error(await refresh(world, first["refresh_token"])) == (400, "invalid_grant")


async def test_without_offline_or_online_access_there_is_no_refresh_token(world):
    answer = await world.tokens(scope="openid patient/*.rs")
    assert "refresh_token" not in answer


async def test_online_access_ends_with_the_session(world):
    browser = world.browser()
    asked = world.request(scope="online_access user/*.rs")
    page = await browser.log_in(await browser.get("/auth/authorize", **asked))
    done = await browser.submit(page, decision="allow")
    code = done.headers["location"].split("code=")[1].split("&")[0]
    first = (await world.token(code)).json()
    second = (await refresh(world, first["refresh_token"])).json()
    await browser.submit(await browser.get("/auth/logout"))
    assert error(await refresh(world, second["refresh_token"])) == (400, "invalid_grant")


async def test_another_clients_refresh_token_is_refused(world, secret):
    first = await world.tokens()
    form = {"client_id": "web", "client_secret": secret["web"]}
    assert error(await refresh(world, first["refresh_token"], **form)) == (400, "invalid_grant")
    assert (await refresh(world, first["refresh_token"])).status_code == 200


@pytest.mark.parametrize("alg", ["RS384", "ES384"])
async def test_a_backend_service_gets_a_token_for_its_signed_assertion(world, alg):
    answer = (await world.backend(world.assertion(alg))).json()
    assert answer["expires_in"] == 300
    assert answer["scope"] == "system/*.rs"
    assert "refresh_token" not in answer
    access = await world.access(answer["access_token"])
    assert access.grants == (Grant("*", RS),)
    assert access.client == access.subject == "service"


@pytest.mark.parametrize(
    ("scope", "given_"),
    [
        ("system/*.cruds", "system/*.rs"),
        ("system/Observation.rs patient/*.rs user/*.rs openid", "system/Observation.rs"),
        ("system/*.read", "system/*.read"),
    ],
)
async def test_a_service_is_given_what_it_may_have_at_most(world, scope, given_):
    answer = await world.backend(world.assertion(), scope=scope)
    assert answer.json()["scope"] == given_


@pytest.mark.parametrize("scope", ["patient/*.rs", "system/*.cud", "openid", "system/*.sr"])
async def test_a_service_that_may_have_nothing_of_it_is_refused(world, scope):
    assert error(await world.backend(world.assertion(), scope=scope)) == (400, "invalid_scope")


async def test_a_service_must_name_its_scope(world):
    assert error(await world.backend(world.assertion(), scope="")) == (400, "invalid_request")


async def test_an_assertion_is_good_once(world):
    assertion = world.assertion()
    assert (await world.backend(assertion)).status_code == 200
    assert error(await world.backend(assertion)) == (401, "invalid_client")


async def test_of_the_same_assertion_sent_at_once_one_is_good(world):
    assertion = world.assertion()
    answers = await asyncio.gather(*(world.backend(assertion) for _ in range(5)))
    assert sum(answer.status_code == 200 for answer in answers) == 1


NOW = 1_800_000_000


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": f"{BASE}/fhir"},
        {"aud": BASE},
        {"aud": None},
        {"aud": [f"{BASE}/auth/token", "https://evil.example"]},
        {"exp": NOW - 11},
        {"exp": NOW + 311},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"nbf": NOW + 100},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"iss": "app", "sub": "app"},
        {"iss": "nobody", "sub": "nobody"},
        {"sub": "web"},
        {"sub": None},
        {"iss": None},
        {"iss": {"a": 1}, "sub": {"a": 1}},
    ],
)
async def test_an_assertion_with_wrong_claims_is_refused(world, changes):
    assert error(await world.backend(world.assertion(**changes))) == (401, "invalid_client")


async def test_an_assertion_of_another_key_or_form_is_refused(world):
    good = world.assertion()
    stranger = world.assertion(key=RSAKey.generate_key(2048))
    head, body, tail = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"RS384"}').rstrip(b"=").decode()
    swapped = world.assertion("ES384", kid="RS384")
    for wrong in (
        stranger,
        world.assertion(kid="unknown"),
        world.assertion(kid=None),
        swapped,
        f"{none}.{body}.",
        f"{none}.{body}.{tail}",
        f"{head}.{body}.",
        f"{head}.{body[:-2]}AA.{tail}",
        "not.a.token",
        "x",
        "." * 5,
    ):
        assert error(await world.backend(wrong)) == (401, "invalid_client")
    assert (await world.backend(good)).status_code == 200


@pytest.mark.parametrize("alg", ["HS256", "RS384"])
async def test_the_public_key_is_not_taken_for_a_shared_secret(world, confuse, alg):
    public = world.keys["RS384"].as_pem(private=False)
    claims = jwt.decode(world.assertion(), world.keys["RS384"], algorithms=["RS384"]).claims
    confused = confuse({"alg": alg, "kid": "RS384"}, claims, public)
    assert error(await world.backend(confused)) == (401, "invalid_client")


@pytest.mark.parametrize("alg", ["RS256", "PS384", "ES256"])
async def test_other_algorithms_are_refused(world, alg):
    key = ECKey.generate_key("P-256") if alg == "ES256" else world.keys["RS384"]
    key = key if alg == "ES256" else RSAKey.import_key(key.as_pem(private=True))
    assert error(await world.backend(world.assertion(alg, key=key))) == (401, "invalid_client")


async def test_a_client_without_keys_may_not_use_client_credentials(world, secret):
    form = {"grant_type": "client_credentials", "scope": "system/*.rs"}
    web = form | {"client_id": "web", "client_secret": secret["web"]}
    assert error(await world.post(web)) == (400, "unauthorized_client")
    assert error(await world.post(form | {"client_id": "app"})) == (400, "unauthorized_client")


@pytest.mark.parametrize("kind", ["password", "implicit", "urn:x"])
async def test_other_grant_types_are_refused(world, kind):
    assert error(await world.post({"grant_type": kind})) == (400, "unsupported_grant_type")


async def test_json_and_repeated_parameters_are_refused(world):
    got = await world.http.post("/auth/token", json={"grant_type": "x"})
    assert error(got) == (400, "invalid_request")
    body = "grant_type=refresh_token&grant_type=refresh_token"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    got = await world.http.post("/auth/token", content=body, headers=headers)
    assert error(got) == (400, "invalid_request")
    huge = "a=" + "x" * 70_000
    got = await world.http.post("/auth/token", content=huge, headers=headers)
    assert error(got) == (400, "invalid_request")


NAMES = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "form_token",
    "grant_type",
    "name",
    "next",
    "password",
    "redirect_uri",
    "refresh_token",
    "request",
    "scope",
    "token",
]
VALUES = (
    st.text(max_size=30)
    | st.sampled_from(
        [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "app",
            "web",
            "service",
            "e30.e30.e30",
            "a.b.c",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "system/*.rs",
        ]
    )
    | st.binary(max_size=12).map(lambda b: base64.urlsafe_b64encode(b).decode())
)
HEADERS = st.sampled_from(["", "Basic ", "Basic YTpi", "Basic /w==", "Bearer x", "Basic é"])
PATHS = ["/auth/token", "/auth/introspect", "/auth/revoke", "/auth/login", "/auth/consent"]


@given(
    path=st.sampled_from(PATHS),
    form=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8),
    raw=st.none() | st.binary(max_size=60),
    authorization=HEADERS,
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_form_makes_the_server_fail(world, path, form, raw, authorization):
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": authorization.encode("latin-1"),
    }
    data = {"content": raw} if raw is not None else {"data": form}
    answer = await world.http.post(path, headers=headers, **data)
    assert answer.status_code in {200, 303, 400, 401, 403}
