"""backup and restore of a store in MongoDB: what goes with it, what waits for it, what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stored

from fhir_server import app, backup
from fhir_server.cli import main
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import Settings, load
from fhir_server.store.mongo import copying, schema
from fhir_server.store.mongo import store as stores
from fhir_server.store.port import Key, StoreUnavailable


@pytest.fixture
def urls(mongo_url: str) -> Iterator[list[str]]:
    made = [stored.named(mongo_url) for _ in range(2)]
    yield made
    for url in made:
        asyncio.run(stored.drop(url))


def settings_of(folder: Path, store: str | None) -> Settings:
    given: Any = {"data": str(folder), "mllp_port": "off", "store": store}
    return load(given, {}, None)[0]


async def put(house: Any, id_: str, text: str) -> None:
    body = {"resourceType": "Basic", "id": id_, "code": {"text": text}}
    request = FhirRequest("PUT", f"Basic/{id_}", body=json.dumps(body).encode())
    await dispatch(house.ours("default"), request)


async def test_gaps_places_documents_and_deletions_go_with_it(
    tmp_path: Path, urls: list[str]
) -> None:
    first = settings_of(tmp_path / "first", urls[0])
    async with app.installation(first, "http://localhost") as house:
        for turn in range(3):
            for id_ in "abc":
                await put(house, id_, f"{turn}")
        await dispatch(house.ours("default"), FhirRequest("DELETE", "Basic/b"))
        assert await house.services.purge(Key("default", "Basic", "a")) == 2
        documents = house.services.documents
        await documents.put("default", "tenants", "north", b"{}")
        for value in (b"1", b"2"):
            await documents.put("default", "codes", "k", value, expires=2**52)
        manifest = await backup.make(house, tmp_path / "backup")
        await put(house, "late", "x")
        await documents.put("default", "codes", "late", b"x")
        before = [v async for v in limited(house.services.store, manifest.position)]
    second = settings_of(tmp_path / "second", urls[1])
    assert (await backup.restore(tmp_path / "backup", second)).position == manifest.position
    assert not {"store", "blobs"} & {path.name for path in second.data.iterdir()}
    async with app.installation(second, "http://localhost") as house:
        documents = house.services.documents
        found = await documents.get("default", "codes", "k")
        assert found is not None
        assert (found.value, found.revision, found.expires) == (b"2", 2, 2**52)
        assert await documents.get("default", "codes", "late") is None
        assert await house.has_tenant("north")
        assert [v async for v in limited(house.services.store, manifest.position)] == before
        search = FhirRequest("GET", "Basic", (("_sort", "_lastUpdated"),))
        bundle = json.loads((await dispatch(house.ours("default"), search)).body)
        assert [entry["resource"]["id"] for entry in bundle["entry"]] == ["a", "c"]
        await put(house, "a", "again")
        (newest, *_) = [v async for v in limited(house.services.store, 2**40) if v.key.id == "a"][
            -1:
        ]
        assert (newest.version_id, newest.position > manifest.position) == (4, True)
        assert await house.care.verify() == []


async def limited(store: Any, last: int) -> Any:
    """Give what the feed has up to a position."""
    last = min(last, await store.position())
    async for version in store.changes(0):
        yield version
        if version.position >= last:
            return


async def test_a_purge_waits_until_the_copy_is_made(
    tmp_path: Path, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is copied as of one position must not be erased before it is copied."""
    settings = settings_of(tmp_path / "first", urls[0])
    async with (
        app.installation(settings, "http://localhost") as house,
        app.installation(settings_of(tmp_path / "other", urls[0]), "http://localhost") as other,
    ):
        for turn in range(3):
            await put(house, "a", f"{turn}")
        copying_now, go_on, versions = asyncio.Event(), asyncio.Event(), copying._versions

        async def slowly(*given: Any) -> Any:
            copying_now.set()
            await go_on.wait()
            async for page in versions(*given):
                yield page

        monkeypatch.setattr(copying, "_versions", slowly)
        monkeypatch.setattr(stores, "_POLL_S", 0.05)
        making = asyncio.create_task(backup.make(house, tmp_path / "backup"))
        await copying_now.wait()
        await put(other, "a", "after")
        purging = asyncio.create_task(other.services.purge(Key("default", "Basic", "a")))
        await asyncio.sleep(0.3)
        assert not purging.done()
        with monkeypatch.context() as patch:
            patch.setattr(stores, "_PURGE_WAITS_S", 0.0)
            with pytest.raises(StoreUnavailable, match="backup"):
                await other.services.purge(Key("default", "Basic", "a"))
        go_on.set()
        manifest = await making
        assert await purging == 3
    copied = [one for group in copying.versions(tmp_path / "backup") for one in group]
    assert [one.version for one in copied if one.id == "a"] == [1, 2, 3]
    assert copied[-1].position == manifest.position


async def test_a_backup_that_lost_its_hold_is_none(
    tmp_path: Path, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, copy = settings_of(tmp_path / "first", urls[0]), copying.copy
    async with app.installation(settings, "http://localhost") as house:

        async def forgotten(database: Any, *given: Any) -> int:
            await database["writers"].delete_many({})
            return await copy(database, *given)

        monkeypatch.setattr(copying, "copy", forgotten)
        with pytest.raises(backup.Refused, match="held up"):
            await backup.make(house, tmp_path / "backup")
    assert not (tmp_path / "backup" / backup.MANIFEST).exists()


def test_a_backup_goes_into_an_empty_store_of_its_own_kind_by_the_commands(
    tmp_path: Path, urls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data, copy = ("--data", str(tmp_path / "data")), str(tmp_path / "copy")
    (tmp_path / "data").mkdir()
    assert main(["backup", copy, *data, "--store", urls[0]]) == 0
    there = ("--data", str(tmp_path / "there"))
    assert main(["restore", copy, *there]) == 1
    assert "name one with --store" in capsys.readouterr().err
    assert main(["restore", copy, *there, "--store", urls[0]]) == 1
    assert "not empty" in capsys.readouterr().err
    assert not (tmp_path / "there").exists()
    assert main(["restore", copy, *there, "--store", urls[1]]) == 0
    assert main(["check", *there, "--store", urls[1]]) == 0
    embedded = str(tmp_path / "embedded")
    assert main(["tenant", "add", "north", *data]) == 0
    assert main(["backup", embedded, *data]) == 0
    capsys.readouterr()
    elsewhere = ("--data", str(tmp_path / "elsewhere"))
    assert main(["restore", embedded, *elsewhere, "--store", urls[1]]) == 1
    assert "leave --store out" in capsys.readouterr().err
    assert main(["restore", embedded, *elsewhere, "--store", f"sqlite:///{tmp_path}/x.sqlite"]) == 1
    assert "leave --store out" in capsys.readouterr().err


async def test_a_store_that_was_half_restored_is_opened_by_nobody(urls: list[str]) -> None:
    store = stores.MongoStore(urls[0])
    await store.open()
    await store._database["meta"].update_one(schema.META, {"$set": {"restoring": True}})
    with pytest.raises(StoreUnavailable, match="broken off"):
        await stores.MongoStore(urls[0]).open()
    await store.close()
