"""Bearer tokens on the FHIR API: what is taken, what is not, and what a token in use costs."""

import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from token_requests import closed

from fhir_server.access import Grant
from resources.outcome import Unauthorised
from smart_auth.open import OpenAuthorizer
from smart_auth.operator_token import OperatorToken, mint
from smart_auth.smart import Ports, Smart

BASE = "http://127.0.0.1:8080"
RS = frozenset("rs")


@pytest.fixture
def operators(world):
    return mint(world.smart.keys, OperatorToken("system/*.rs"), world.clock)


def claims(world, **changes):
    now = world.clock() // 1000
    right = {
        "iss": BASE,
        "sub": "s",
        "aud": f"{BASE}/fhir",
        "exp": now + 60,
        "iat": now,
        "jti": "j",
        "client_id": "app",
        "scope": "system/*.rs",
        "tenant": "default",
    }
    return {k: v for k, v in (right | changes).items() if v is not None}


def signed(world, header=None, key=None, **changes):
    kid = world.smart.keys.access.kid
    head = {"alg": "ES256", "kid": kid, "typ": "at+jwt"} | (header or {})
    head = {k: v for k, v in head.items() if v is not None}
    private = key or world.smart.keys.access.signing
    return jwt.encode(head, claims(world, **changes), private, [head["alg"]], default_type=None)


async def test_a_token_in_order_gives_access(world):
    access = await world.access(signed(world))
    assert access.grants == (Grant("*", RS),)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer é"},
        {"authorization": "Token abc"},
        {"cookie": "hounsfield-session-default=x"},
    ],
)
async def test_without_a_bearer_token_there_is_no_access(world, headers):
    with pytest.raises(Unauthorised):
        await world.smart.authorizer.access("default", headers)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "https://other.example/fhir"},
        {"aud": BASE},
        {"aud": [f"{BASE}/fhir"]},
        {"aud": None},
        {"iss": "urn:hounsfield:tenant:default"},
        {"tenant": "other"},
        {"tenant": None},
        {"exp": None},
        {"exp": 1_800_000_000},
        {"exp": "later"},
        {"exp": float("nan")},
        {"scope": None},
        {"scope": 7},
        {"scope": "patient/*.sr"},
        {"jti": None},
        {"client_id": None},
    ],
)
async def test_a_token_with_other_claims_is_refused(world, changes):
    assert await closed(world, signed(world, **changes))


@pytest.mark.parametrize(
    "header", [{"typ": "JWT"}, {"typ": None}, {"kid": "unknown"}, {"kid": None}]
)
async def test_a_token_with_another_header_is_refused(world, header):
    assert await closed(world, signed(world, header))


@pytest.mark.parametrize("alg", ["RS256", "RS384", "PS256"])
async def test_a_token_of_another_algorithm_is_refused(world, alg):
    key = RSAKey.import_key(world.smart.keys.signing.as_pem(private=True))
    for kid in (world.smart.keys.kid, world.smart.keys.access.kid):
        assert await closed(world, signed(world, {"alg": alg, "kid": kid}, key))


async def test_a_token_of_another_key_is_refused(world):
    assert await closed(world, signed(world, key=ECKey.generate_key("P-256")))


async def test_a_tampered_token_is_refused(world, operators):
    head, body, tail = operators.split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    payload["scope"] = "system/*.cruds"
    forged = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()
    for wrong in (
        f"{head}.{forged}.{tail}",
        f"{head}.{body}.{tail[:-4]}AAAA",
        f"{head}.{body}.",
        f"{head}.{body}",
        operators + "." + tail,
        "x",
        "a.b.c",
        "." * 100,
        "x" * 100_000,
    ):
        assert await closed(world, wrong)


async def test_alg_none_and_key_confusion_are_refused(world, confuse):
    kid = world.smart.keys.access.kid
    public = world.smart.keys.access.signing.as_pem(private=False)
    for alg in ("HS256", "ES256"):
        header = {"alg": alg, "kid": kid, "typ": "at+jwt"}
        assert await closed(world, confuse(header, claims(world), public))
    header = {"alg": "none", "kid": kid, "typ": "at+jwt"}
    unsigned = confuse(header, claims(world), b"x").rpartition(".")[0]
    assert await closed(world, unsigned + ".")


async def test_a_token_expires_even_while_it_is_remembered(world):
    token = signed(world)
    await world.access(token)
    world.clock.forward(59)
    await world.access(token)
    world.clock.forward(1)
    assert await closed(world, token)


async def test_a_remembered_token_is_still_foreign_to_another_tenant(world, operators):
    await world.access(operators)
    assert await closed(world, operators, "other")
    await world.access(operators)
    assert await closed(world, operators, "No Tenant!")


async def test_a_tenant_may_have_operators_tokens_of_its_own(world):
    token = mint(world.smart.keys, OperatorToken("system/*.rs", tenant="other"), world.clock)
    assert (await world.access(token, "other")).grants
    assert await closed(world, token)


async def test_a_revocation_by_this_process_holds_at_once(world):
    token = signed(world, jti="j1")
    await world.access(token)
    await world.smart.revocations.revoke("default", "token:j1")
    assert await closed(world, token)


async def test_a_revocation_by_another_process_holds_within_a_second(world, ring):
    token = signed(world, jti="j1")
    await world.access(token)
    other = Smart(world.documents, ring, BASE, Ports(clock=world.clock))
    await other.revocations.revoke("default", "token:j1")
    world.clock.forward(1)
    assert await closed(world, token)


async def test_a_token_in_use_asks_neither_the_keys_nor_the_store(world, operators):
    await world.access(operators)
    reads = world.documents.reads
    world.smart.keys.access.public, held = None, world.smart.keys.access.public
    try:
        for _ in range(100):
            await world.access(operators)
    finally:
        world.smart.keys.access.public = held
    assert world.documents.reads == reads


async def test_tokens_are_remembered_in_bounds(world, monkeypatch):
    monkeypatch.setattr("smart_auth.authorizer._CACHED", 3)
    for number in range(6):
        await world.access(signed(world, jti=f"j{number}"))
    assert len(world.smart.authorizer._known) == 3


async def test_rotating_the_keys_logs_nobody_out(world, tmp_path):
    from smart_auth.keys import KeyRing

    ring = KeyRing(tmp_path, world.clock)
    serving = Smart(world.documents, ring, BASE, Ports(clock=world.clock))
    before = mint(ring, OperatorToken("system/*.rs"), world.clock)
    elsewhere = KeyRing(tmp_path, world.clock)
    elsewhere.rotate()
    after = mint(elsewhere, OperatorToken("system/*.rs"), world.clock)
    world.clock.forward(1)
    for token in (before, after):
        access = await serving.authorizer.access("default", {"authorization": f"Bearer {token}"})
        assert access.grants


async def test_open_access_is_full_and_anonymous():
    access = await OpenAuthorizer().access("default", {})
    assert access.subject == "anonymous"
    assert access.unlimited("Patient", "d")
