"""Documents over every store adapter: compare-and-set, expiry, values that are taken once."""

from __future__ import annotations

import asyncio
from typing import Any

from stored import Clock

HERE = ("north", "codes")


async def test_revisions_count_writes(store: Any) -> None:
    assert await store.get(*HERE, "k") is None
    assert await store.put(*HERE, "k", b"one") == 1
    assert await store.put(*HERE, "k", b"two") == 2
    document = await store.get(*HERE, "k")
    assert (document.key, document.value, document.revision, document.expires) == (
        "k",
        b"two",
        2,
        None,
    )


async def test_a_put_of_another_revision_writes_nothing(store: Any) -> None:
    assert await store.put(*HERE, "k", b"one", revision=3) is None
    assert await store.put(*HERE, "k", b"one", revision=0) == 1
    assert await store.put(*HERE, "k", b"two", revision=0) is None
    assert await store.put(*HERE, "k", b"two", revision=1) == 2
    assert (await store.get(*HERE, "k")).value == b"two"


async def test_of_concurrent_puts_of_one_revision_one_wins(store: Any) -> None:
    results = await asyncio.gather(
        *(store.put(*HERE, "k", str(n).encode(), revision=0) for n in range(20))
    )
    assert sorted(r for r in results if r is not None) == [1]


async def test_a_one_time_value_is_taken_once(store: Any) -> None:
    await store.put(*HERE, "k", b"secret")
    taken = await asyncio.gather(*(store.delete(*HERE, "k") for _ in range(20)))
    assert sum(taken) == 1
    assert await store.get(*HERE, "k") is None


async def test_what_has_expired_is_gone(store: Any, clock: Clock) -> None:
    await store.put(*HERE, "k", b"v", expires=clock.now + 10)
    await store.put(*HERE, "stays", b"v")
    clock.now += 9
    assert (await store.get(*HERE, "k")).expires == clock.now + 1
    clock.now += 1
    assert await store.get(*HERE, "k") is None
    assert [d.key for d in await store.list(*HERE)] == ["stays"]
    assert await store.put(*HERE, "k", b"new", revision=0, expires=clock.now + 5) == 1
    clock.now += 5
    assert await store.delete(*HERE, "k") is False


async def test_sweep_removes_what_has_expired(store: Any, clock: Clock) -> None:
    for n in range(4):
        await store.put("north", f"space{n % 2}", f"k{n}", b"v", expires=clock.now + n)
    await store.put(*HERE, "stays", b"v")
    clock.now += 2
    assert await store.sweep() == 3
    assert await store.sweep() == 0
    assert (await store.get("north", "space1", "k3")) is not None


async def test_a_list_comes_by_key_in_pages(store: Any) -> None:
    for name in "cadb":
        await store.put(*HERE, name, name.encode())
    assert [d.key for d in await store.list(*HERE)] == ["a", "b", "c", "d"]
    assert [d.value for d in await store.list(*HERE, after="b", limit=1)] == [b"c"]


async def test_tenants_and_namespaces_are_apart(store: Any) -> None:
    for tenant in ("north", "south"):
        for space in ("codes", "jobs"):
            await store.put(tenant, space, "k", f"{tenant} {space}".encode())
    assert (await store.get("south", "jobs", "k")).value == b"south jobs"
    assert await store.delete("south", "jobs", "k") is True
    assert [d.value for d in await store.list("north", "jobs")] == [b"north jobs"]
    assert [d.value for d in await store.list("south", "codes")] == [b"south codes"]
    assert await store.list("south", "jobs") == []
