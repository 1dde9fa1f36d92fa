"""Concurrent commits over every store adapter: each caller has an outcome of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from stored import ids, key, plan, put

from fhir_server.search.expression import Cursor, Token
from fhir_server.search.values import TokenValue
from fhir_server.store.port import MatchConflict, NoMatch, VersionConflict, VersionIs

MRN = TokenValue("Patient.identifier", "urn:mrn", "17")


async def outcome(commit: Any) -> Any:
    try:
        return await commit
    except (MatchConflict, VersionConflict) as refusal:
        return refusal


async def test_64_concurrent_conditional_creates_make_one(store: Any) -> None:
    same = NoMatch(plan(Token(MRN.atom, "urn:mrn", "17")))
    outcomes = await asyncio.gather(
        *(outcome(store.commit([put(key(f"p{n}"), MRN)], [same])) for n in range(64))
    )
    refused = [o for o in outcomes if isinstance(o, MatchConflict)]
    (made,) = [o for o in outcomes if not isinstance(o, MatchConflict)]
    assert len(refused) == 63
    assert {o.found for o in refused} == {(made[0].key,)}
    assert await store.count(plan()) == 1


async def test_of_concurrent_updates_of_one_version_one_wins(store: Any) -> None:
    await store.commit([put(key())])
    outcomes = await asyncio.gather(
        *(
            outcome(store.commit([put(key(), text=str(n))], [VersionIs(key(), 1)]))
            for n in range(20)
        )
    )
    assert sum(isinstance(o, VersionConflict) for o in outcomes) == 19
    assert (await store.read(key())).version_id == 2


async def test_unconditional_updates_all_count(store: Any) -> None:
    written = await asyncio.gather(*(store.commit([put(key(), text=str(n))]) for n in range(30)))
    assert sorted(v.version_id for (v,) in written) == list(range(1, 31))
    assert len({v.position for (v,) in written}) == 30
    for (version,) in written:
        assert await store.vread(key(), version.version_id) == version


async def test_a_refused_commit_takes_no_other_with_it(store: Any) -> None:
    await store.commit([put(key("old"))])
    commits = []
    for n in range(60):
        stale = [VersionIs(key("old"), 7)] if n % 3 == 0 else []
        commits.append(outcome(store.commit([put(key(f"p{n}")), put(key(f"q{n}"))], stale)))
    outcomes = await asyncio.gather(*commits)
    for n, result in enumerate(outcomes):
        assert isinstance(result, VersionConflict) == (n % 3 == 0)
        for name in (f"p{n}", f"q{n}"):
            assert (await store.read(key(name)) is None) == (n % 3 == 0)
    assert await store.count(plan()) == 81


@pytest.fixture(params=["sqlite", "mongo"])
def encoding(request: pytest.FixtureRequest) -> Any:
    """A store that writes texts as UTF-8, which a surrogate is not."""
    return request.getfixturevalue(request.param)


async def test_values_that_cannot_be_stored_fail_their_own_commit_only(encoding: Any) -> None:
    bad = put(key("bad"), TokenValue("Patient.identifier", "", "\ud800"))
    results = await asyncio.gather(
        *(encoding.commit([put(key(f"p{n}"))] + [bad] * (n == 3)) for n in range(8)),
        return_exceptions=True,
    )
    assert [n for n, r in enumerate(results) if isinstance(r, Exception)] == [3]
    assert isinstance(results[3], UnicodeEncodeError)
    assert await encoding.count(plan()) == 7
    assert await encoding.verify() == []


async def test_a_cancelled_caller_harms_nobody(store: Any) -> None:
    tasks = [asyncio.ensure_future(store.commit([put(key(f"p{n}"))])) for n in range(20)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [n for n, result in enumerate(done) if isinstance(result, BaseException)] in ([3], [])
    found = ids(await store.search(plan()))
    assert set(found) >= {f"p{n}" for n in range(20) if n != 3}


async def test_a_page_chain_sees_each_resource_once_while_others_write(store: Any) -> None:
    await store.commit([put(key(f"p{n:03}")) for n in range(40)])
    seen: list[str] = []
    after = None
    for turn in range(10):
        page = await store.search(plan(limit=5, after=after))
        if not page:
            break
        seen += ids(page)
        after = Cursor(page[-1].keys, page[-1].place)
        await store.commit(
            [put(key(f"p{turn:03}"), text="touched"), put(key(f"new{turn}"), text="new")]
        )
    old = [name for name in seen if name.startswith("p")]
    assert old == [f"p{n:03}" for n in range(40)]
    assert len(set(seen)) == len(seen)
