"""How clients prove who they are: one way at a time, and only the way they are registered for."""

import base64

import pytest


def basic(id_, secret):
    return {"Authorization": "Basic " + base64.b64encode(f"{id_}:{secret}".encode()).decode()}


async def exchange(world, headers=None, **changes):
    code = (await world.authorize(client_id="web", scope="user/*.rs"))["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "http://127.0.0.1:9000/callback",
        "code_verifier": "v" * 64,
    }
    return await world.post(form | changes, headers=headers or {})


async def test_a_secret_may_come_by_basic(world, secret):
    assert (await exchange(world, basic("web", secret["web"]))).status_code == 200


async def test_a_secret_may_be_posted(world, secret):
    answer = await exchange(world, client_id="web", client_secret=secret["web"])
    assert answer.status_code == 200


async def test_a_secret_is_verified_again_after_it_was_remembered(world, secret):
    assert (await exchange(world, basic("web", secret["web"]))).status_code == 200
    assert (await exchange(world, basic("web", secret["web"]))).status_code == 200
    assert (await exchange(world, basic("web", secret["web"] + "x"))).status_code == 401


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        (basic("web", "wrong"), {}),
        (basic("web", ""), {}),
        (basic("nobody", "x"), {}),
        ({"Authorization": "Basic !!!"}, {}),
        ({"Authorization": "Basic d2Vi"}, {}),
        ({}, {"client_id": "web"}),
        ({}, {"client_id": "web", "client_secret": "wrong"}),
        ({}, {"client_id": "service"}),
        ({}, {"client_id": "service", "client_secret": "x"}),
        ({}, {"client_id": "app", "client_secret": "x"}),
        ({}, {}),
    ],
)
async def test_a_client_that_proves_nothing_is_refused(world, headers, form):
    answer = await exchange(world, headers, **form)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert ("www-authenticate" in answer.headers) is bool(headers)


async def test_two_proofs_at_once_are_refused(world, secret):
    answer = await exchange(world, basic("web", secret["web"]), client_secret=secret["web"])
    assert answer.json()["error"] == "invalid_request"


async def test_another_client_id_beside_the_proof_is_refused(world, secret):
    answer = await exchange(world, basic("web", secret["web"]), client_id="app")
    assert answer.json()["error"] == "invalid_client"


async def test_an_assertion_of_unknown_type_is_refused(world):
    answer = await world.backend(world.assertion(), client_assertion_type="urn:other")
    assert answer.json()["error"] == "invalid_request"
