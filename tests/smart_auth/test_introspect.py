"""Introspection and revocation."""

import pytest

BASE = "http://127.0.0.1:8080"


async def introspect(world, token, secret, **changes):
    form = {"token": token, "client_id": "web", "client_secret": secret["web"]}
    return await world.post(form | changes, "/auth/introspect")


async def test_a_live_token_is_told_with_its_context(world, secret):
    answer = await world.tokens()
    told = (await introspect(world, answer["access_token"], secret)).json()
    now = world.clock() // 1000
    assert told["active"] is True
    assert told["client_id"] == "app"
    assert told["scope"] == answer["scope"]
    assert told["patient"] == "ann"
    assert told["fhirUser"] == f"{BASE}/fhir/Practitioner/d1"
    assert (told["iss"], told["aud"]) == (BASE, f"{BASE}/fhir")
    assert (told["iat"], told["exp"]) == (now, now + 3600)


@pytest.mark.parametrize("token", ["x", "a.b.c", "é"])
async def test_anything_else_is_inactive_and_no_more(world, secret, token):
    response = await introspect(world, token, secret)
    assert response.status_code == 200
    assert response.json() == {"active": False}


async def test_an_expired_token_is_inactive(world, secret):
    answer = await world.tokens()
    world.clock.forward(3600)
    response = await introspect(world, answer["access_token"], secret)
    assert response.json() == {"active": False}


async def test_introspection_needs_a_client_with_credentials(world):
    answer = await world.tokens()
    for form in ({"client_id": "app"}, {}, {"client_id": "web", "client_secret": "x"}):
        form["token"] = answer["access_token"]
        assert (await world.post(form, "/auth/introspect")).status_code == 401


async def test_a_revoked_access_token_ends_and_its_grant_goes_on(world, secret):
    answer = await world.tokens()
    form = {"token": answer["access_token"], "client_id": "app"}
    assert (await world.post(form, "/auth/revoke")).status_code == 200
    told = await introspect(world, answer["access_token"], secret)
    assert told.json() == {"active": False}
    again = {
        "grant_type": "refresh_token",
        "refresh_token": answer["refresh_token"],
        "client_id": "app",
    }
    assert (await world.post(again)).status_code == 200


async def test_a_revoked_refresh_token_ends_its_whole_grant(world, secret):
    answer = await world.tokens()
    form = {"token": answer["refresh_token"], "client_id": "app"}
    assert (await world.post(form, "/auth/revoke")).status_code == 200
    told = await introspect(world, answer["access_token"], secret)
    assert told.json() == {"active": False}
    again = {"grant_type": "refresh_token", "refresh_token": form["token"], "client_id": "app"}
    assert (await world.post(again)).json()["error"] == "invalid_grant"


async def test_a_client_cannot_revoke_anothers_token(world, secret):
    answer = await world.tokens()
    for name in ("access_token", "refresh_token"):
        form = {"token": answer[name], "client_id": "web", "client_secret": secret["web"]}
        assert (await world.post(form, "/auth/revoke")).status_code == 200
    told = await introspect(world, answer["access_token"], secret)
    assert told.json()["active"] is True


async def test_revoking_nothing_is_no_error_and_no_token_is_one(world):
    assert (await world.post({"token": "x", "client_id": "app"}, "/auth/revoke")).status_code == 200
    response = await world.post({"client_id": "app"}, "/auth/revoke")
    assert response.json()["error"] == "invalid_request"
