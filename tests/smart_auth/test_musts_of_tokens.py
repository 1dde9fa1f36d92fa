"""What SMART App Launch 2.2 and the OAuth RFCs demand of the server, sentence by sentence: tokens.

Client authentication by secret, the token request, refresh, what is told beside the token.
"""

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from musts import BCP, OAUTH, OIDC, SMART, Table
from token_requests import closed, error, refresh

BASE = "http://127.0.0.1:8080"
CALLBACK = "http://127.0.0.1:9000/callback"
NOW = 1_800_000_000
TABLE = Table()
must = TABLE.must


@must(OAUTH, "4.1.2", "a code expires shortly after it was issued, ten minutes at most")
async def a_code_expires(world, secret):
    code = (await world.authorize())["code"]
    world.clock.forward(60)
    assert error(await world.token(code)) == (400, "invalid_grant")


@must(OAUTH, "4.1.2", "a code is used once; a second use takes the tokens of the first back")
@must(OAUTH, "10.5", "tokens that came of a code that was used again are revoked")
async def a_reused_code_takes_its_tokens_back(world, secret):
    code = (await world.authorize())["code"]
    answer = (await world.token(code)).json()
    assert error(await world.token(code)) == (400, "invalid_grant")
    assert await closed(world, answer["access_token"])
    assert error(await refresh(world, answer["refresh_token"])) == (400, "invalid_grant")


@must(OAUTH, "4.1.2", "a code is bound to its client")
@must(OAUTH, "4.1.3", "the server ensures that the code was issued to the client that brings it")
async def a_code_is_bound_to_its_client(world, secret):
    code = (await world.authorize())["code"]
    form = {"client_id": "web", "client_secret": secret["web"]}
    assert error(await world.token(code, **form)) == (400, "invalid_grant")


@must(OAUTH, "4.1.3", "redirect_uri is that of the authorisation request, identically")
async def the_redirect_is_checked_again(world, secret):
    code = (await world.authorize())["code"]
    answer = await world.token(code, redirect_uri=f"{CALLBACK}/")
    assert error(answer) == (400, "invalid_grant")


@must(OAUTH, "3.2", "the token request is a POST")
async def tokens_are_asked_for_by_post(world, secret):
    assert (await world.http.get("/auth/token")).status_code == 405


@must(OAUTH, "3.2", "no parameter of the token request is given more than once")
async def a_repeated_parameter_is_refused(world, secret):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    body = "grant_type=refresh_token&grant_type=refresh_token"
    got = await world.http.post("/auth/token", content=body, headers=kind)
    assert error(got) == (400, "invalid_request")


@must(OAUTH, "3.2.1", "a confidential client proves who it is")
async def a_confidential_client_needs_its_secret(world, secret):
    form = {"grant_type": "authorization_code", "code": "x", "redirect_uri": CALLBACK}
    form |= {"code_verifier": "v" * 64, "client_id": "web"}
    assert error(await world.post(form)) == (401, "invalid_client")
    assert error(await world.post(form | {"client_secret": "wrong"})) == (401, "invalid_client")


@must(OAUTH, "2.3", "a client proves itself in one way a request")
async def two_proofs_are_refused(world, secret):
    form = {"grant_type": "refresh_token", "client_id": "web", "client_secret": secret["web"]}
    answer = await world.post(form, auth=("web", secret["web"]))
    assert error(answer) == (400, "invalid_request")


@must(OAUTH, "2.3.1", "HTTP Basic is supported for clients with a password")
async def basic_is_taken(world, secret):
    form = {"token": "x"}
    answer = await world.post(form, "/auth/introspect", auth=("web", secret["web"]))
    assert answer.json() == {"active": False}


@must(OAUTH, "2.3.1", "guessing of secrets is slowed down")
async def guessing_is_slowed_down(world, secret):
    for _ in range(100):
        world.smart.failures.count("127.0.0.1")
    assert (await world.post({"grant_type": "x"})).status_code == 429


@must(OAUTH, "5.2", "a client that fails with the Authorization header is challenged by 401")
async def a_failed_client_is_challenged(world, secret):
    answer = await world.post({"grant_type": "refresh_token"}, auth=("web", "wrong"))
    assert error(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


@must(OAUTH, "5.1", "responses with tokens are not cached: no-store and no-cache")
async def tokens_are_not_cached(world, secret):
    code = (await world.authorize())["code"]
    answer = await world.token(code)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert answer.headers["content-type"].startswith("application/json")


@must(OAUTH, "5.1", "access_token and token_type are told")
@must(SMART, "Obtain access token", "token_type is Bearer, and scope and expires_in are told")
async def the_response_has_what_is_required(world, secret):
    answer = await world.tokens()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3600
    assert answer["scope"]
    assert answer["access_token"]


@must(OAUTH, "5.2", "error descriptions keep to printable ASCII")
async def descriptions_are_ascii(world, secret):
    answer = await refresh(world, "x", scope='é"\\')
    text = answer.json()["error_description"]
    assert all(" " <= letter <= "~" and letter not in '"\\' for letter in text)


@must(OAUTH, "5.2", "a grant type that is not offered is told as such")
@must(BCP, "2.4", "the password grant is not used")
async def other_grant_types_are_refused(world, secret):
    for kind in ("password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer"):
        assert error(await world.post({"grant_type": kind})) == (400, "unsupported_grant_type")


@must(OAUTH, "5.2", "a client that is not registered for a grant type may not use it")
async def a_grant_type_must_be_registered(world, secret):
    form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_id": "app"}
    assert error(await world.post(form)) == (400, "unauthorized_client")


@must(OAUTH, "6", "a refresh token is bound to its client")
async def a_refresh_token_is_bound_to_its_client(world, secret):
    first = await world.tokens()
    form = {"client_id": "web", "client_secret": secret["web"]}
    assert error(await refresh(world, first["refresh_token"], **form)) == (400, "invalid_grant")


@must(OAUTH, "6", "a refresh asks for nothing that was not granted (scope escalation)")
@must(SMART, "Refresh access token", "the scope of a refresh is what was granted, or less")
async def a_refresh_cannot_widen_the_scope(world, secret):
    first = await world.tokens()
    for scope in ("patient/*.cruds", "user/*.rs", "system/*.rs", "patient/*.rs online_access"):
        got = await refresh(world, first["refresh_token"], scope=scope)
        assert error(got) == (400, "invalid_scope")
    assert (await refresh(world, first["refresh_token"])).status_code == 200


@must(BCP, "4.14.2", "refresh tokens of public clients rotate, and reuse ends the whole line")
@must(OAUTH, "10.4", "a refresh token that was stolen is noticed")
async def a_reused_refresh_token_ends_its_line(world, secret):
    first = await world.tokens()
    second = (await refresh(world, first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert error(await refresh(world, first["refresh_token"])) == (400, "invalid_grant")
    assert error(await refresh(world, second["refresh_token"])) == (400, "invalid_grant")
    assert await closed(world, second["access_token"])


@must(SMART, "Scopes for requesting a refresh token", "a refresh token comes with offline_access")
@must(
    SMART,
    "Scopes for requesting a refresh token",
    "or with online_access, as long as the user is there",
)
async def refresh_tokens_come_with_their_scopes(world, secret):
    assert "refresh_token" not in await world.tokens(scope="openid patient/*.rs")
    assert "refresh_token" in await world.tokens(scope="openid patient/*.rs offline_access")
    assert "refresh_token" in await world.tokens(scope="openid patient/*.rs online_access")


@must(
    SMART,
    "Launch context arrives with your access_token",
    "the launch context comes beside the access token",
)
async def context_comes_with_the_token(world, secret):
    answer = await world.tokens()
    assert answer["patient"] == "ann"
    assert answer["need_patient_banner"] is True


@must(
    SMART,
    "Scopes for requesting identity data",
    "an ID token names the user by fhirUser, an absolute URL",
)
@must(OIDC, "2", "iss, sub, aud, exp and iat are there, and the nonce of the request")
@must(OIDC, "15.1", "RS256 signs it, and the key is published")
async def the_id_token_is_right(world, secret):
    answer = await world.tokens()
    keys = KeySet.import_key_set((await world.http.get("/auth/jwks")).json())
    claims = jwt.decode(answer["id_token"], keys, algorithms=["RS256"]).claims
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (BASE, "app", "n1")
    assert claims["fhirUser"] == f"{BASE}/fhir/Practitioner/d1"
    assert claims["iat"] <= NOW < claims["exp"]
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    told = (await world.http.get("/auth/userinfo", headers=headers)).json()
    assert told == {"sub": claims["sub"], "fhirUser": claims["fhirUser"]}


@must(OIDC, "3.1.2.1", "prompt=none shows no page; max_age and prompt=login ask again")
async def prompts_are_obeyed(world, secret):
    response = await world.http.get("/auth/authorize", params=world.request(prompt="none"))
    assert "error=login_required" in response.headers["location"]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
async def test_the_server_does_what_the_standard_demands(world, secret, row):
    await row.check(world, secret)


def test_every_row_cites_a_section_and_says_what_is_demanded(record_property):
    assert all(row.section and len(row.sentence) > 20 for row in TABLE)
    record_property("proof", f"SMART and OAuth, token requests: {len(TABLE)} demands")
