"""kill -9 of a real server amid every kind of write from many clients, again and again, on each store."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import mixed_load
import pytest
import stored
from served import Served

from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.port import instant
from fhir_server.store.sqlite.store import SqliteStore

ENOUGH = 50
FIRST = "2020-01-01T00:00:00Z"
AFTER_S = 90.0


class Proved(NamedTuple):
    """How many kills there were, writes acknowledged and reads; and what a later round had lost."""

    kills: int
    acknowledged: int
    lost: list[mixed_load.Place]
    reads: int


def now() -> str:
    return instant(int(time.time() * 1000) - 1000)


def round_of(served: Served, number: int) -> tuple[mixed_load.Model, str]:
    """Load a server until it is killed; gives what its clients were told and when that began."""
    model, begun = mixed_load.Model(number), now()
    enough = ENOUGH + random.Random(number).randrange(ENOUGH)
    asyncio.run(mixed_load.load(served.base, model, enough, served.kill))
    assert len(model.acknowledged) >= enough
    return model, begun


def last_version(http: httpx.Client, place: str) -> int:
    """Give the last version, a deletion's too: one may be done that nobody was told of."""
    (last,) = http.get(f"{place}/_history", params={"_count": 1}).json()["entry"]
    return int(last["response"]["etag"].strip('W/"'))


def sampled(base: str, model: mixed_load.Model) -> None:
    """Check that what was written is what is read and found, by mark and by identifier."""
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for (type_, id_, version), mark in model.acknowledged.items():
        newest[type_, id_] = max(newest.get((type_, id_), (0, "")), (version, mark))
    with httpx.Client(base_url=base, timeout=AFTER_S) as http:
        for (type_, id_), (version, mark) in list(newest.items())[::7]:
            got = http.get(f"/{type_}/{id_}")
            assert last_version(http, f"/{type_}/{id_}") >= version
            past = http.get(f"/{type_}/{id_}/_history/{version}")
            assert past.status_code == (410 if mark == "deleted" else 200)
            if (
                type_ == "Basic"
                and mark != "deleted"
                and got.headers.get("etag") == past.headers["etag"]
            ):
                query = {"code": f"{mixed_load.SYSTEM}|{mark}", "_id": id_}
                assert http.get("/Basic", params=query).json()["total"] == 1
        for value in model.same:
            query = {"identifier": f"{mixed_load.SYSTEM}|{value}"}
            assert http.get("/Patient", params=query).json()["total"] == 1


def proved(start: Callable[[int], Served], rounds: int) -> Proved:
    """Run rounds, checking each on the server that comes after."""
    acknowledged: dict[mixed_load.Place, str] = {}
    reads, served = 0, start(0)
    for number in range(rounds):
        model, begun = round_of(served, number)
        served = start(number + 1)
        model.check(mixed_load.observed(served.base, begun, f"r{number}-"))
        sampled(served.base, model)
        acknowledged |= model.acknowledged
        reads += model.reads
    whole = mixed_load.observed(served.base, FIRST)
    assert served.stop() == 0
    lost = [place for place, mark in acknowledged.items() if whole.get(place) != mark]
    return Proved(rounds, len(acknowledged), lost, reads)


def told(record_property: Any, store: str, found: Proved) -> None:
    record_property(
        "proof",
        f"{store}: {found.kills} servers killed with kill -9 under mixed load of {mixed_load.CLIENTS} "
        f"clients, {found.acknowledged} acknowledged writes all there, none refused or unanswered there "
        f"in part, none twice ({found.reads} reads between); the store verifies",
    )


async def faults(store: Any) -> list[str]:
    """Give what verifying the store says is wrong with it."""
    await store.open()
    told = await store.verify()
    await store.close()
    return list(told)


def test_a_killed_server_loses_and_doubles_nothing_on_sqlite(
    tmp_path: Path, size: Callable[[int, int], int], record_property: Any
) -> None:
    """Every other round it is two processes on one file that are killed."""

    def start(number: int) -> Served:
        return Served(tmp_path, "--workers", str(1 + number % 2))

    found = proved(start, size(3, 50))
    assert found.lost == []
    assert asyncio.run(faults(SqliteStore(tmp_path / "store.sqlite"))) == []
    told(record_property, "SQLite", found)


def test_a_killed_server_loses_and_doubles_nothing_on_mongodb(
    tmp_path: Path, mongo_url: str, size: Callable[[int, int], int], record_property: Any
) -> None:
    url = stored.named(mongo_url)
    found = proved(functools.partial(_mongo, tmp_path, url), size(3, 50))
    assert found.lost == []
    assert asyncio.run(faults(MongoStore(url))) == []
    asyncio.run(stored.drop(url))
    told(record_property, "MongoDB", found)


def _mongo(folder: Path, url: str, _: int) -> Served:
    return Served(folder, "--store", url)


def test_the_model_tells_what_is_lost_doubled_torn_or_nobody_s() -> None:
    model = mixed_load.Model(0)
    model.acknowledged = {("Basic", "a", 1): "create/r0-c0/1"}
    model.open = {"transaction/r0-c0/2", "delete/r0-c1/1"}
    model.refused = {"raced/r0-c0/3"}
    right = dict(model.acknowledged)
    torn = {("Basic", f"t{n}", 1): "transaction/r0-c0/2" for n in range(3)}
    model.check(right)
    model.check(
        right | torn | {("Basic", "x", 1): "transaction/r0-c0/2", ("Basic", "d", 2): "deleted"}
    )
    for wrong in (
        {},
        {("Basic", "a", 1): "another"},
        right | torn,
        right | {("Basic", "b", 1): "create/r0-c0/1"},
        right | {("Basic", "c", 1): "raced/r0-c0/3"},
        right | {("Basic", f"d{n}", 2): "deleted" for n in range(2)},
    ):
        with pytest.raises(AssertionError):
            model.check(wrong)
