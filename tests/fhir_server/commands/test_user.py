"""hounsfield user."""

import asyncio
import io
import json

import pytest

from fhir_server.commands import user as user_command
from fhir_server.store.sqlite.store import SqliteStore
from smart_auth.passwords import Passwords
from smart_auth.users import Users

ADD = ("user", "add", "doc", "--fhir-user", "Practitioner/1")


@pytest.fixture
def typed(monkeypatch):
    """Answer the questions for a password."""

    def answers(*words):
        pending = iter(words)
        monkeypatch.setattr(user_command, "getpass", lambda _: next(pending))

    return answers


def logs_in(folder, password):
    """Tell whether the account of the folder's store takes a password."""

    async def authenticated():
        store = SqliteStore(folder / "hounsfield-data/store.sqlite")
        await store.open()
        try:
            users = Users(store, Passwords())
            return await users.authenticate("default", "doc", password) is not None
        finally:
            await store.close()

    return asyncio.run(authenticated())


def test_the_password_from_standard_input_is_the_one_that_logs_in(
    hounsfield, monkeypatch, tmp_path
):
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\nnot this\n"))
    ran = hounsfield(*ADD, "--role", "radiologist", "--password-stdin")
    assert (ran.status, ran.out) == (0, "doc  Practitioner/1  radiologist\n")
    assert logs_in(tmp_path, "correct horse")
    assert not logs_in(tmp_path, "correct horse\n")


def test_the_password_is_asked_for_twice_and_must_be_the_same(hounsfield, typed, tmp_path):
    typed("correct horse", "correct house")
    ran = hounsfield(*ADD)
    assert ran.status == 1
    assert "differ" in ran.err
    assert "correct" not in ran.out + ran.err
    typed("correct horse", "correct horse")
    assert hounsfield(*ADD).status == 0
    assert logs_in(tmp_path, "correct horse")


def test_without_anybody_to_ask_it_says_what_to_do(hounsfield, monkeypatch):
    def nobody(_):
        raise EOFError

    monkeypatch.setattr(user_command, "getpass", nobody)
    ran = hounsfield(*ADD)
    assert ran.status == 1
    assert "--password-stdin" in ran.err


def test_listing_shows_no_password_and_removing_works_once(hounsfield, typed):
    typed("correct horse", "correct horse", "correct horse", "correct horse", "short", "short")
    assert hounsfield(*ADD).status == 0
    assert hounsfield(*ADD).status == 1
    assert hounsfield("user", "add", "eve", "--fhir-user", "Practitioner/2").status == 1
    listed = hounsfield("user", "list", "--json")
    assert json.loads(listed.out) == [{"name": "doc", "fhirUser": "Practitioner/1", "role": ""}]
    assert hounsfield("user", "list").out == "doc  Practitioner/1\n"
    assert hounsfield("user", "remove", "doc").status == 0
    assert hounsfield("user", "remove", "doc").status == 1
    assert hounsfield("user", "list").out == ""


def demanded(folder):
    """Tell whether the account of the folder's store needs a second factor."""

    async def found():
        store = SqliteStore(folder / "hounsfield-data/store.sqlite")
        await store.open()
        try:
            return (await Users(store, Passwords()).get("default", "doc")).second_factor
        finally:
            await store.close()

    return asyncio.run(found())


def test_a_second_factor_is_demanded_when_adding_or_later(hounsfield, monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    assert hounsfield(*ADD, "--password-stdin").status == 0
    assert not demanded(tmp_path)
    assert hounsfield("user", "second-factor", "doc", "--require").status == 0
    assert demanded(tmp_path)
    assert hounsfield("user", "remove", "doc").status == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    assert hounsfield(*ADD, "--password-stdin", "--second-factor").status == 0
    assert demanded(tmp_path)


def test_a_second_factor_that_is_not_there_cannot_be_forgotten(hounsfield):
    assert hounsfield("tenant", "add", "north").status == 0
    for name in ("doc", "nobody"):
        assert hounsfield("user", "second-factor", name, "--reset").status == 1
    assert hounsfield("user", "second-factor", "nobody", "--require").status == 1
