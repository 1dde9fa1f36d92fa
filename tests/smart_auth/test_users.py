"""Accounts: who may log in, and how often a wrong password may be tried."""

import asyncio

import pytest

from smart_auth.attempts import LOCKED_MS, TRIES
from smart_auth.users import UserExists, add_user, list_users, remove_user

PASSWORD = "correct horse"


async def log_in(world, name="doc", password=PASSWORD):
    return await world.smart.users.authenticate("default", name, password)


async def test_the_right_password_gives_the_user(world):
    user = await log_in(world, " Doc ")
    assert (user.name, user.fhir_user, user.role) == ("doc", "Practitioner/d1", "radiologist")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("doc", "wrong"),
        ("doc", ""),
        ("doc", "x" * 5000),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("\x00", PASSWORD),
        ("x" * 10_000, PASSWORD),
    ],
)
async def test_anything_else_gives_nobody(world, name, password):
    assert await log_in(world, name, password) is None


async def test_an_account_is_locked_after_five_wrong_tries_for_a_quarter_of_an_hour(world):
    for _ in range(TRIES):
        assert await log_in(world, password="wrong") is None
    assert await log_in(world) is None
    world.clock.forward(LOCKED_MS / 1000)
    assert await log_in(world) is not None


async def test_the_right_password_forgets_the_wrong_tries(world):
    for _ in range(3):
        for _ in range(TRIES - 1):
            await log_in(world, password="wrong")
        assert await log_in(world) is not None


async def test_parallel_guesses_get_no_more_than_five(world):
    looked_at = []
    verify = world.smart.users._passwords._check

    def counted(hashed, password):
        looked_at.append(hashed)
        return verify(hashed, password)

    world.smart.users._passwords._check = counted
    stored = (await world.smart.users.get("default", "doc")).password_hash
    await asyncio.gather(*(log_in(world, password="wrong") for _ in range(15)))
    assert looked_at.count(stored) == TRIES


async def test_locking_one_account_leaves_the_others(world):
    for _ in range(TRIES):
        await log_in(world, password="wrong")
    assert await log_in(world, "ann") is not None


async def test_tries_of_unknown_names_leave_nothing_behind(world):
    before = len(world.documents.held)
    for attempt in range(3):
        await log_in(world, f"nobody-{attempt}", "wrong")
    assert len(world.documents.held) == before


@pytest.mark.parametrize(
    ("name", "fhir_user", "password"),
    [
        ("", "Practitioner/1", PASSWORD),
        ("a\nb", "Practitioner/1", PASSWORD),
        ("x" * 129, "Practitioner/1", PASSWORD),
        ("new", "Organization/1", PASSWORD),
        ("new", "Practitioner", PASSWORD),
        ("new", "https://x/Practitioner/1", PASSWORD),
        ("new", "Practitioner/1/_history/1", PASSWORD),
        ("new", "Practitioner/1", "short"),
        ("new", "Practitioner/1", "x" * 2000),
    ],
)
async def test_a_wrong_account_is_refused(world, name, fhir_user, password):
    with pytest.raises(ValueError, match=r"^[A-Za-z].{20}"):
        await add_user(world.documents, "default", name, fhir_user, password)


async def test_a_name_is_taken_once_whatever_its_case(world):
    with pytest.raises(UserExists):
        await add_user(world.documents, "default", "DOC", "Practitioner/2", PASSWORD)


async def test_users_are_listed(world):
    assert [u.name for u in await list_users(world.documents, "default")] == ["ann", "doc", "kin"]


async def test_a_removed_user_is_logged_out_and_her_tokens_end(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    answer = await world.tokens()
    assert await remove_user(world.documents, "default", "doc")
    assert not await remove_user(world.documents, "default", "doc")
    world.clock.forward(1)
    response = await world.http.get(
        "/fhir/Patient", headers={"Authorization": f"Bearer {answer['access_token']}"}
    )
    assert response.status_code == 401
    page = await browser.get("/auth/logout")
    assert "Nobody is logged in" in page.text


async def test_a_new_user_of_an_old_name_does_not_inherit_the_session(world):
    browser = world.browser()
    await browser.log_in(await browser.get("/auth/login"))
    await remove_user(world.documents, "default", "doc")
    await add_user(world.documents, "default", "doc", "Practitioner/other", PASSWORD)
    assert "Nobody is logged in" in (await browser.get("/auth/logout")).text
