"""Versions, histories, the change feed and the walls between tenants, over every store adapter."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from stored import Clock, delete, ids, key, plan, put

from fhir_server.search.expression import Token
from fhir_server.search.values import TokenValue
from fhir_server.store.port import (
    Change,
    Key,
    MatchConflict,
    NoMatch,
    Page,
    Scope,
    StoreUnavailable,
    VersionConflict,
    VersionIs,
)

MRN = TokenValue("Patient.identifier", "urn:mrn", "17")


async def test_what_never_was_is_none(store: Any) -> None:
    assert await store.read(key()) is None
    assert await store.vread(key(), 1) is None
    assert await store.read_many([key()]) == []
    assert await store.search(plan()) == []
    assert await store.count(plan()) == 0
    assert await store.history(Scope("north"), Page(10)) == []
    assert await store.position() == 0


async def test_a_commit_gives_what_a_read_gives(store: Any, clock: Clock) -> None:
    (written,) = await store.commit([put(key(), text="é 1.10", method="POST")])
    assert await store.read(key()) == written
    assert (written.version_id, written.updated, written.position) == (1, clock.now, 1)
    assert written.method == "POST"
    assert json.loads(written.body)["meta"] == {
        "versionId": "1",
        "lastUpdated": "2023-11-14T22:13:20.000Z",
    }
    assert json.loads(written.body)["x"] == "é 1.10"


async def test_versions_count_and_older_ones_stay(store: Any) -> None:
    for text in ("one", "two", "three"):
        await store.commit([put(key(), text=text)])
    current = await store.read(key())
    assert (current.version_id, json.loads(current.body)["x"]) == (3, "three")
    for number, text in enumerate(("one", "two", "three"), 1):
        version = await store.vread(key(), number)
        assert (version.version_id, json.loads(version.body)["x"]) == (number, text)
    assert await store.vread(key(), 4) is None
    assert await store.vread(key("b"), 1) is None


async def test_a_deletion_is_a_version_and_a_new_life_goes_on_counting(store: Any) -> None:
    await store.commit([put(key(), MRN)])
    (deletion,) = await store.commit([delete(key())])
    assert (deletion.version_id, deletion.body, deletion.method) == (2, None, "DELETE")
    assert await store.read(key()) == deletion
    assert await store.read_many([key()]) == []
    assert await store.search(plan()) == []
    assert await store.count(plan()) == 0
    (again,) = await store.commit([put(key(), MRN, text="again")])
    assert again.version_id == 3
    assert await store.vread(key(), 2) == deletion
    assert ids(await store.search(plan(Token("Patient.identifier", "urn:mrn", "17")))) == ["a"]


async def test_deletions_are_told_from_other_versions_at_once(store: Any) -> None:
    await store.commit([put(key(name)) for name in "abc"])
    await store.commit([delete(key(name)) for name in "ab"])
    await store.commit([put(key("a")), put(key("c"))])
    await store.commit([put(Key("south", "Patient", "a"))])
    asked = [(key(name), number) for name in (*"abc", "never") for number in (1, 2, 3)]
    asked.append((Key("south", "Patient", "a"), 2))
    assert await store.deletions(asked) == {(key("a"), 2)}  # that of b is still the current version
    assert await store.deletions([]) == frozenset()


async def test_deleting_what_is_absent_or_deleted_writes_nothing(store: Any) -> None:
    (absent,) = await store.commit([delete(key())])
    assert (absent.version_id, absent.position, absent.body) == (0, 0, None)
    assert await store.read(key()) is None
    await store.commit([put(key())])
    (deletion,) = await store.commit([delete(key())])
    assert await store.commit([delete(key())]) == [deletion]
    assert await store.position() == 2


async def test_last_updated_never_falls_though_the_clock_does(store: Any, clock: Clock) -> None:
    (first,) = await store.commit([put(key())])
    clock.now -= 60_000
    (second,) = await store.commit([put(key())])
    assert second.updated == first.updated
    clock.now += 120_000
    (third,) = await store.commit([put(key("b"))])
    assert third.updated == clock.now > second.updated


async def test_versions_come_in_the_order_of_the_changes(store: Any) -> None:
    written = await store.commit([put(key(name)) for name in "cab"])
    assert [v.key.id for v in written] == ["c", "a", "b"]
    assert [v.position for v in written] == [1, 2, 3]


async def test_one_commit_may_write_a_key_twice(store: Any) -> None:
    written = await store.commit(
        [
            put(key(), text="one"),
            put(key(), MRN, text="two"),
            delete(key()),
            put(key(), text="four"),
        ]
    )
    assert [v.version_id for v in written] == [1, 2, 3, 4]
    assert json.loads((await store.vread(key(), 2)).body)["x"] == "two"
    assert json.loads((await store.read(key())).body)["x"] == "four"
    assert await store.search(plan(Token("Patient.identifier", None, "17"))) == []
    assert await store.count(plan()) == 1


async def test_read_many_gives_more_than_one_statement_asks_for(store: Any) -> None:
    names = [f"n{number}" for number in range(120)]
    await store.commit([put(key(name)) for name in names])
    await store.commit([delete(key("n7"))])
    await store.commit([put(Key("south", "Patient", "n8"))])
    found = await store.read_many([key(name) for name in (*names, "never")])
    assert sorted(v.key.id for v in found) == sorted(set(names) - {"n7"})
    assert {v.key.tenant for v in found} == {"north"}


async def test_read_many_gives_each_that_exists_once(store: Any) -> None:
    await store.commit([put(key(name)) for name in "abc"])
    await store.commit([delete(key("b"))])
    found = await store.read_many([key(name) for name in "abcda"])
    assert sorted(v.key.id for v in found) == ["a", "c"]


async def test_a_stale_version_refuses_the_whole_commit(store: Any) -> None:
    await store.commit([put(key())])
    await store.commit([put(key())])
    with pytest.raises(VersionConflict) as refusal:
        await store.commit([put(key("b")), put(key())], [VersionIs(key(), 1)])
    assert (refusal.value.key, refusal.value.current) == (key(), 2)
    assert await store.read(key("b")) is None
    assert (await store.read(key())).version_id == 2
    await store.commit([put(key())], [VersionIs(key(), 2)])


async def test_version_none_means_absent_or_deleted(store: Any) -> None:
    await store.commit([put(key())], [VersionIs(key(), None)])
    with pytest.raises(VersionConflict):
        await store.commit([put(key())], [VersionIs(key(), None)])
    await store.commit([delete(key())])
    with pytest.raises(VersionConflict) as refusal:
        await store.commit([put(key())], [VersionIs(key(), 2)])
    assert refusal.value.current is None
    await store.commit([put(key())], [VersionIs(key(), None)])


async def test_a_match_refuses_the_commit_and_names_what_it_found(store: Any) -> None:
    same = plan(Token("Patient.identifier", "urn:mrn", "17"))
    await store.commit([put(key(), MRN)], [NoMatch(same)])
    with pytest.raises(MatchConflict) as refusal:
        await store.commit([put(key("b"), MRN)], [VersionIs(key("b"), None), NoMatch(same)])
    assert (refusal.value.index, refusal.value.found) == (1, (key(),))
    await store.commit([put(key(), MRN)], [NoMatch(same, apart_from=key())])
    await store.commit([put(key("b"), MRN)])
    with pytest.raises(MatchConflict) as refusal:
        await store.commit([], [NoMatch(same, apart_from=key())])
    assert refusal.value.found == (key("b"),)
    with pytest.raises(MatchConflict) as refusal:
        await store.commit([], [NoMatch(same)])
    assert len(refusal.value.found) > 1


async def test_an_update_leaves_no_old_index_values(store: Any) -> None:
    await store.commit([put(key(), MRN, TokenValue("Patient.gender", "", "male"))])
    await store.commit([put(key(), TokenValue("Patient.gender", "", "male"))])
    assert await store.search(plan(Token("Patient.identifier", None, "17"))) == []
    assert ids(await store.search(plan(Token("Patient.gender", None, "male")))) == ["a"]


async def test_histories_by_instance_type_and_system(store: Any) -> None:
    await store.commit([put(key()), put(key("o", "Observation"))])
    await store.commit([put(key("b"))])
    await store.commit([delete(key())])
    assert await marks(store, Scope("north")) == ["a2", "b1", "o1", "a1"]
    assert await marks(store, Scope("north", "Patient")) == ["a2", "b1", "a1"]
    assert await marks(store, Scope("north", "Patient", "a")) == ["a2", "a1"]
    assert await marks(store, Scope("north", "Device")) == []
    assert await marks(store, Scope("north", "Patient", "z")) == []


async def marks(store: Any, scope: Scope, page: Page = Page(50)) -> list[str]:  # noqa: B008 - frozen
    return [f"{v.key.id}{v.version_id}" for v in await store.history(scope, page)]


async def test_a_history_is_cut_by_count_position_and_time(store: Any, clock: Clock) -> None:
    for _ in range(6):
        await store.commit([put(key())])
        clock.now += 1000
    start = clock.now - 6000
    for scope in (Scope("north"), Scope("north", "Patient"), Scope("north", "Patient", "a")):
        assert await marks(store, scope, Page(2)) == ["a6", "a5"]
        assert await marks(store, scope, Page(2, before=5)) == ["a4", "a3"]
        assert await marks(store, scope, Page(9, since=start + 4000)) == ["a6", "a5"]
        assert await marks(store, scope, Page(9, until=start + 1000)) == ["a1"]
        assert await marks(store, scope, Page(9, since=start + 1000, until=start + 3000)) == [
            "a3",
            "a2",
        ]
        assert await marks(store, scope, Page(0)) == []


async def test_tenants_never_see_each_other(store: Any) -> None:
    there = key(tenant="south")
    await store.commit([put(key(), MRN, text="north"), put(there, MRN, text="south")])
    assert json.loads((await store.read(key())).body)["x"] == "north"
    assert json.loads((await store.read(there)).body)["x"] == "south"
    for tenant in ("north", "south", "west"):
        expected = [] if tenant == "west" else [tenant]
        for where in (plan(tenant=tenant), plan(Token(MRN.atom, None, "17"), tenant=tenant)):
            assert [m.version.key.tenant for m in await store.search(where)] == expected
            assert await store.count(where) == len(expected)
        versions = await store.history(Scope(tenant), Page(9))
        assert [v.key.tenant for v in versions] == expected
    await store.commit([], [NoMatch(plan(Token(MRN.atom, None, "17"), tenant="west"))])


async def test_the_feed_gives_every_version_in_order_and_waits(store: Any) -> None:
    await store.commit([put(key()), put(key("b"))])
    await store.commit([put(key(), text="two")])
    feed = store.changes(0)
    seen = [await anext(feed) for _ in range(3)]
    assert [(v.position, v.key.id, v.version_id) for v in seen] == [
        (1, "a", 1),
        (2, "b", 1),
        (3, "a", 2),
    ]
    assert json.loads(seen[0].body)["x"] == "x"
    assert json.loads(seen[2].body)["x"] == "two"
    waiting = asyncio.ensure_future(anext(feed))
    await asyncio.sleep(0)
    assert not waiting.done()
    await store.commit([delete(key())])
    following = await asyncio.wait_for(waiting, 5)
    assert (following.position, following.body, following.method) == (4, None, "DELETE")
    assert await store.position() == 4
    await feed.aclose()


async def test_the_feed_begins_where_it_is_told(store: Any) -> None:
    await store.commit([put(key(name)) for name in "abcde"])
    feed = store.changes(3)
    assert [(await anext(feed)).key.id for _ in range(2)] == ["d", "e"]
    await feed.aclose()


async def test_a_feed_of_some_types_passes_over_the_others_and_waits(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory", "sqlite.reader", "mongo.store"):
        monkeypatch.setattr(f"fhir_server.store.{module}.PLACES", 5)
    other = "Organization"
    for number in range(6):
        await store.commit([put(Key("t", other, f"o{number}")), put(key(f"p{number}"))])
    feed = store.changes(0, frozenset({other}))
    given = [(v.position, v.key.type) for v in [await anext(feed) for _ in range(7)]]
    assert [one for one in given if one[1] == other] == [(n, other) for n in range(1, 12, 2)]
    assert [position for position, type_ in given if type_ != other] == [10]
    waiting = asyncio.ensure_future(anext(feed))
    await store.commit([put(key("passed"))])
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await store.commit([put(Key("t", other, "last"))])
    assert (await asyncio.wait_for(waiting, 5)).key.id == "last"
    await feed.aclose()


async def test_a_closed_store_ends_its_feeds_and_refuses_writes(store: Any) -> None:
    feed = store.changes(0)
    waiting = asyncio.ensure_future(anext(feed, None))
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.wait_for(waiting, 5) is None
    with pytest.raises(StoreUnavailable):
        await store.commit([put(key())])
    await store.open()


async def test_the_store_opens_again_with_what_it_had(store: Any) -> None:
    (written,) = await store.commit([put(key(), MRN)])
    await store.close()
    await store.open()
    assert await store.read(key()) == written
    (again,) = await store.commit([put(key(), MRN)])
    assert (again.version_id, again.position) == (2, 2)


async def test_an_empty_commit_writes_nothing(store: Any) -> None:
    nothing: list[Change] = []
    assert await store.commit(nothing) == []
    assert await store.position() == 0
