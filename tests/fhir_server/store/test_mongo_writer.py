"""How the MongoDB writer makes groups of what many callers want."""

import asyncio

import pytest

from fhir_server.store.mongo import writer
from fhir_server.store.mongo.transaction import Done

CLIENTS = 8
ROUNDS = 6


class Turn:
    """A turn in which nothing is written; keeps how many works each transaction had."""

    def __init__(self, _database):
        self.me = {}
        self.groups = []

    async def open(self):
        """Need nothing."""

    async def close(self):
        """Leave nothing."""

    async def transact(self, most, _now, _attempt):
        await asyncio.sleep(0.03)
        self.groups.append(most)
        return Done([None] * most, [], erased=False)


class Work:
    weight = 1
    keys = ()


@pytest.fixture
async def turn(monkeypatch):
    monkeypatch.setattr(writer, "Turn", Turn)
    made = writer.Writer(None, None, None, lambda: 0, lambda _: None)
    await made.start()
    yield made
    await made.stop()


async def client(made, rounds):
    for _ in range(rounds):
        await made.submit(Work())


async def test_who_was_answered_joins_those_who_waited(turn):
    first = [asyncio.create_task(client(turn, ROUNDS)) for _ in range(CLIENTS // 2)]
    for _ in range(5):  # the first half is being written, in 30 ms
        await asyncio.sleep(0)
    await asyncio.gather(*first, *(client(turn, ROUNDS) for _ in range(CLIENTS // 2)))
    groups = turn._turn.groups
    assert sum(groups) == CLIENTS * ROUNDS
    assert groups.count(CLIENTS) >= ROUNDS - 2


async def test_a_lone_caller_is_not_kept_waiting(turn, monkeypatch):
    def forbidden(_seconds):
        raise AssertionError("somebody was waited for")

    monkeypatch.setattr(writer.asyncio, "timeout", forbidden)
    await client(turn, 5)
    assert turn._turn.groups == [1] * 5


async def test_those_who_do_not_come_back_are_not_waited_for_long(turn):
    await asyncio.gather(*(client(turn, 1) for _ in range(CLIENTS)))
    await asyncio.wait_for(client(turn, 2), 5)
    assert turn._turn.groups[-2:] == [1, 1]
