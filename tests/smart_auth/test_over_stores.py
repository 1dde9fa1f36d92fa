"""The one-time values over the real adapters of the Documents port, where the races are decided."""

import asyncio


async def test_the_whole_flow_works_and_a_code_is_good_once(stored_world):
    world = stored_world
    got = await world.authorize()
    answers = await asyncio.gather(*(world.token(got["code"]) for _ in range(5)))
    good = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    response = await world.http.get(
        "/fhir/Patient", headers={"Authorization": f"Bearer {good[0]['access_token']}"}
    )
    assert response.status_code == 401  # the replays took it back


async def test_a_refresh_token_is_good_once(stored_world):
    world = stored_world
    first = await world.tokens()
    form = {
        "grant_type": "refresh_token",
        "refresh_token": first["refresh_token"],
        "client_id": "app",
    }
    assert (await world.post(form)).status_code == 200
    assert (await world.post(form)).status_code == 400
    world.clock.forward(1)


async def test_an_assertion_is_good_once_until_it_would_have_expired_anyway(stored_world):
    world = stored_world
    assertion = world.assertion()
    answers = await asyncio.gather(*(world.backend(assertion) for _ in range(5)))
    assert sum(answer.status_code == 200 for answer in answers) == 1
    world.clock.forward(240)
    assert (await world.backend(assertion)).status_code == 401
    world.clock.forward(15)
    assert (await world.backend(assertion)).status_code == 401


async def test_an_account_is_locked_and_unlocked(stored_world):
    world = stored_world
    users = world.smart.users
    for _ in range(5):
        assert await users.authenticate("default", "doc", "wrong") is None
    assert await users.authenticate("default", "doc", "correct horse") is None
    world.clock.forward(15 * 60)
    assert await users.authenticate("default", "doc", "correct horse") is not None
