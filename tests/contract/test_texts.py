"""The text indexes of the SQLite store: in step with the resources, and rid of what was purged."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import apsw
import pytest
import stored
from stored import Clock, delete, ids, key, plan, put

from fhir_server.search.expression import And, Expression, FullText, Not, Text
from fhir_server.search.values import TextValue
from fhir_server.store.port import Change, Key
from fhir_server.store.sqlite import schema, texts
from fhir_server.store.sqlite.store import SqliteStore


def written(where: Key, words: str, *strings: str) -> Change:
    change = put(where, *(TextValue("Patient.name", s, s) for s in strings), text="body")
    change.values.content = words
    return change


def word(text: str, *, prefix: bool = False) -> FullText:
    return FullText("content", tuple(text.split()), prefix)


def raw(store: SqliteStore) -> apsw.Connection:
    return apsw.Connection(str(store._path))


def listed(store: SqliteStore) -> int:
    return int(raw(store).execute("SELECT count(*) FROM unindexed").get)


async def found(store: SqliteStore, where: Expression) -> list[str]:
    return sorted(ids(await store.search(plan(where))))


def holds(folder: Path, needle: bytes) -> bool:
    return any(needle in path.read_bytes() for path in folder.iterdir() if path.is_file())


async def test_few_texts_wait_and_many_go_straight_into_the_index(sqlite: SqliteStore) -> None:
    await sqlite.commit([written(key("a"), "alone", "solo")])
    assert listed(sqlite) == 1
    await sqlite.commit([written(key(f"n{n}"), f"many w{n}", "multi") for n in range(70)])
    assert listed(sqlite) == 1
    await sqlite.commit([written(key(f"n{n}"), f"few w{n}", "multi") for n in range(3)])
    await sqlite.commit([delete(key("n9"))])
    assert listed(sqlite) == 5
    assert await found(sqlite, word("w1")) == ["n1"]
    assert len(await found(sqlite, word("many"))) == 66
    assert await found(sqlite, word("few")) == ["n0", "n1", "n2"]
    assert await found(sqlite, And((word("few"), Not(word("w1"))))) == ["n0", "n2"]
    assert await found(sqlite, word("w9")) == []
    assert len(await found(sqlite, Text("Patient.name", "ult", "contains"))) == 69
    assert await found(sqlite, Text("Patient.name", "olo", "contains")) == ["a"]
    assert await sqlite.verify() == []


async def test_what_waits_is_put_into_the_index_when_nobody_writes(
    sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.store.sqlite.writer.STRAIGHT", 3)
    for n in range(7):
        await sqlite.commit([written(key(f"n{n}"), f"w{n}", f"long{n}")])
    while listed(sqlite) >= 3:  # ends by pytest's own limit if nothing is ever put there
        await asyncio.to_thread(time.sleep, 0.01)
    for n in range(7):
        assert await found(sqlite, word(f"w{n}")) == [f"n{n}"]
        assert await found(sqlite, Text("Patient.name", f"ong{n}", "contains")) == [f"n{n}"]
    assert await sqlite.verify() == []


@pytest.mark.parametrize("others", [0, 80])
async def test_a_purge_leaves_nothing_of_former_texts(
    sqlite: SqliteStore, tmp_path: Path, others: int
) -> None:
    secret = [written(key("a"), "zebraunique word", "giraffeunique")]
    await sqlite.commit([*secret, *(written(key(f"n{n}"), f"w{n}") for n in range(others))])
    await sqlite.commit([written(key("a"), "now", "other")])
    await sqlite.commit([written(key(f"m{n}"), f"w{n}") for n in range(others)])
    assert await found(sqlite, word("zebraunique")) == []
    assert await sqlite.purge(key("a")) == 1
    assert await sqlite.verify() == []
    assert await found(sqlite, word("now")) == ["a"]
    await sqlite.close()
    assert not holds(tmp_path, b"zebraunique")
    assert not holds(tmp_path, b"giraffeunique")


async def test_a_purge_that_was_broken_off_is_ended_by_the_next_start(
    sqlite: SqliteStore, tmp_path: Path
) -> None:
    many = [written(key(f"n{n}"), f"w{n}") for n in range(80)]
    await sqlite.commit([written(key("a"), "zebraunique"), *many])
    await sqlite.commit([delete(key("a")), *(written(key(f"n{n}"), f"v{n}") for n in range(80))])
    await sqlite.close()
    file = schema.connect(sqlite._path, cache_kib=1_000, writes=True)
    file.execute("INSERT INTO meta VALUES('condense', 1)")
    file.close()
    await sqlite.open()
    assert raw(sqlite).execute("SELECT 1 FROM meta WHERE name = 'condense'").get is None
    await sqlite.close()
    assert not holds(tmp_path, b"zebraunique")


async def test_an_older_file_is_given_the_indexes(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path, clinical=stored.clinical, clock=clock)
    await store.open()
    await store.commit([written(key(f"n{n}"), f"w{n}", f"name{n}x") for n in range(5)])
    await store.close()
    old = schema.connect(path, cache_kib=1_000, writes=True)
    for table in ("fulltext", "trigram", "unindexed", "pos"):
        old.execute(f"DROP TABLE {table}")
    old.execute("UPDATE resource SET rows = jsonb_remove(rows, '$.full')")
    old.pragma("user_version", 2)
    old.close()
    await store.open()
    assert await found(store, Text("Patient.name", "ame3x", "contains")) == ["n3"]
    assert await found(store, word("w3")) == []

    def extract(where: Key, _body: bytes) -> Any:
        return written(where, f"w{where.id[1:]}", f"name{where.id[1:]}x").values

    assert (await store.reindex(extract)).changed == 5
    assert await found(store, word("w3")) == ["n3"]
    assert (await store.reindex(extract)).changed == 0
    assert await store.verify() == []
    await store.close()


async def test_a_backup_has_the_texts(sqlite: SqliteStore, tmp_path: Path, clock: Clock) -> None:
    await sqlite.commit([written(key(f"n{n}"), f"w{n}", "name") for n in range(70)])
    await sqlite.commit([written(key("late"), "late word", "lately")])
    folder = tmp_path / "backup"
    folder.mkdir()
    await sqlite.backup(folder, lambda: None)
    copy = SqliteStore(folder / "store.sqlite", clinical=stored.clinical, clock=clock)
    await copy.open()
    assert await found(copy, word("w7")) == ["n7"]
    assert await found(copy, word("late")) == ["late"]
    assert await copy.verify() == []
    await copy.close()


async def test_verify_tells_a_text_that_is_lost_and_one_of_nobody(sqlite: SqliteStore) -> None:
    await sqlite.commit([written(key(f"n{n}"), f"w{n}") for n in range(70)])
    file = schema.connect(sqlite._path, cache_kib=1_000, writes=True)
    file.execute("DELETE FROM fulltext WHERE rowid = 1")
    file.execute("INSERT INTO fulltext(rowid, place) VALUES(999, 'c1')")
    file.close()
    told = " ".join(await sqlite.verify())
    assert "1 resources whose text is in no index" in told
    assert "1 texts of no resource" in told


@pytest.mark.parametrize("text", ["ab", "a\0b", 'x"y*z', "mid\nline", "\U0001f600bc"])
async def test_any_letters_can_be_contained(sqlite: SqliteStore, text: str) -> None:
    many = [written(key(f"n{n}"), "", f"name {n}") for n in range(texts.STRAIGHT)]
    await sqlite.commit([written(key("a"), "", f"before {text} after"), *many])
    assert await found(sqlite, Text("Patient.name", text, "contains")) == ["a"]
    assert await found(sqlite, Text("Patient.name", f"{text} after", "contains")) == ["a"]
    assert await found(sqlite, Text("Patient.name", f"{text}!", "contains")) == []


async def test_words_are_led_to_by_the_index(sqlite: SqliteStore) -> None:
    await sqlite.commit([written(key(f"n{n}"), f"w{n} all", f"name{n}x") for n in range(500)])
    told = await sqlite.explain(plan(word("w7"), limit=10))
    assert "VIRTUAL TABLE" in told
    assert "rows examined 1\n" in told
    told = await sqlite.explain(plan(Text("Patient.name", "ame77x", "contains"), limit=10))
    assert "rows examined 1\n" in told
