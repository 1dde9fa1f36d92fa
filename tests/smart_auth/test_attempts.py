"""Failures by network address."""

from smart_auth.attempts import Failures

TOO_MANY = {"grant_type": "authorization_code", "client_id": "web", "client_secret": "wrong"}


def test_an_address_that_fails_too_often_is_not_heard_for_a_while():
    time = [0]
    failures = Failures(2, 1_000, lambda: time[0])
    failures.count("a")
    assert not failures.too_many("a")
    failures.count("a")
    assert failures.too_many("a")
    assert not failures.too_many("b")
    time[0] = 1_000
    assert not failures.too_many("a")
    failures.count("a")
    assert not failures.too_many("a")


def test_what_is_remembered_is_bounded():
    failures = Failures(1, 1_000, lambda: 0)
    for number in range(20_000):
        failures.count(str(number))
    assert len(failures._seen) == 10_000
    assert failures.too_many("19999")


async def test_logins_and_clients_that_fail_too_often_are_slowed_down(world):
    for _ in range(100):
        world.smart.failures.count("127.0.0.1")
    page = await world.http.get("/auth/login")
    assert page.status_code == 200
    answer = await world.http.post("/auth/login", data={"name": "doc", "password": "x"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "300"
    answer = await world.post(TOO_MANY)
    assert answer.status_code == 429
    world.clock.forward(300)
    assert (await world.post(TOO_MANY)).status_code == 401
