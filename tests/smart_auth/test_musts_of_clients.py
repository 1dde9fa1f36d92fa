"""What SMART App Launch 2.2 and the OAuth RFCs demand of the server, sentence by sentence: clients.

Assertions and their keys, the tokens themselves, introspection, revocation, registration.
"""

import asyncio
import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from musts import ASK, ASSERTION, BCP, BEARER, JWT, OAUTH, REVOKE, SMART, Table
from token_requests import closed, error, refresh

from smart_auth.clients import Registration, add_client

BASE = "http://127.0.0.1:8080"
CALLBACK = "http://127.0.0.1:9000/callback"
NOW = 1_800_000_000
TABLE = Table()
must = TABLE.must


async def introspect(world, secret, token, **changes):
    form = {"token": token, "client_id": "web", "client_secret": secret["web"]} | changes
    form = {name: value for name, value in form.items() if value is not None}
    return await world.post(form, "/auth/introspect")


async def revoke(world, token, **more):
    return await world.post({"token": token, "client_id": "app"} | more, "/auth/revoke")


# --- clients with keys -------------------------------------------------------------------------


@must(SMART, "Client Authentication: Asymmetric", "RS384 and ES384 are both taken")
async def both_algorithms_are_taken(world, secret):
    for alg in ("RS384", "ES384"):
        assert (await world.backend(world.assertion(alg))).status_code == 200


@must(SMART, "Client Authentication: Asymmetric", "the token of a backend service is short-lived")
async def a_services_token_is_short_lived(world, secret):
    answer = (await world.backend(world.assertion())).json()
    assert answer["expires_in"] <= 300
    assert "refresh_token" not in answer


@must(ASSERTION, "3", "iss and sub are the client")
async def an_assertion_names_its_client(world, secret):
    for changes in ({"iss": None}, {"sub": None}, {"sub": "web"}, {"iss": "no", "sub": "no"}):
        assert error(await world.backend(world.assertion(**changes))) == (401, "invalid_client")


@must(ASSERTION, "3", "aud names this server's token URL and nothing else")
async def an_assertion_is_for_this_server(world, secret):
    for aud in (None, BASE, "https://evil.example/token", [f"{BASE}/auth/token", "https://x"]):
        assert error(await world.backend(world.assertion(aud=aud))) == (401, "invalid_client")


@must(ASSERTION, "3", "an assertion has an exp, and is refused once that has passed")
@must(SMART, "Client Authentication: Asymmetric", "exp is no more than five minutes ahead")
@must(ASSERTION, "3", "an nbf that lies ahead is obeyed")
async def an_assertion_keeps_its_times(world, secret):
    for changes in ({"exp": None}, {"exp": NOW - 60}, {"exp": NOW + 600}, {"nbf": NOW + 60}):
        assert error(await world.backend(world.assertion(**changes))) == (401, "invalid_client")


@must(SMART, "Client Authentication: Asymmetric", "jti is there, and a replay is refused")
@must(ASSERTION, "3", "the server may keep jti values, and refuses one that it has seen")
async def a_replayed_assertion_is_refused(world, secret):
    assert error(await world.backend(world.assertion(jti=None))) == (401, "invalid_client")
    assertion = world.assertion()
    answers = await asyncio.gather(*(world.backend(assertion) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]


@must(SMART, "Client Authentication: Asymmetric", "the header names the key: kid")
async def an_assertion_without_kid_is_refused(world, secret):
    assert error(await world.backend(world.assertion(kid=None))) == (401, "invalid_client")
    assert error(await world.backend(world.assertion(kid="unknown"))) == (401, "invalid_client")


@must(SMART, "Client Authentication: Asymmetric", "jku, where it is given, is the registered URL")
async def a_foreign_jku_is_refused(world, secret):
    now = world.clock() // 1000
    claims = {"iss": "by-url", "sub": "by-url", "aud": f"{BASE}/auth/token", "exp": now + 60}
    key = world.keys["ES384"]
    asked = []

    def answer():
        asked.append(1)
        return json.dumps({"keys": [key.as_dict(private=False)]}).encode()

    world.jwks_urls["https://client.example/jwks"] = answer
    for jku, status in (
        ("https://evil.example/jwks", 401),
        ("https://client.example/jwks", 200),
    ):
        header = {"alg": "ES384", "kid": "ES384", "jku": jku}
        signed = jwt.encode(header, claims | {"jti": jku}, key, algorithms=["ES384"])
        assert (await world.backend(signed)).status_code == status
    assert asked == [1]


@must(SMART, "Client Authentication: Asymmetric", "keys are kept no longer than their server says")
async def keys_are_kept_as_long_as_they_may_be(world, secret):
    from smart_auth.client_keys import Answer, ClientKeys, UnusableKeys

    key = world.keys["ES384"]
    content = json.dumps({"keys": [key.as_dict(private=False)]}).encode()
    answers = [Answer(content, 60)]

    async def fetch(url):
        if not answers:
            raise UnusableKeys("down")
        return answers.pop()

    keys = ClientKeys(fetch, world.clock)
    assert await keys.key("ES384", None, "https://x")
    world.clock.forward(59)
    assert await keys.key("ES384", None, "https://x")
    world.clock.forward(1)
    with pytest.raises(UnusableKeys):
        await keys.key("ES384", None, "https://x")


@must(JWT, "3.1", "the algorithm is the server's choice: none is refused")
async def alg_none_is_refused(world, secret):
    _, body, tail = world.assertion().split(".")
    for alg in ("none", "None", "NONE", ""):
        head = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "RS384"}).encode())
        for end in ("", tail):
            wrong = f"{head.rstrip(b'=').decode()}.{body}.{end}"
            assert error(await world.backend(wrong)) == (401, "invalid_client")
            assert await closed(world, wrong)


@must(JWT, "3.1", "a public key is never taken for a shared secret (key confusion)")
async def a_public_key_is_no_secret(world, secret, confuse):
    public = world.keys["RS384"].as_pem(private=False)
    claims = jwt.decode(world.assertion(), world.keys["RS384"], algorithms=["RS384"]).claims
    for alg in ("HS256", "HS384", "RS384"):
        wrong = confuse({"alg": alg, "kid": "RS384"}, claims, public)
        assert error(await world.backend(wrong)) == (401, "invalid_client")
    ours = world.smart.keys.access.signing.as_pem(private=False)
    answer = await world.tokens()
    body = answer["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    header = {"alg": "HS256", "kid": world.smart.keys.access.kid, "typ": "at+jwt"}
    assert await closed(world, confuse(header, claims, ours))


@must(JWT, "3.1", "a key serves its own algorithm alone")
async def a_key_serves_its_own_algorithm(world, secret):
    swapped = world.assertion("ES384", kid="RS384")
    assert error(await world.backend(swapped)) == (401, "invalid_client")
    weak = ECKey.generate_key("P-256", {"kid": "ES384"})
    got = await world.backend(world.assertion("ES256", key=weak, kid="ES384"))
    assert error(got) == (401, "invalid_client")


@must(JWT, "3.11", "one kind of token is not taken for another")
async def kinds_of_tokens_are_not_confused(world, secret):
    answer = await world.tokens()
    for wrong in (answer["id_token"], answer["refresh_token"], world.assertion()):
        assert await closed(world, wrong)


# --- access tokens -----------------------------------------------------------------------------


@must(BEARER, "2.1", "the token comes in the Authorization header")
@must(BEARER, "2.3", "a token in a URL is not taken")
async def a_token_in_a_url_is_not_taken(world, secret):
    token = (await world.tokens())["access_token"]
    assert (await world.http.get(f"/fhir/Patient?access_token={token}")).status_code == 401
    headers = {"Authorization": f"Bearer {token}"}
    assert (await world.http.get("/fhir/Patient", headers=headers)).status_code == 200


@must(BEARER, "3.1", "a token that has expired, was revoked or is malformed is refused by 401")
@must(OAUTH, "7", "the resource server validates the token and that it has not expired")
async def an_expired_token_is_refused(world, secret):
    token = (await world.tokens())["access_token"]
    world.clock.forward(3600)
    assert await closed(world, token)


@must(OAUTH, "10.3", "a token cannot be altered or made up")
async def an_altered_token_is_refused(world, secret):
    head, body, tail = (await world.tokens())["access_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | {"scope": "system/*.cruds"}
    wider = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert await closed(world, f"{head}.{wider}.{tail}")
    own = jwt.encode(
        {"alg": "ES256", "kid": world.smart.keys.access.kid, "typ": "at+jwt"},
        claims,
        ECKey.generate_key("P-256"),
        algorithms=["ES256"],
    )
    assert await closed(world, own)


@must(BCP, "2.3", "a token is for one audience: another tenant's server refuses it")
async def a_token_has_one_audience(world, secret):
    token = (await world.tokens())["access_token"]
    assert await closed(world, token, "other")


# --- introspection -----------------------------------------------------------------------------


@must(ASK, "2.1", "the request is authorised, against guessing of tokens")
async def introspection_needs_a_client(world, secret):
    token = (await world.tokens())["access_token"]
    for changes in ({"client_secret": None}, {"client_secret": "x"}, {"client_id": "app"}):
        answer = await introspect(world, secret, token, **changes)
        assert error(answer) == (401, "invalid_client")


@must(ASK, "2.1", "the token comes by POST, in the body")
async def introspection_is_a_post(world, secret):
    assert (await world.http.get("/auth/introspect?token=x")).status_code == 405
    assert error(await introspect(world, secret, None)) == (400, "invalid_request")


@must(ASK, "2.2", "what is not active is told by that alone")
async def an_inactive_token_is_told_by_that_alone(world, secret):
    answer = await world.tokens()
    for token in ("x", "a.b.c", answer["id_token"], answer["refresh_token"]):
        assert (await introspect(world, secret, token)).json() == {"active": False}


@must(ASK, "4", "a token that was revoked or has expired is not active")
async def a_revoked_token_is_not_active(world, secret):
    answer = await world.tokens()
    assert (await introspect(world, secret, answer["access_token"])).json()["active"] is True
    await revoke(world, answer["access_token"])
    assert (await introspect(world, secret, answer["access_token"])).json() == {"active": False}


@must(SMART, "Token Introspection", "active, scope, client_id and exp are told")
@must(SMART, "Token Introspection", "the launch context is told as in the token response")
@must(
    SMART,
    "Token Introspection",
    "with an ID token, iss and sub are those of it, and fhirUser is told",
)
async def introspection_tells_what_smart_demands(world, secret):
    answer = await world.tokens()
    told = (await introspect(world, secret, answer["access_token"])).json()
    assert {"active", "scope", "client_id", "exp"} <= set(told)
    assert (told["scope"], told["patient"]) == (answer["scope"], answer["patient"])
    claims = json.loads(base64.urlsafe_b64decode(answer["id_token"].split(".")[1] + "=="))
    names = ("iss", "sub", "fhirUser")
    assert [told[name] for name in names] == [claims[name] for name in names]


# --- revocation --------------------------------------------------------------------------------


@must(REVOKE, "2", "refresh tokens and access tokens can be revoked")
async def access_tokens_are_revoked(world, secret):
    answer = await world.tokens()
    assert (await revoke(world, answer["access_token"])).status_code == 200
    assert await closed(world, answer["access_token"])


@must(REVOKE, "2.1", "with a refresh token the access tokens of its grant fall")
async def a_refresh_token_falls_with_its_grant(world, secret):
    answer = await world.tokens()
    await revoke(world, answer["refresh_token"], token_type_hint="refresh_token")
    assert await closed(world, answer["access_token"])
    assert error(await refresh(world, answer["refresh_token"])) == (400, "invalid_grant")


@must(REVOKE, "2.1", "the client is authenticated, and the token must be its own")
async def another_clients_token_is_not_revoked(world, secret):
    answer = await world.tokens()
    form = {"client_id": "web", "client_secret": secret["web"]}
    for token in (answer["access_token"], answer["refresh_token"]):
        await revoke(world, token, **form)
    await world.access(answer["access_token"])
    assert error(await revoke(world, "x", client_id="web")) == (401, "invalid_client")


@must(REVOKE, "2.2", "a token that is none is answered as one that was revoked: 200")
@must(REVOKE, "2.1", "an unknown or wrong hint is ignored")
async def revoking_nothing_is_no_error(world, secret):
    assert (await revoke(world, "x", token_type_hint="colour")).status_code == 200
    answer = await world.tokens()
    await revoke(world, answer["access_token"], token_type_hint="refresh_token")
    assert await closed(world, answer["access_token"])


# --- registered clients ------------------------------------------------------------------------


@must(OAUTH, "3.1.2", "a redirect URI is absolute and has no fragment")
@must(BCP, "2.6", "http is for loopback alone")
@must("RFC 8252", "7.1", "a private scheme is a reversed domain name")
async def wrong_redirects_are_not_registered(world, secret):
    for uri in ("http://app.example/x", "/callback", "https://a.example/#f", "myapp:/cb", "data:x"):
        wrong = Registration("new", "public", redirect_uris=(uri,))
        with pytest.raises(ValueError, match="redirect URI"):
            await add_client(world.documents, "default", wrong)


@must(OAUTH, "10.6", "codes and tokens of a client that was removed are nothing any more")
async def a_removed_clients_tokens_fall(world, secret):
    from smart_auth.clients import remove_client

    token = (await world.tokens())["access_token"]
    await remove_client(world.documents, "default", "app", clock=world.clock)
    world.clock.forward(1)
    assert await closed(world, token)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
async def test_the_server_does_what_the_standard_demands(world, secret, confuse, row):
    more = (confuse,) if row.check is a_public_key_is_no_secret else ()
    await row.check(world, secret, *more)


def test_every_row_cites_a_section_and_says_what_is_demanded(record_property):
    assert all(row.section and len(row.sentence) > 20 for row in TABLE)
    record_property("proof", f"SMART and OAuth, clients and tokens: {len(TABLE)} demands")
