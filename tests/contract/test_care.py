"""The care of a store: erased history, new index values, versions taken over from another store."""

from __future__ import annotations

from typing import Any

import pytest
from stored import Clock, body, clinical, delete, ids, key, plan, put

from fhir_server.search.expression import Sort, Token
from fhir_server.search.values import DateValue, TokenValue
from fhir_server.store.port import OutOfOrder, Page, Past, Scope, Version, VersionIs
from fhir_server.store.sqlite import schema
from fhir_server.store.sqlite.rows import Rows, of_json
from fhir_server.store.sqlite.store import SqliteStore


async def history(store: Any, *place: str) -> list[tuple[str, int]]:
    found = await store.history(Scope("north", *place), Page(100))
    return [(version.key.reference, version.version_id) for version in found]


async def feed(store: Any) -> list[tuple[str, int]]:
    seen, last = [], await store.position()
    async for version in store.changes(0):
        seen.append((version.key.reference, version.version_id))
        if version.position == last:
            break
    return seen


async def test_a_purge_erases_every_version_but_the_current_one(store: Any) -> None:
    for text in "xyz":
        await store.commit([put(key(), text=text)])
    await store.commit([put(key("b"))])
    assert await store.purge(key()) == 2
    assert await history(store) == [("Patient/b", 1), ("Patient/a", 3)]
    assert await history(store, "Patient", "a") == [("Patient/a", 3)]
    assert await feed(store) == [("Patient/a", 3), ("Patient/b", 1)]
    assert await store.vread(key(), 2) is None
    assert await store.purge(key()) == 0
    (version,) = await store.commit([put(key())], [VersionIs(key(), 3)])
    assert version.version_id == 4
    assert await history(store, "Patient", "a") == [("Patient/a", 4), ("Patient/a", 3)]


async def test_what_was_deleted_and_purged_leaves_only_that_it_was_deleted(store: Any) -> None:
    await store.commit([put(key(), text="secret")])
    await store.commit([delete(key())])
    assert await store.purge(key()) == 1
    (version,) = await store.history(Scope("north"), Page(10))
    assert (version.version_id, version.method, version.body) == (2, "DELETE", None)
    assert await store.purge(key("nobody")) == 0
    (again,) = await store.commit([put(key())])
    assert again.version_id == 3


async def test_what_was_purged_is_overwritten_in_the_file(tmp_path: Any, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "s", clinical=clinical, clock=clock)
    await store.open()
    await store.commit([put(key(), text="unforgettable" * 4000)])
    await store.commit([put(key(), text="harmless")])
    assert await store.purge(key()) == 1
    await store.close()
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"harmless" in files
    assert b"unforgettable" not in files


def coded(code: str) -> Any:
    values = put(key(), TokenValue("Patient.x", "", code)).values
    values.dates.append(DateValue("Observation.effective", 5, 6))
    values.clinical = 5
    return values


async def reindexed(store: Any, code: str, **which: Any) -> tuple[int, int]:
    after: int | None = 0
    seen = changed = 0
    while after is not None:
        step = await store.reindex(lambda *_: coded(code), after=after, limit=4, **which)
        seen, changed, after = seen + step.seen, changed + step.changed, step.after
    return seen, changed


async def test_a_reindex_gives_every_current_resource_new_values_and_no_version(store: Any) -> None:
    for n in range(10):
        await store.commit([put(key(f"o{n}", "Observation"), TokenValue("Patient.x", "", "old"))])
    await store.commit([put(key("south", "Observation", "south")), put(key("p"))])
    await store.commit([delete(key("o0", "Observation"))])
    assert await reindexed(store, "new", type="Observation") == (10, 10)
    assert await reindexed(store, "new", type="Observation") == (10, 0)
    newest = (Sort("value", "date", ("Observation.effective",), descending=True),)
    found = await store.search(plan(Token("Patient.x", None, "new"), "Observation", sort=newest))
    assert sorted(ids(found)) == [f"o{n}" for n in range(1, 10)]
    assert all(match.version.version_id == 1 for match in found)
    assert ids(await store.search(plan(Token("Patient.x", None, "old"), "Observation"))) == []
    assert await reindexed(store, "new") == (11, 1)
    assert ids(await store.search(plan(Token("Patient.x", None, "new")))) == ["p"]


def past(id: str, version: int, updated: int, text: str | None = "x") -> Past:
    change = put(key(id), TokenValue("Patient.x", "", text or ""))
    whole = None if text is None else body(text).at(version, updated)
    return Past(
        key(id), version, updated, "DELETE" if text is None else "PUT", whole, change.values
    )


async def test_versions_are_taken_over_with_their_numbers_and_times(store: Any) -> None:
    old = [past("a", 1, 10), past("b", 1, 20), past("a", 2, 20, "y"), past("b", 4, 30, None)]
    assert await store.import_versions(old) == 4
    assert await store.import_versions([*old, past("c", 7, 30, "z")]) == 1
    found = await store.history(Scope("north"), Page(10))
    assert [(v.key.id, v.version_id, v.updated, v.method) for v in reversed(found)] == [
        ("a", 1, 10, "PUT"),
        ("b", 1, 20, "PUT"),
        ("a", 2, 20, "PUT"),
        ("b", 4, 30, "DELETE"),
        ("c", 7, 30, "PUT"),
    ]
    assert [v.body for v in reversed(found)] == [one.body for one in (*old, past("c", 7, 30, "z"))]
    assert ids(await store.search(plan(Token("Patient.x", None, "y")))) == ["a"]
    (version,) = await store.commit([put(key("c"))])
    assert version.version_id == 8


async def test_versions_older_than_what_is_there_are_refused_whole(store: Any) -> None:
    await store.commit([put(key("now"))])
    with pytest.raises(OutOfOrder):
        await store.import_versions([past("a", 1, 10)])
    with pytest.raises(OutOfOrder):
        await store.import_versions([past("a", 1, 2**42), past("b", 1, 2**42 - 1)])
    assert await history(store) == [("Patient/now", 1)]


async def test_a_store_of_the_first_schema_is_migrated(tmp_path: Any, clock: Clock) -> None:
    file = tmp_path / "s"
    connection = schema.connect(file, cache_kib=100, writes=True)
    schema.migrate(connection, schema.MIGRATIONS[:1])
    connection.close()
    store = SqliteStore(file, clock=clock)
    await store.open()
    await store.commit([put(key())])
    await store.commit([put(key())])
    assert await store.purge(key()) == 1
    assert await store.verify() == []
    await store.close()


async def test_history_goes_from_sqlite_to_any_store_and_back(
    store: Any, tmp_path: Any, clock: Clock
) -> None:
    first = SqliteStore(tmp_path / "first", clinical=clinical, clock=clock)
    second = SqliteStore(tmp_path / "second", clinical=clinical, clock=clock)
    for one in (first, second):
        await one.open()
    for n in range(30):
        clock.now += n
        change = delete(key(f"p{n % 7}")) if n % 5 == 4 else put(key(f"p{n % 7}"), text=str(n))
        await first.commit([change])
    await first.purge(key("p3"))
    for source, target in ((first, store), (store, second)):
        whole = list(reversed(await source.history(Scope("north"), Page(100))))
        values = put(key()).values
        moved = [Past(v.key, v.version_id, v.updated, v.method, v.body, values) for v in whole]
        assert await target.import_versions(moved) == len(whole)
        assert await target.verify() == []
        there = list(reversed(await target.history(Scope("north"), Page(100))))
        assert [_unplaced(v) for v in there] == [_unplaced(v) for v in whole]
    for one in (first, second):
        await one.close()


def _unplaced(version: Version) -> Any:
    """Give a version without its position: what was erased leaves a gap that is not taken over."""
    return (*(getattr(version, name) for name in ("key", "version_id", "updated", "body")),)


def test_numbers_of_an_older_schema_are_forgotten_until_they_are_indexed_anew(
    tmp_path: Any,
) -> None:
    connection = schema.connect(tmp_path / "old.sqlite", cache_kib=100, writes=True)
    schema.migrate(connection, schema.MIGRATIONS[:3])
    rows = '{"tok":[[1,"AA==",""]],"num":[[2,3,4,5]],"qty":[[6,7,8,9,"",""]]}'
    connection.execute(
        "INSERT INTO resource(collection, target, id, version, updated, position, method, alive, clinical,"
        " rows) VALUES(1, x'00', 'a', 1, 1, 1, 'PUT', 1, 0, jsonb(?))",
        (rows,),
    )
    connection.execute("INSERT INTO num(slot, value, clinical, rid, low, high) VALUES(2,3,0,1,4,5)")
    assert schema.migrate(connection) == 3
    kept = connection.execute("SELECT json(rows) FROM resource").get
    assert of_json(kept) == Rows(tok={(1, b"\0", b"")})
    assert connection.execute("SELECT count(*) FROM num").get == 0
    connection.close()
