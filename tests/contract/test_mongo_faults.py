"""Several processes on one MongoDB, and the faults of a server that pass: each commit done once or not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import mongod
import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import BulkWriteError
from stored import Clock, clinical, drop, key, named, plan, put

from fhir_server.search.expression import (
    And,
    Not,
    Token,
)
from fhir_server.search.values import (
    TokenValue,
)
from fhir_server.store.mongo import faults, turn
from fhir_server.store.mongo.keys import HEAD
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.port import (
    MatchConflict,
    NoMatch,
    Page,
    Scope,
    StoreUnavailable,
)
from resources.outcome import TooCostly, TooLarge

# --- several processes ---


@pytest.fixture
async def two(mongo_url: str, clock: Clock) -> AsyncIterator[tuple[MongoStore, MongoStore]]:
    """Two stores on one database, as two processes have."""
    url = named(mongo_url)
    stores = tuple(MongoStore(url, clinical=clinical, clock=clock) for _ in range(2))
    await asyncio.gather(*(store.open() for store in stores))
    yield stores  # type: ignore[misc]
    for store in stores:
        await store.close()
    await drop(url)


async def outcome(commit: Any) -> Any:
    try:
        return await commit
    except MatchConflict as refusal:
        return refusal


async def test_100_conditional_creates_through_two_processes_make_one(two: Any) -> None:
    mrn = TokenValue("Patient.identifier", "urn:mrn", "17")
    doors = (
        plan(Token(mrn.atom, "urn:mrn", "17")),
        plan(Token(mrn.atom, None, "17")),
        plan(And((Token(mrn.atom, "urn:mrn", None), Not(Token("Patient.gender", None, "x"))))),
    )
    outcomes = await asyncio.gather(
        *(
            outcome(two[n % 2].commit([put(key(f"p{n}"), mrn)], [NoMatch(doors[n % 3])]))
            for n in range(100)
        )
    )
    (made,) = [one for one in outcomes if not isinstance(one, MatchConflict)]
    assert {o.found for o in outcomes if isinstance(o, MatchConflict)} == {(made[0].key,)}
    assert await two[0].count(plan()) == await two[1].count(plan()) == 1


async def test_two_processes_take_turns_without_gaps(two: Any) -> None:
    feed = two[1].changes(0)
    await asyncio.gather(
        *(two[n % 2].commit([put(key(), text=str(n)), put(key(f"p{n}"))]) for n in range(40))
    )
    seen = [await asyncio.wait_for(anext(feed), 10) for _ in range(80)]
    assert [version.position for version in seen] == list(range(1, 81))
    assert [v.version_id for v in seen if v.key == key()] == list(range(1, 41))
    await two[0].commit([put(key("late"))])
    assert (await asyncio.wait_for(anext(feed), 10)).key.id == "late"
    await feed.aclose()
    assert await two[0].verify() == []


async def test_the_transaction_of_a_dead_process_is_ended_by_the_next(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself would keep the others out for a minute."""
    monkeypatch.setattr(turn, "_LONG_MS", 200)
    database = mongo._database
    async with AsyncMongoClient[Any](mongo._url) as client:
        session = client.start_session()
        await session.start_transaction()
        dead = client[database.name]
        await dead["head"].update_one(HEAD, {"$inc": {"position": 7}}, session=session)
        sign = {"tenant": "", "session": session.session_id}
        past = datetime.now(UTC) - timedelta(seconds=60)
        await database["writers"].insert_one({"_id": "x", "id": "x", "beat": past, **sign})
        begun = time.monotonic()
        (version,) = await mongo.commit([put(key())])
        assert time.monotonic() - begun < 20
        assert version.position == 1
        assert await database["writers"].count_documents({"_id": "x"}) == 0
        await session.end_session()


# --- faults that pass ---


@pytest.fixture
async def failing(mongo_url: str, clock: Clock) -> AsyncIterator[Any]:
    """A store, and a way to have the server fail its commands a number of times."""
    if mongod.given():
        pytest.skip("the server that MONGO_TEST_URI names has no failpoints")
    url = f"{named(mongo_url)}&appName=failing"
    store = MongoStore(url, clinical=clinical, clock=clock)
    await store.open()
    async with AsyncMongoClient[Any](mongo_url) as client:

        async def fail(times: int, *commands: str, **how: Any) -> None:
            data = {"failCommands": list(commands), "appName": "failing", **how}
            mode = {"times": times} if times else "off"
            await client.admin.command(
                {"configureFailPoint": "failCommand", "mode": mode, "data": data}
            )

        yield store, fail
        await fail(0, "ping")
    await store.close()
    await drop(url)


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("commitTransaction", {"closeConnection": True}),
    (
        "commitTransaction",
        {"errorCode": 91, "errorLabels": ["UnknownTransactionCommitResult"]},
    ),
    ("commitTransaction", {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}),
    ("insert", {"closeConnection": True}),
    ("insert", {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}),
    ("findAndModify", {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}),
]


@pytest.mark.parametrize(("command", "how"), FAULTS, ids=repr)
async def test_a_commit_that_meets_a_passing_fault_is_done_exactly_once(
    failing: Any, command: str, how: dict[str, Any]
) -> None:
    store, fail = failing
    await store.commit([put(key(), text="one")])
    await fail(2, command, **how)
    written = await asyncio.gather(
        *(store.commit([put(key(), text=str(n)), put(key(f"p{n}"))]) for n in range(10))
    )
    assert sorted(v.version_id for v, _ in written) == list(range(2, 12))
    assert sorted(v.position for pair in written for v in pair) == list(range(2, 22))
    assert len(await store.history(Scope("north", "Patient", "a"), Page(100))) == 11
    assert await store.verify() == []


async def test_a_write_that_cannot_be_done_leaves_nothing_and_the_next_one_works(
    failing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, fail = failing
    monkeypatch.setattr(turn, "_PATIENCE_S", 0.5)
    labels = ["UnknownTransactionCommitResult"]
    await fail(1000, "commitTransaction", errorCode=64, errorLabels=labels)
    with pytest.raises(StoreUnavailable, match="not known"):
        await store.commit([put(key())])
    await fail(0, "ping")
    await store.commit([put(key("b"))])
    assert await store.verify() == []


@pytest.mark.parametrize("code", [257, 388, 10334])
async def test_what_mongodb_cannot_take_in_one_change_is_too_large(failing: Any, code: int) -> None:
    """TransactionTooLarge, TransactionTooLargeForCache, BSONObjectTooLarge, as `mongod` numbers them."""
    store, fail = failing
    await fail(1, "insert", errorCode=code)
    with pytest.raises(TooLarge):
        await store.commit([put(key())])
    many = [{"index": 5449, "code": code, "errmsg": "transaction is too large"}]
    assert isinstance(faults.of(BulkWriteError({"writeErrors": many})), TooLarge)
    await store.commit([put(key("b"))])
    assert await store.read(key()) is None


async def test_a_large_transaction_that_conflicts_with_nobody_again_and_again_is_too_large(
    failing: Any,
) -> None:
    """So a server may tell that its cache is full; without an end the other writers would wait."""
    store, fail = failing
    many = [put(key(f"p{n}")) for n in range(1000)]
    how = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}
    await fail(2, "insert", **how)
    assert len(await store.commit(many)) == 1000
    await fail(3, "insert", **how)
    with pytest.raises(TooLarge):
        await store.commit(many)
    await fail(5, "insert", **how)
    await store.commit([put(key("b"))])


async def test_a_transaction_that_another_overtook_is_a_passing_state(failing: Any) -> None:
    store, fail = failing
    await fail(1, "insert", errorCode=225)  # TransactionTooOld
    with pytest.raises(StoreUnavailable):
        await store.commit([put(key())])


async def test_reads_meet_a_passing_fault_once_and_tell_a_lasting_one(failing: Any) -> None:
    store, fail = failing
    await store.commit([put(key())])
    await fail(1, "find", closeConnection=True)
    assert (await store.read(key())).version_id == 1
    await fail(1000, "find", closeConnection=True)
    with pytest.raises(StoreUnavailable):
        await store.read(key())
    await fail(1, "aggregate", errorCode=50)
    with pytest.raises(TooCostly):
        await store.count(plan())


async def test_a_cancellation_that_the_driver_forgets_is_remembered() -> None:
    """As `asyncio.wait_for` forgets one that comes just as what it waits for is done."""
    reached: list[str] = []

    async def work() -> None:
        with faults.told():
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                reached.append("forgotten")
        reached.append("never")

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            with faults.told():
                await asyncio.sleep(0)
            reached.append("cleaned")

    for coroutine in (work(), cleans_up()):
        task = asyncio.create_task(coroutine)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert reached == ["forgotten", "cleaned"]


async def test_the_feed_outlives_a_fault(failing: Any) -> None:
    store, fail = failing
    await store.commit([put(key())])
    feed = store.changes(0)
    await fail(6, "find", closeConnection=True)
    assert (await asyncio.wait_for(anext(feed), 30)).position == 1
    await feed.aclose()
