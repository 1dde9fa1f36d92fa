"""From one store to another, history included."""

import gzip
import itertools
import json

import pytest

from fhir_server import app, moving
from fhir_server.cli import main
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.search.parameters import SearchParameters
from fhir_server.settings import load
from fhir_server.store.memory import MemoryStore
from fhir_server.store.port import Key, OutOfOrder
from resources import definitions
from resources.model import parse

PARAMETERS = SearchParameters(definitions.load())


def extract(_, body):
    return PARAMETERS.values(parse(body))


@pytest.fixture
def settings(tmp_path):
    return settings_of(tmp_path / "first")


def settings_of(folder):
    made, _ = load({"data": str(folder), "mllp_port": "off"}, {}, None)
    return made


async def versions(store):
    found, last = [], await store.position()
    async for version in store.changes(0):
        found.append((version.key, *whole(version)))
        if version.position >= last:
            return found
    raise AssertionError("the feed ended")


def whole(version):
    return version.version_id, version.updated, version.method, version.body


async def fill(house):
    """Creates, updates, deletes, a purge, two tenants, digits that matter."""
    for tenant, number in itertools.product(("default", "north"), range(30)):
        context, name = house.ours(tenant), f"o{number % 8}"
        if number % 7 == 6:
            await dispatch(context, FhirRequest("DELETE", f"Basic/o{number % 5}"))
            continue
        extension = [{"url": "urn:x", "valueDecimal": 1}]
        body = {"resourceType": "Basic", "id": name, "code": {"text": f"{number}"}}
        raw = json.dumps(body | {"extension": extension}).replace(": 1}", ": 1.10}")
        await dispatch(context, FhirRequest("PUT", f"Basic/{name}", body=raw.encode()))
    await house.care.purge(Key("north", "Basic", "o1"))


async def test_a_store_moved_by_export_and_load_is_the_same_store(settings, tmp_path, capsys):
    async with app.installation(settings, "http://localhost") as house:
        await house.services.documents.put("default", "tenants", "north", b"{}")
        await fill(house)
        before = await versions(house.services.store)
    data = ["--data", str(settings.data)]
    second = settings_of(tmp_path / "second")
    there = ["--data", str(second.data)]
    file = str(tmp_path / "out" / moving.FILE)
    assert await run("export", "--history", "--out", str(tmp_path / "out"), *data) == 0
    assert f"{len(before)} versions" in capsys.readouterr().out
    assert await run("load", "--history", file, *there) == 0
    assert f"{len(before)} versions, {len(before)} of them new" in capsys.readouterr().out
    assert await run("load", "--history", file, *there) == 0
    assert f"{len(before)} versions, 0 of them new" in capsys.readouterr().out
    async with app.installation(second, "http://localhost") as house:
        assert await versions(house.services.store) == before
        assert await house.care.verify() == []
        assert await house.has_tenant("north")
        search = FhirRequest("GET", "Basic", (("_summary", "count"),))
        count = json.loads((await dispatch(house.ours("north"), search)).body)["total"]
        assert count == len(await alive(before, "north"))
    assert b'"valueDecimal":1.10' in (tmp_path / "out" / moving.FILE).read_bytes()


async def run(*command):
    import asyncio

    return await asyncio.to_thread(main, list(command))


async def alive(found, tenant):
    current = {key: body for key, *_, body in found if key.tenant == tenant}
    return [key for key, body in current.items() if body is not None]


async def test_from_sqlite_to_memory_and_back_is_the_same(settings, tmp_path):
    memory = MemoryStore()
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    async def ignore(_):
        return

    async with app.installation(settings, "http://localhost") as house:
        await fill(house)
        before = await versions(house.services.store)
        [n async for n in moving.export(house.services.store, tmp_path / "a")]
    take = memory.import_versions
    totals = [t async for t in moving.load(tmp_path / "a" / moving.FILE, take, extract, ignore)]
    assert totals[-1] == (len(before), len(before))
    assert await versions(memory) == before
    [n async for n in moving.export(memory, tmp_path / "b")]
    first, second = ((tmp_path / name / moving.FILE).read_bytes() for name in "ab")
    assert first == second


async def test_what_is_no_history_or_comes_too_late_is_refused(settings, tmp_path, capsys):
    file = tmp_path / "h.ndjson"
    line = {"tenant": "default", "type": "Basic", "id": "a", "versionId": "1", "method": "DELETE"}
    file.write_text(json.dumps(line | {"lastUpdated": "2020-01-01T00:00:00.000Z"}) + "\n{}\n")
    data = ["--data", str(settings.data)]
    assert await run("load", "--history", str(file), *data) == 1
    assert "line 2 is no version" in capsys.readouterr().err
    async with app.installation(settings, "http://localhost") as house:
        await fill(house)
    file.write_text(json.dumps(line | {"id": "z", "lastUpdated": "2020-01-01T00:00:00.000Z"}))
    assert await run("load", "--history", str(file), *data) == 1
    assert "newer versions" in capsys.readouterr().err
    assert await run("export", "--out", str(tmp_path), *data) == 2
    assert issubclass(OutOfOrder, Exception)


GOOD = {
    "tenant": "north",
    "type": "Patient",
    "id": "p1",
    "versionId": "1",
    "lastUpdated": "2020-01-01T00:00:00.000Z",
    "method": "PUT",
    "resource": {"resourceType": "Patient", "id": "p1"},
}


async def taken(path):
    """Load a file's history into memory; gives the store and the tenants that it was told of."""
    memory, tenants = MemoryStore(), []

    async def tenant(name):
        tenants.append(name)

    [n async for n in moving.load(path, memory.import_versions, extract, tenant)]
    return memory, tenants


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": "Bad Tenant!/.."},
        {"tenant": "../north"},
        {"tenant": ""},
        {"type": "Observation"},
        {"type": "Nothing"},
        {"id": "other"},
        {"id": "a/b", "resource": {"resourceType": "Patient", "id": "a/b"}},
        {"versionId": "0"},
        {"versionId": "-1"},
        {"versionId": "1.0"},
        {"versionId": "9" * 30},
        {"lastUpdated": "2020"},
        {"lastUpdated": "2020-13-01T00:00:00Z"},
        {"method": "GET"},
        {"method": "DELETE"},
        {"resource": None},
        {"resource": [1, 2]},
        {"resource": "x"},
        {"resource": {"id": "p1"}},
        {"type": "Nothing", "method": "DELETE", "resource": None},
    ],
    ids=str,
)
async def test_a_line_that_no_store_could_have_held_is_refused_by_its_number(tmp_path, wrong):
    path = tmp_path / moving.FILE
    path.write_text(f"{json.dumps(GOOD)}\n")
    assert (await taken(path))[1] == ["north"]
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps(GOOD | wrong)}\n")
    with pytest.raises(moving.Unreadable, match="line 2 is no version") as refused:
        await taken(path)
    assert "Bad Tenant" not in str(refused.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (json.dumps(GOOD["resource"]), "it lacks what export --history writes: tenant, type, "),
        (json.dumps(GOOD | {"method": "Secret"}), "it lacks what export --history writes"),
        (json.dumps(GOOD)[:-20], "it is not JSON, or not to its end"),
        ("\udcff", "it is not JSON, or not to its end"),
        (json.dumps(GOOD | {"resource": "Secret"}), "its resource is none"),
        (json.dumps(GOOD | {"lastUpdated": "2020-13-01T00:00:00Z"}), "lastUpdated is no instant"),
    ],
)
async def test_the_reason_is_told_without_what_the_line_holds(tmp_path, line, reason):
    path = tmp_path / moving.FILE
    path.write_text(f"{line}\n", errors="surrogateescape")
    with pytest.raises(moving.Unreadable) as refused:
        await taken(path)
    assert str(refused.value).startswith(f"line 1 is no version: {reason}")
    assert "Secret" not in str(refused.value)


@pytest.mark.parametrize("harm", [slice(0, -20), slice(3, None)])
async def test_a_gz_that_is_harmed_is_refused(tmp_path, harm):
    path = tmp_path / f"{moving.FILE}.gz"
    path.write_bytes(gzip.compress(f"{json.dumps(GOOD)}\n".encode() * 50)[harm])
    with pytest.raises(moving.Unreadable, match="cannot be read to its end"):
        await taken(path)
