"""Keys of clients: inline or by URL, cached, rotated, and clear words when they cannot be had."""

import base64
import json

import pytest
from joserfc.jwk import ECKey, RSAKey

from smart_auth.client_keys import UnusableKeys, public_keys

WEAK = base64.urlsafe_b64encode(b"\xc5" * 128).rstrip(b"=").decode()
URL = "https://client.example/jwks"


def jwks(*keys):
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


async def ask(world, key, kid):
    assertion = world.assertion(
        key.as_dict().get("alg", "ES384"), key=key, kid=kid, iss="by-url", sub="by-url"
    )
    return await world.backend(assertion)


async def test_keys_are_fetched_once_and_again_when_the_client_has_rotated_them(world):
    old = ECKey.generate_key("P-384", {"kid": "old"})
    new = ECKey.generate_key("P-384", {"kid": "new"})
    served, fetched = [old], []

    def answer():
        fetched.append(1)
        return jwks(*served)

    world.jwks_urls[URL] = answer
    assert (await ask(world, old, "old")).status_code == 200
    world.clock.forward(6)
    assert (await ask(world, old, "old")).status_code == 200
    assert len(fetched) == 1
    served[:] = [new]
    assert (await ask(world, new, "new")).status_code == 200
    assert len(fetched) == 2
    world.clock.forward(1)
    assert (await ask(world, old, "old")).status_code == 401


async def test_an_unknown_kid_does_not_make_us_fetch_again_and_again(world):
    key = ECKey.generate_key("P-384", {"kid": "k"})
    fetched = []

    def answer():
        fetched.append(1)
        return jwks(key)

    world.jwks_urls[URL] = answer
    for attempt in range(5):
        assert (await ask(world, key, f"unknown-{attempt}")).status_code == 401
    assert len(fetched) == 1


async def test_the_last_good_set_serves_while_the_clients_server_is_down(world):
    key = ECKey.generate_key("P-384", {"kid": "k"})
    world.jwks_urls[URL] = jwks(key)
    assert (await ask(world, key, "k")).status_code == 200

    def down():
        raise UnusableKeys("The client's JWKS URL answered 503")

    world.jwks_urls[URL] = down
    world.clock.forward(600)
    assert (await ask(world, key, "k")).status_code == 200
    world.clock.forward(3600)
    answer = await ask(world, key, "k")
    assert answer.json()["error_description"] == "The client's JWKS URL answered 503"


@pytest.mark.parametrize(
    "served", [b"", b"[]", b"{}", b"<html>", b'{"keys":[]}', b'{"keys":[{"kty":"RSA"}]}', b"\xff"]
)
async def test_a_url_without_a_key_set_is_told(world, served):
    world.jwks_urls[URL] = served
    answer = await ask(world, ECKey.generate_key("P-384", {"kid": "k"}), "k")
    assert answer.status_code == 401
    assert "JWKS" in answer.json()["error_description"] or "key set" in answer.text


def test_private_parts_are_dropped():
    keys = [RSAKey.generate_key(2048, {"kid": "r"}), ECKey.generate_key("P-384", {"kid": "e"})]
    found = public_keys({"keys": [key.as_dict(private=True) for key in keys]})
    assert set(found) == {"r", "e"}
    assert not any(key.is_private for key in found.values())


def test_keys_that_do_not_sign_or_are_too_weak_are_left_out():
    good = ECKey.generate_key("P-384", {"kid": "good"}).as_dict(private=False)
    others = [
        ECKey.generate_key("P-256", {"kid": "p256"}).as_dict(private=False),
        {"kty": "RSA", "kid": "small", "e": "AQAB", "n": WEAK},
        ECKey.generate_key("P-384", {"kid": "enc", "use": "enc"}).as_dict(private=False),
        {k: v for k, v in good.items() if k != "kid"},
        {"kty": "oct", "kid": "oct", "k": "AAAA"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": 5},
        "nothing",
    ]
    assert set(public_keys({"keys": [*others, good]})) == {"good"}
    with pytest.raises(UnusableKeys):
        public_keys({"keys": others})
