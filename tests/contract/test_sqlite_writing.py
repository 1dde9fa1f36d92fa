"""How the SQLite store writes: what comes together shares a transaction, and nothing of it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import apsw
import pytest
from stored import ids, key, plan, put

from fhir_server.search.values import TextValue
from fhir_server.store.port import Key, VersionConflict, VersionIs
from fhir_server.store.sqlite.store import SqliteStore
from fhir_server.store.sqlite.transaction import Transaction
from fhir_server.store.sqlite.writer import MOST_CHANGES, TOGETHER


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that gets, at each transaction, how many resources it knows that it will look at."""
    known: list[int] = []
    begin = Transaction.begin

    def counting(transaction: Transaction, keys: Iterable[Key] = ()) -> None:
        some = list(keys)
        known.append(len(some))
        begin(transaction, some)

    monkeypatch.setattr(Transaction, "begin", counting)
    return known


@pytest.mark.parametrize("many", [2, TOGETHER, TOGETHER + 8])
async def test_what_comes_in_one_turn_of_the_loop_is_one_transaction(
    sqlite: SqliteStore, begun: list[int], many: int
) -> None:
    made = await asyncio.gather(*(sqlite.commit([put(key(f"p{n}"))]) for n in range(many)))
    assert begun == [many]
    assert sorted(one[0].position for one in made) == list(range(1, many + 1))


async def test_what_comes_in_several_turns_is_one_transaction_while_each_brings_more(
    sqlite: SqliteStore, begun: list[int]
) -> None:
    async def later(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await sqlite.commit([put(key(f"p{turns}"))])

    await asyncio.gather(*(later(turns) for turns in range(6)))
    assert begun == [6]


async def test_a_transaction_has_no_more_changes_than_keep_reads_quick(
    sqlite: SqliteStore, begun: list[int]
) -> None:
    half = MOST_CHANGES // 2
    works = [[put(key(f"p{work}-{n}")) for n in range(half)] for work in range(5)]
    await asyncio.gather(*(sqlite.commit(changes) for changes in works))
    assert begun == [2 * half, 2 * half, half]


async def test_a_group_tells_new_from_known_and_refuses_only_what_conflicts(
    sqlite: SqliteStore,
) -> None:
    await sqlite.commit([put(key(f"p{n}")) for n in range(0, 20, 2)])

    async def write(n: int, version: int | None) -> int:
        try:
            made = await sqlite.commit([put(key(f"p{n}"))], [VersionIs(key(f"p{n}"), version)])
        except VersionConflict as conflict:
            return -1 if conflict.current is None else -2
        return made[0].version_id

    new = await asyncio.gather(*(write(n, None) for n in range(20)))
    assert new == [-2 if n % 2 == 0 else 1 for n in range(20)]
    twice = await asyncio.gather(*(write(n, at) for n, at in ((1, 1), (1, 1), (1, 2), (99, 7))))
    assert twice == [2, -2, 3, -1]


async def test_what_is_submitted_when_the_store_closes_is_written(
    sqlite: SqliteStore, clock: Any
) -> None:
    writes = [asyncio.ensure_future(sqlite.commit([put(key(f"p{n}"))])) for n in range(5)]
    await asyncio.sleep(0)
    await sqlite.close()
    assert [one[0].version_id for one in await asyncio.gather(*writes)] == [1] * 5
    again = SqliteStore(sqlite._path, clock=clock)
    await again.open()
    assert ids(await again.search(plan())) == [f"p{n}" for n in range(5)]
    await again.close()


async def test_only_a_text_that_is_in_an_index_is_removed_from_it(sqlite: SqliteStore) -> None:
    named = [TextValue("Patient.name", f"name {n}", f"Name {n}") for n in range(4)]
    await sqlite.commit([put(key(f"p{n}"), named[n]) for n in range(3)])
    transaction = sqlite._writer._transaction
    run: list[str] = []

    def noted(event: dict[str, Any]) -> None:
        run.append(event["sql"])

    def settle() -> list[str]:
        run.clear()
        transaction.begin()
        transaction.texts.settle()
        transaction.commit()
        return [sql.split()[2] for sql in run if sql.startswith(("DELETE FROM t", "DELETE FROM u"))]

    transaction.connection.trace_v2(apsw.SQLITE_TRACE_STMT, noted)
    assert settle() == ["unindexed"]
    await sqlite.commit([put(key("p1"), named[3])])
    assert settle() == ["trigram", "unindexed"]
    transaction.connection.trace_v2(0, None)
    assert await sqlite.verify() == []
