"""A backup made amid writes, put back elsewhere, and what is refused."""

import asyncio
import base64
import hashlib
import itertools
import json

import apsw
import dicomweb
import httpx
import pytest
import stored
from served import Served

from dicomweb_bridge.archive.port import Query
from fhir_server import app, backup
from fhir_server.cli import main
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import load
from smart_auth.keys import KeyRing
from smart_auth.operator_token import OperatorToken, mint

WRITERS = 20


def settings_of(folder, store=None):
    given = {"data": str(folder), "mllp_port": "off"} | ({"store": store} if store else {})
    settings, _ = load(given, {}, None)
    return settings


@pytest.fixture(params=["sqlite", "mongodb"])
def place(request):
    """Gives settings of a folder, with a store of its own where that is elsewhere."""
    urls = []

    def settings(folder):
        if request.param == "sqlite":
            return settings_of(folder)
        urls.append(stored.named(request.getfixturevalue("mongo_url")))
        return settings_of(folder, urls[-1])

    yield settings
    for url in urls:
        asyncio.run(stored.drop(url))


async def versions(house):
    """Give every version there is, in order."""
    store, found = house.services.store, []
    last = await store.position()
    if last:
        async for version in store.changes(0):
            found.append(version)
            if version.position >= last:
                break
    return found


async def write(house, number):
    """Update one resource and create others until cancelled."""
    context = house.ours("default")
    for turn in itertools.count():
        body = {"resourceType": "Patient", "id": f"w{number}", "name": [{"family": f"F{turn}"}]}
        request = FhirRequest("PUT", f"Patient/w{number}", body=json.dumps(body).encode())
        await dispatch(context, request)
        basic = {"resourceType": "Basic", "code": {"text": f"{number}"}}
        await dispatch(context, FhirRequest("POST", "Basic", body=json.dumps(basic).encode()))
        if number == 0:
            data = base64.b64encode(bytes([turn % 256]) * 400_000).decode()
            binary = {"resourceType": "Binary", "id": "b", "contentType": "a/b", "data": data}
            request = FhirRequest("PUT", "Binary/b", body=json.dumps(binary).encode())
            await dispatch(context, request)


async def scan(house, study):
    """Store and describe instance after instance until cancelled."""
    for number in itertools.count(1):
        file = dicomweb.ct(study=study, number=number)
        await dicomweb.store(house.archive, file)
        await house.ingest.describe("default", f"{dicomweb.ROOT}.{study}")


@pytest.fixture
async def made(tmp_path, place):
    """A backup made while twenty clients write and two scanners store; what was there, and where."""
    settings = place(tmp_path / "data")
    async with app.installation(settings, "http://localhost", serving=True) as house:
        working = [asyncio.create_task(write(house, n)) for n in range(WRITERS)]
        working += [asyncio.create_task(scan(house, study)) for study in (1, 2)]
        try:
            await asyncio.sleep(0.7)
            before = await house.services.store.position()
            manifest = await backup.make(house, tmp_path / "backup")
            async with asyncio.timeout(30):  # the writers have gone on
                while await house.services.store.position() <= manifest.position:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        assert before <= manifest.position
        whole = await versions(house)
    return tmp_path, manifest, [v for v in whole if v.position <= manifest.position]


async def test_a_backup_amid_writes_holds_all_up_to_its_position_and_nothing_else(made, place):
    folder, manifest, expected = made
    restored = place(folder / "restored")
    assert (await backup.restore(folder / "backup", restored)).position == manifest.position
    async with app.installation(restored, "http://localhost", serving=True) as house:
        assert await versions(house) == expected
        assert await house.care.verify() == []
        assert await house.kept.verify(["default"]) == []
        assert await house.archive.verify() == []
        await house.ingest.reconcile()
        found = await house.archive.find("default", Query("instance", limit=1000))
        assert found
        for study in (1, 2):
            instances = sum(record.where.study == f"{dicomweb.ROOT}.{study}" for record in found)
            query = (("identifier", f"urn:dicom:uid|urn:oid:{dicomweb.ROOT}.{study}"),)
            request = FhirRequest("GET", "ImagingStudy", query)
            bundle = json.loads((await dispatch(house.ours("default"), request)).body)
            told = sum(e["resource"]["numberOfInstances"] for e in bundle.get("entry", []))
            assert told == instances


async def test_what_is_damaged_lost_or_in_the_way_is_refused_and_leaves_nothing(made, place):
    folder, manifest, _ = made
    restored, copy = place(folder / "restored"), folder / "backup"
    restored.data.mkdir()
    (restored.data / "mine").touch()
    with pytest.raises(backup.Refused, match="not empty"):
        await backup.restore(copy, restored)
    (restored.data / "mine").unlink()
    image = next(name for name in manifest.files if name.endswith(".dcm"))
    whole = (copy / image).read_bytes()
    (copy / image).write_bytes(whole[:-1] + b"x")
    with pytest.raises(backup.Refused, match="damaged"):
        await backup.restore(copy, restored)
    (copy / image).unlink()
    with pytest.raises(backup.Refused, match="lost"):
        await backup.restore(copy, restored)
    (copy / backup.MANIFEST).unlink()
    with pytest.raises(backup.Refused, match="no manifest"):
        await backup.restore(copy, restored)
    assert sorted(path.name for path in folder.iterdir()) == ["backup", "data", "restored"]
    assert list(restored.data.iterdir()) == []


@pytest.mark.parametrize("keys", [True, False], ids=["with keys", "without"])
async def test_tokens_work_after_it_if_the_keys_were_in_it(tmp_path, keys):
    first, second = settings_of(tmp_path / "data"), settings_of(tmp_path / "restored")
    async with app.installation(first, "http://localhost") as house:
        token = mint(KeyRing(first.data / "keys"), OperatorToken("system/*.rs"))
        manifest = await backup.make(house, tmp_path / "backup", keys=keys)
    assert any(name.startswith("keys/") for name in manifest.files) is keys
    await backup.restore(tmp_path / "backup", second)
    async with app.installation(second, "http://localhost") as house:
        asked = house.authorizer.access("default", {"authorization": f"Bearer {token}"})
        if keys:
            assert (await asked).unlimited("Patient", "r")
            assert all(not f.stat().st_mode & 0o077 for f in (second.data / "keys").glob("*.pem"))
        else:
            with pytest.raises(Exception, match="token"):
                await asked


async def test_commands_back_up_beside_a_server_and_restore(tmp_path):
    served = Served(tmp_path / "data")
    try:
        await asyncio.to_thread(_put, served.base)
        data, copy = ("--data", str(served.data)), str(tmp_path / "backup")
        assert await asyncio.to_thread(main, ["backup", copy, *data]) == 0
        assert await asyncio.to_thread(main, ["backup", copy, *data]) == 1
        assert await asyncio.to_thread(main, ["restore", copy, *data]) == 1
    finally:
        assert served.stop() == 0
    restored = ("--data", str(tmp_path / "restored"))
    assert await asyncio.to_thread(main, ["restore", copy, *restored]) == 0
    assert await asyncio.to_thread(main, ["check", *restored]) == 0
    again = Served(tmp_path / "restored")
    assert await asyncio.to_thread(_get, again.base)
    assert again.stop() == 0


def _put(base):
    httpx.put(f"{base}/Patient/p", json={"resourceType": "Patient", "id": "p"}).raise_for_status()


def _get(base):
    return httpx.get(f"{base}/Patient/p").is_success


def test_a_newer_schema_is_refused(tmp_path, capsys):
    copy, restored = tmp_path / "backup", tmp_path / "restored"
    assert main(["tenant", "add", "north", "--data", str(tmp_path / "data")]) == 0
    assert main(["backup", str(copy), "--data", str(tmp_path / "data")]) == 0
    file = copy / "store.sqlite"
    connection = apsw.Connection(str(file))
    connection.pragma("user_version", 99)
    connection.close()
    manifest = json.loads((copy / backup.MANIFEST).read_bytes())
    told = manifest["files"]["store.sqlite"]
    assert told["sha256"] != hashlib.sha256(file.read_bytes()).hexdigest()
    told["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (copy / backup.MANIFEST).write_text(json.dumps(manifest))
    assert main(["restore", str(copy), "--data", str(restored)]) == 2
    assert "newer version" in capsys.readouterr().err
    assert not restored.exists()


async def test_check_tells_what_is_wrong_in_store_and_archive(tmp_path, capsys):
    settings = settings_of(tmp_path / "data")
    async with app.installation(settings, "http://localhost", serving=True) as house:
        await dicomweb.store(house.archive, dicomweb.ct())
    (image,) = settings.data.rglob("*.dcm")
    image.write_bytes(b"x")
    assert await asyncio.to_thread(main, ["check", "--data", str(settings.data)]) == 1
    assert "damaged file" in capsys.readouterr().out
