"""Tokens of a backend service: a signed assertion for each, a new one before the last has ended."""

import json
from urllib.parse import parse_qs

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_server.bulk import bearer
from fhir_server.bulk.bearer import Assertion, Given, NoToken, SigningKey, read_key

BASE = "https://ehr.example/fhir"
CONFIGURATION = f"{BASE}/.well-known/smart-configuration"
TOKEN = "https://ehr.example/auth/token"
EC = ECKey.generate_key("P-384", {"kid": "e1"})
RSA = RSAKey.generate_key(2048, {"kid": "r1"})
V2 = {"token_endpoint": TOKEN, "capabilities": ["permission-v2"]}


def given(token="t1", expires=300):
    return httpx.Response(200, json={"access_token": token, "expires_in": expires})


@pytest.fixture
def clock(monkeypatch):
    """Seconds that move only when told."""
    now = [1_000.0]
    monkeypatch.setattr(bearer.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("key", [EC, RSA], ids=["EC", "RSA"])
async def test_the_assertion_is_what_smart_asks_for(server, http, key):
    server.at(CONFIGURATION, httpx.Response(200, json=V2)).at(TOKEN, given())
    signing = SigningKey(key, "k")
    assert await Assertion(http, BASE, "nightly", signing).token() == "t1"
    form = parse_qs(server.requests[-1].content.decode())
    assert form["grant_type"] == ["client_credentials"]
    assert form["scope"] == ["system/*.rs"]
    assertion = jwt.decode(form["client_assertion"][0], key, algorithms=[signing.algorithm])
    assert signing.algorithm in {"RS384", "ES384"}
    assert assertion.header["kid"] == "k"
    claims = assertion.claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("nightly", "nightly", TOKEN)
    assert 0 < claims["exp"] - claims["iat"] <= 300


async def test_a_token_is_kept_until_shortly_before_it_ends_and_each_assertion_is_new(
    server, http, clock
):
    server.at(CONFIGURATION, httpx.Response(200, json=V2))
    server.at(TOKEN, given("t1"), given("t2"), given("t3", 20))
    tokens = Assertion(http, BASE, "nightly", SigningKey(EC, "k"))
    assert [await tokens.token(), await tokens.token()] == ["t1", "t1"]
    clock[0] += 271
    assert await tokens.token() == "t2"
    assert await tokens.token(renewed=True) == "t3"
    clock[0] += 9
    assert await tokens.token() == "t3"
    forms = [parse_qs(r.content.decode()) for r in server.requests if r.method == "POST"]
    ids = {
        jwt.decode(f["client_assertion"][0], EC, algorithms=["ES384"]).claims["jti"] for f in forms
    }
    assert len(ids) == len(forms) == 3


async def test_the_scopes_are_those_that_are_asked_for_else_of_the_server_s_version(server, http):
    first = {"token_endpoint": TOKEN, "capabilities": ["permission-v1"]}
    server.at(CONFIGURATION, httpx.Response(200, json=first)).at(TOKEN, given())
    await Assertion(http, BASE, "c", SigningKey(EC, "k")).token()
    await Assertion(http, BASE, "c", SigningKey(EC, "k"), "system/Patient.rs").token()
    forms = [parse_qs(r.content.decode()) for r in server.requests if r.method == "POST"]
    assert [form["scope"] for form in forms] == [["system/*.read"], ["system/Patient.rs"]]


@pytest.mark.parametrize(
    ("configuration", "answer", "told"),
    [
        (httpx.Response(404, json={}), given(), "404"),
        (httpx.Response(200, content=b"<html>"), given(), "no JSON"),
        (httpx.Response(200, json={}), given(), "no token URL"),
        (httpx.ConnectError("refused"), given(), "cannot be reached"),
        (httpx.Response(200, json=V2),
         httpx.Response(400, json={"error": "invalid_client", "error_description": "no such key"}),
         "400: no such key"),
        (httpx.Response(200, json=V2), httpx.Response(200, json={}), "no access token"),
    ],
)  # fmt: skip
async def test_why_there_is_no_token_is_told(server, http, configuration, answer, told):
    server.at(CONFIGURATION, configuration).at(TOKEN, answer)
    with pytest.raises(NoToken, match=told):
        await Assertion(http, BASE, "c", SigningKey(EC, "k")).token()


async def test_a_given_token_cannot_be_renewed():
    assert await Given("t").token() == "t"
    assert await Given(None).token() is None
    with pytest.raises(NoToken, match="does not take"):
        await Given("t").token(renewed=True)
    with pytest.raises(NoToken, match="--token"):
        await Given(None).token(renewed=True)


@pytest.mark.parametrize("key", [EC, RSA], ids=["EC", "RSA"])
def test_a_private_key_is_read_as_jwk_jwks_or_pem(tmp_path, key):
    private, public = key.as_dict(private=True), key.as_dict(private=False)
    path = tmp_path / "key"
    for data in (private, {"keys": [public, {**private, "kid": "other"}, private]}):
        path.write_text(json.dumps(data))
        found = read_key(path, private["kid"])
        assert (found.kid, found.key.as_dict(private=True)["d"]) == (private["kid"], private["d"])
    path.write_bytes(key.as_pem(private=True))
    assert read_key(path, "k").kid == "k"
    assert read_key(path).kid == key.thumbprint()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        json.dumps(EC.as_dict(private=False)).encode(),
        json.dumps(ECKey.generate_key("P-256").as_dict(private=True)).encode(),
        EC.as_pem(private=False),
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ],
)
def test_a_file_without_a_usable_private_key_is_refused(tmp_path, data):
    path = tmp_path / "key"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="no private key"):
        read_key(path)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_key(tmp_path / "nowhere")
