"""What only the SQLite adapter promises: ordered keys, followed indexes, schemas, other processes."""

from __future__ import annotations

import asyncio
import itertools
import struct
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import Clock, clinical, delete, ids, key, plan, put

from fhir_server.search.expression import (
    ALWAYS,
    And,
    DateRange,
    Expression,
    Linked,
    LinkedFrom,
    Not,
    Or,
    Reference,
    Sort,
    Text,
    Token,
    Updated,
)
from fhir_server.search.values import DateValue, ReferenceValue, TextValue, TokenValue
from fhir_server.store.port import SchemaTooNew, StoreUnavailable, VersionIs
from fhir_server.store.sqlite import schema
from fhir_server.store.sqlite.keys import HASH_BYTES, Hashes, double, ordinal
from fhir_server.store.sqlite.store import SqliteStore

NEWEST = (Sort("value", "date", ("Observation.effective",), descending=True),)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_ordinals_order_as_doubles_do(a: float, b: float) -> None:
    assert (ordinal(a) < ordinal(b)) == (a < b)
    assert (ordinal(a) == ordinal(b)) == (a == b)
    assert double(ordinal(a)) == a
    assert -(2**63) <= ordinal(a) < 2**63


def test_uids_of_one_study_share_a_stem_and_differ() -> None:
    hashes = Hashes(b"secret")
    one, two = (hashes.code(f"1.2.840.113619.2.55.{n}") for n in (7, 71))
    assert one[:HASH_BYTES] == two[:HASH_BYTES]
    assert (one[HASH_BYTES:], two[HASH_BYTES:]) == (b"7", b"71")
    assert len({hashes.code(c) for c in ("1.2.3.4.5", "1.2.3.4.05", "1.2.3.45", "1.2.3.4.5.")}) == 4
    assert len(hashes.code("2.25." + "9" * 39)) == HASH_BYTES
    assert len(hashes.code("8867-4")) == HASH_BYTES
    assert hashes.code("") == hashes.word("") == b""


def test_hashes_belong_to_one_database() -> None:
    assert Hashes(b"a").code("8867-4") != Hashes(b"b").code("8867-4")


def observation(n: int) -> Any:
    at = 1_000_000 * n
    return put(
        key(f"o{n}", "Observation"),
        TokenValue("Observation.code", "loinc", f"c{n % 3}"),
        TokenValue("Observation.status", "", "final"),
        ReferenceValue("Observation.subject", "Patient", f"p{n % 40}", ""),
        DateValue("Observation.effective", at, at + 999),
        TextValue("Observation.note", "a note", "A note"),
        clinical=at,
    )


@pytest.fixture
async def busy(sqlite: SqliteStore) -> SqliteStore:
    await sqlite.commit([observation(n) for n in range(400)])
    names = [TextValue("Patient.family", f"f{n}", f"F{n}") for n in range(40)]
    await sqlite.commit([put(key(f"p{n}"), name) for n, name in enumerate(names)])
    return sqlite


CODE = Token("Observation.code", None, "c1")
SUBJECT = Reference("Observation.subject", "Patient", "p7")
DATE = DateRange("Observation.effective", "ge", 0, 0)
STREAMED: list[tuple[Expression, str]] = [
    (ALWAYS, "resource_order"),
    (CODE, "PRIMARY KEY (slot=? AND code=?)"),
    (SUBJECT, "PRIMARY KEY (slot=? AND target=?)"),
    (And((CODE, SUBJECT, DATE)), "PRIMARY KEY (slot=? AND target=?)"),
    (And((Token("Observation.status", None, "final"), CODE)), "PRIMARY KEY (slot=? AND code=?)"),
    (Or((CODE, Token("Observation.code", None, "c2"))), "PRIMARY KEY (slot=? AND code=?)"),
    (Not(CODE), "resource_order"),
    (Text("Observation.note", "a"), "resource_order"),
]


@pytest.mark.parametrize("sort", [(), NEWEST], ids=["own", "newest"])
@pytest.mark.parametrize(("where", "index"), STREAMED, ids=repr)
async def test_a_page_in_an_index_order_is_not_sorted(
    busy: SqliteStore, where: Expression, index: str, sort: Any
) -> None:
    told = await busy.explain(plan(where, "Observation", sort=sort, limit=10))
    assert "TEMP B-TREE" not in told
    assert index in told
    assert "on the event loop" in told


async def test_the_smallest_conjunct_leads(busy: SqliteStore) -> None:
    first = SUBJECT, CODE, Token("Observation.status", None, "final")
    for parts in itertools.permutations(first):
        told = await busy.explain(plan(And(parts), "Observation", limit=10))
        (leader,) = [line for line in told.splitlines() if line.startswith("  SEARCH")][:1]
        assert "target=?" in leader


async def test_chains_lead_from_their_far_end(busy: SqliteStore) -> None:
    chain = Linked("Observation.subject", "Patient", Text("Patient.family", "f7"))
    told = await busy.explain(plan(chain, "Observation", limit=10))
    steps = [line for line in told.splitlines() if "SEARCH" in line and "SELECT" not in line]
    assert "normal>?" in steps[0]
    assert len(await busy.search(plan(chain, "Observation"))) == 10
    code = And((CODE, SUBJECT))
    back = plan(LinkedFrom("Observation", "Observation.subject", code), limit=10)
    assert "resource_target" in await busy.explain(back)
    assert ids(await busy.search(back)) == ["p7"]


async def test_last_updated_is_found_by_its_index(busy: SqliteStore, clock: Clock) -> None:
    clock.now += 5000
    await busy.commit([observation(n) for n in (1, 2, 3)])
    recent = And((Token("Observation.status", None, "final"), Updated("ge", clock.now, clock.now)))
    told = await busy.explain(plan(recent, "Observation", limit=10))
    assert "COVERING INDEX resource_updated (collection=? AND updated>?)" in told
    assert await busy.count(plan(recent, "Observation")) == 3


async def test_long_reads_leave_the_event_loop(
    busy: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    run = busy._run

    def watched(work: Any) -> Any:
        result = run(work)
        threads.add(threading.current_thread().name.partition("_")[0])
        return result

    monkeypatch.setattr(busy, "_run", watched)
    await busy.search(plan(CODE, "Observation", limit=10))
    assert threads == {"MainThread"}
    threads.clear()
    await busy.search(plan(CODE, "Observation"))
    assert threads == {"store-reader"}


async def test_a_read_past_its_budget_is_finished_in_a_thread(
    busy: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.store.sqlite.store._BUDGET", 0)
    never = And((ALWAYS, Not(Text("Observation.note", "a"))))
    assert await busy.search(plan(never, "Observation", limit=10)) == []
    assert await busy.count(plan(CODE, "Observation")) == 133


@pytest.mark.parametrize("where", [CODE, SUBJECT, And((CODE, DATE)), Text("Observation.note", "a")])
async def test_a_page_is_the_same_however_much_was_looked_into_beforehand(
    busy: SqliteStore, monkeypatch: pytest.MonkeyPatch, where: Expression
) -> None:
    asked = plan(where, "Observation", sort=NEWEST, limit=10)
    straight = await busy.search(asked)
    monkeypatch.setattr("fhir_server.store.sqlite.reader._STRAIGHT", -1)
    quickly = await busy.search(asked)
    monkeypatch.setattr("fhir_server.store.sqlite.store._BUDGET", -1)
    thoroughly = await busy.search(asked)
    assert len(straight) == 10
    assert straight == quickly == thoroughly


SPANS = {"long": (1_000, 9_000), "early": (1_000, 1_999), "late": (7_000, 7_999)}


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("ge", {"long", "late"}),
        ("gt", {"long", "late"}),
        ("sa", {"late"}),
        ("lt", {"long", "early"}),
        ("le", {"long", "early"}),
        ("eb", {"early"}),
        ("eq", set()),
        ("ne", {"long", "early", "late"}),
    ],
)
async def test_what_the_clinical_date_alone_does_not_tell_is_looked_up(
    sqlite: SqliteStore, prefix: Any, found: set[str]
) -> None:
    final = TokenValue("Observation.status", "", "final")
    dated = [
        put(
            key(id_, "Observation"),
            final,
            DateValue("Observation.effective", low, high),
            clinical=low,
        )
        for id_, (low, high) in SPANS.items()
    ]
    await sqlite.commit([*dated, put(key("undated", "Observation"), final)])
    asked = DateRange("Observation.effective", prefix, 5_000, 5_999)
    where = And((Token("Observation.status", None, "final"), asked))
    assert set(ids(await sqlite.search(plan(where, "Observation")))) == found


async def test_a_closed_or_unopened_store_is_unavailable(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.sqlite")
    with pytest.raises(StoreUnavailable):
        await store.read(key())
    await store.close()
    missing = SqliteStore(tmp_path / "none" / "s.sqlite")
    with pytest.raises(StoreUnavailable):
        await missing.open()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 99)
    connection.close()
    with pytest.raises(SchemaTooNew):
        await SqliteStore(path).open()
    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == 99
    assert list(connection.execute("SELECT name FROM sqlite_schema")) == []
    connection.close()


async def test_an_older_schema_is_migrated_and_a_failing_step_changes_nothing(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "s.sqlite")
    await store.open()
    (written,) = await store.commit([put(key())])
    await store.close()
    connection = schema.connect(tmp_path / "s.sqlite", cache_kib=100, writes=True)
    newest = len(schema.MIGRATIONS)
    with pytest.raises(apsw.SQLError):
        schema.migrate(connection, (*schema.MIGRATIONS, "CREATE TABLE more(x); SELECT nothing"))
    assert connection.pragma("user_version") == newest
    assert schema.migrate(connection, (*schema.MIGRATIONS, "CREATE TABLE more(x)")) == newest
    assert connection.pragma("user_version") == newest + 1
    assert connection.execute("SELECT count(*) FROM more").get == 0
    connection.pragma("user_version", newest)
    connection.close()
    await store.open()
    assert await store.read(key()) == written
    await store.close()


async def test_two_stores_share_one_file(sqlite: SqliteStore, tmp_path: Path, clock: Clock) -> None:
    """As two processes would: versions, positions and preconditions come from the file."""
    other = SqliteStore(tmp_path / "store.sqlite", clinical=clinical, clock=clock)
    await other.open()
    feed = other.changes(0)
    waiting = asyncio.ensure_future(anext(feed))
    await asyncio.sleep(0)
    await asyncio.gather(
        *((sqlite, other)[n % 2].commit([put(key(), text=str(n))]) for n in range(20))
    )
    assert (await other.read(key())).version_id == 20  # type: ignore[union-attr]
    assert (await asyncio.wait_for(waiting, 10)).position == 1
    assert [(await anext(feed)).position for _ in range(19)] == list(range(2, 21))
    await sqlite.commit([delete(key())], [VersionIs(key(), 20)])
    assert (await asyncio.wait_for(anext(feed), 10)).position == 21
    await feed.aclose()
    assert await other.verify() == []
    await other.close()


async def test_the_log_is_copied_back_while_writes_go_on(
    sqlite: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.store.sqlite.writer.CHECKPOINT_PAGES", 20)
    monkeypatch.setattr("fhir_server.store.sqlite.writer.MOST_PAGES", 60)
    sizes = []
    for n in range(60):
        await sqlite.commit([put(key(f"p{n}-{m}"), text="x" * 2000) for m in range(40)])
        sizes.append((tmp_path / "store.sqlite-wal").stat().st_size)
    assert max(sizes) < 60 * 40 * 2000
    assert await sqlite.count(plan()) == 2400


async def test_verify_tells_a_lost_index_row_and_a_lost_version(
    sqlite: SqliteStore, tmp_path: Path
) -> None:
    await sqlite.commit([observation(n) for n in range(5)])
    await sqlite.commit([observation(1)])
    assert await sqlite.verify() == []
    connection = apsw.Connection(str(tmp_path / "store.sqlite"))
    connection.execute("DELETE FROM tok WHERE rid = 1")
    assert len(await sqlite.verify()) == 1
    connection.execute("UPDATE ref SET rid = 999 WHERE rid = 2")
    connection.execute("DELETE FROM history")
    assert len(await sqlite.verify()) >= 3
    connection.close()


def test_doubles_are_told_apart_by_all_their_bits() -> None:
    (one,) = struct.unpack("<d", struct.pack("<q", 1))
    assert ordinal(one) == 1
    assert ordinal(0.0) == ordinal(-0.0) == 0
