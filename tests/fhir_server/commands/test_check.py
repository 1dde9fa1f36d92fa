"""`hounsfield check`: it tells what keeps a store from being opened."""

import shutil
import sqlite3
from contextlib import closing

import pytest


@pytest.fixture
def data(tmp_path):
    made = tmp_path / "d"
    made.mkdir()
    return made


def test_a_store_that_is_no_database_is_told(hounsfield, data):
    (data / "store.sqlite").write_bytes(b"this is no database at all" * 100)
    ran = hounsfield("check", "--data", data)
    assert ran.status == 1
    assert "wrong: store: the store cannot be opened" in ran.out


@pytest.mark.parametrize("command", [("check",), ("load", "a.ndjson")])
def test_a_store_of_a_newer_version_is_told_and_left_alone(hounsfield, data, file, command):
    file("a.ndjson", b'{"resourceType":"Patient"}')
    with closing(sqlite3.connect(data / "store.sqlite")) as store:
        store.execute("PRAGMA user_version=999")
    ran = hounsfield(*command, "--data", data)
    assert ran.status == (1 if command == ("check",) else 2)
    assert "a newer version of hounsfield has written it" in ran.out + ran.err


def test_a_folder_that_is_none_is_told(hounsfield, data):
    shutil.rmtree(data)
    data.write_bytes(b"")
    ran = hounsfield("check", "--data", data)
    assert ran.status == 1
    assert "wrong: data: " in ran.out


def test_a_folder_that_cannot_be_written_is_told(hounsfield, data, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, _: path != data)
    ran = hounsfield("check", "--data", data)
    assert ran.status == 1
    assert f"wrong: data: {data} cannot be written" in ran.out


def test_keys_that_others_can_read_are_told(hounsfield, data):
    (data / "keys").mkdir()
    (data / "keys" / "1.a.pem").write_bytes(b"")
    (data / "keys" / "1.a.pem").chmod(0o644)
    ran = hounsfield("check", "--data", data)
    assert ran.status == 1
    assert "wrong: keys: " in ran.out


def test_where_there_is_no_folder_yet_that_is_told_and_none_is_made(hounsfield, tmp_path):
    ran = hounsfield("check", "--data", tmp_path / "none")
    assert (ran.status, ran.out) == (
        0,
        f"ok: nothing is missing, and nothing is stored in {tmp_path / 'none'} yet\n",
    )
    assert not (tmp_path / "none").exists()


def test_a_store_elsewhere_is_looked_at_without_a_folder_here(hounsfield, tmp_path):
    nowhere = "mongodb://127.0.0.1:1/x?replicaSet=r&serverSelectionTimeoutMS=100"
    ran = hounsfield("check", "--data", tmp_path / "none", "--store", nowhere)
    assert ran.status == 1
    assert "wrong: store: " in ran.out
