"""Hashing of passwords and secrets."""

import pytest

from smart_auth.passwords import LONGEST, Passwords


@pytest.fixture
def passwords():
    return Passwords(memory_kib=64, rounds=1)


async def test_only_the_right_password_verifies(passwords):
    hashed = await passwords.hash("right one")
    assert await passwords.verify(hashed, "right one")
    assert not await passwords.verify(hashed, "wrong one")
    assert not await passwords.verify("no hash", "right one")
    assert not await passwords.verify(None, "nobody's")
    assert not await passwords.verify(hashed, "x" * (LONGEST + 1))


async def test_two_hashes_of_one_password_differ(passwords):
    assert await passwords.hash("right one") != await passwords.hash("right one")


async def test_a_secret_is_hashed_once_while_its_hash_stays(passwords, monkeypatch):
    hashed = await passwords.hash("secret")
    assert await passwords.verify_secret(hashed, "secret")
    monkeypatch.setattr(passwords, "verify", None)
    assert await passwords.verify_secret(hashed, "secret")


async def test_a_remembered_secret_does_not_open_a_new_hash(passwords):
    hashed = await passwords.hash("secret")
    assert await passwords.verify_secret(hashed, "secret")
    renewed = await passwords.hash("another")
    assert not await passwords.verify_secret(renewed, "secret")
    assert not await passwords.verify_secret(None, "secret")
