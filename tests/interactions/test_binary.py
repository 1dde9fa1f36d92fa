"""Binary: large contents beside the store, raw contents over HTTP, who may read them."""

import asyncio
import base64
import gzip
import json
import os
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from fhir_server import app, asgi
from fhir_server.access import LETTERS, Access, Grant
from fhir_server.http import spool
from fhir_server.interactions import binary
from fhir_server.message import FhirRequest
from fhir_server.settings import load
from fhir_server.store import out_of_line
from fhir_server.store.memory import MemoryStore
from fhir_server.store.mongo.store import MongoStore
from fhir_server.store.out_of_line import OutOfLine
from fhir_server.store.port import NotKept, Page, Scope
from fhir_server.store.sqlite.blobs import FileBlobs

PDF = {"Accept": "application/pdf"}
FHIR = {"Accept": "application/fhir+json"}


@pytest.fixture
def settings(tmp_path):
    made, _ = load({"data": str(tmp_path), "mllp_port": "off", "auth": "open"}, {}, None)
    return made


@pytest.fixture
async def house(settings):
    async with app.installation(settings, "http://test.example") as made:
        yield made


@pytest.fixture
async def client(house):
    transport = httpx.ASGITransport(asgi.application(house))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test.example/fhir", timeout=60
    ) as made:
        yield made


@pytest.fixture
async def door(door, tmp_path):
    """The door of every interaction test, over a store with large contents beside it."""
    inner = door.context.services.store
    blobs = getattr(inner, "contents", FileBlobs(tmp_path / "blobs"))
    kept = OutOfLine(inner, inner, blobs, large=1000)
    services = replace(door.context.services, store=kept, purge=kept.purge)
    return type(door)(replace(door.context, services=services))


def resource(data, id_="b", **more):
    encoded = base64.b64encode(data).decode()
    whole = {"resourceType": "Binary", "id": id_, "contentType": "application/pdf"}
    return whole | {"data": encoded} | more


async def contents(door, folder):
    """Give the SHA-256 of the contents that lie outside: in files, or in collections of their own."""
    inner = door.context.services.store._store
    if isinstance(inner, MongoStore):
        return {one["id"] for one in await inner._database["contents"].find().to_list()}
    return {path.name for path in (folder / "blobs").glob("*/??/*")}


async def damage(door, folder, data):
    """Replace the bytes of the only content, or remove them."""
    inner = door.context.services.store._store
    if isinstance(inner, MongoStore):
        pieces = inner._database["pieces"]
        await (pieces.update_one({}, {"$set": {"data": data}}) if data else pieces.delete_many({}))
        return
    (file,) = (folder / "blobs").glob("*/??/*")
    file.write_bytes(data) if data else file.unlink()


async def inside(door):
    """Give what the store itself holds of all versions, newest first."""
    versions = await door.context.services.store._store.history(Scope("default"), Page(100))
    return [version.body for version in versions]


async def test_a_large_content_lies_beside_the_store_and_comes_back_whole(door, tmp_path):
    data = os.urandom(5000)
    sent = resource(data, meta={"tag": [{"code": "x"}]})
    answered = await door.give("PUT", "Binary/b", sent)
    assert len(await contents(door, tmp_path)) == 1
    assert all(len(body) < 400 for body in await inside(door))
    read = await door.give("GET", "Binary/b")
    assert answered == read
    assert read["data"] == sent["data"]
    assert await door.give("GET", "Binary/b/_history/1") == read
    bundle = await door.give("GET", "Binary/b/_history")
    assert bundle["entry"][0]["resource"] == read
    found = await door.give("GET", "Binary?_id=b")
    assert found["entry"][0]["resource"] == read
    entry = {"fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "resource": sent}
    entry["request"] = {"method": "PUT", "url": "Binary/b"}
    await door.give("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert (await door.give("GET", "Binary/b"))["meta"]["versionId"] == "2"
    assert len(await contents(door, tmp_path)) == 1


async def test_small_contents_and_odd_base64_stay_as_they_are(door, tmp_path):
    await door.give("PUT", "Binary/s", resource(b"x" * 900, "s"))
    assert (await door.give("GET", "Binary/s"))["data"] == resource(b"x" * 900)["data"]
    odd = resource(b"")["data"] + "QUJD" * 500 + "QUI="
    odd = odd[:-2] + "J="  # bits beyond the last byte: another text for the same bytes
    response = await door.call("PUT", "Binary/o", {**resource(b"", "o"), "data": odd})
    assert response.status in {201, 400, 422}
    if response.status == 201:
        assert (await door.give("GET", "Binary/o"))["data"] == odd
    assert await contents(door, tmp_path) == set()


async def test_nobody_reads_another_s_content_by_naming_its_hash(door, tmp_path):
    await door.give("PUT", "Binary/b", resource(os.urandom(5000)))
    (sha256,) = await contents(door, tmp_path)
    stolen = {**resource(b"", "thief"), "data": f"blob:{sha256}"}
    assert (await door.call("PUT", "Binary/thief", stolen)).status in {400, 422}


async def test_a_purge_removes_contents_that_no_version_names_any_more(door, tmp_path):
    shared, gone, now = (os.urandom(2000) for _ in range(3))
    await door.give("PUT", "Binary/other", resource(shared, "other"))
    for data in (shared, gone, now):
        await door.give("PUT", "Binary/b", resource(data))
    assert len(await contents(door, tmp_path)) == 3
    key = door.context.services.store
    (version, *_) = await key.history(Scope("default", "Binary", "b"), Page(10))
    assert await door.context.services.purge(version.key) == 2
    assert len(await contents(door, tmp_path)) == 2
    assert (await door.give("GET", "Binary/b"))["data"] == resource(now)["data"]
    assert (await door.give("GET", "Binary/other"))["data"] == resource(shared)["data"]


async def test_lost_and_damaged_contents_are_told(tmp_path, door):
    await door.give("PUT", "Binary/b", resource(os.urandom(5000)))
    store = door.context.services.store
    assert await store.verify(["default"]) == []
    await damage(door, tmp_path, b"x" * 5000)
    (fault,) = await store.verify(["default"])
    assert fault.endswith("damaged.")
    await damage(door, tmp_path, b"")
    (fault,) = await store.verify(["default"])
    assert fault.endswith("lost.")


async def test_erasing_waits_until_what_is_being_kept_is_committed(tmp_path):
    blobs, order = FileBlobs(tmp_path), []

    async def erase():
        async with blobs.erasing():
            order.append("erased")

    async with blobs.keeping(), blobs.keeping():
        waiting = asyncio.create_task(erase())
        await asyncio.sleep(0.05)
        order.append("kept")
    await waiting
    assert order == ["kept", "erased"]


async def test_versions_with_large_contents_move_from_store_to_store(tmp_path, door):
    from fhir_server import moving

    await door.give("PUT", "Binary/b", resource(os.urandom(5000)))
    before = await door.context.services.store.history(Scope("default"), Page(10))
    [n async for n in moving.export(door.context.services.store, tmp_path)]
    inner = MemoryStore()
    second = OutOfLine(inner, inner, FileBlobs(tmp_path / "second"), large=1000)

    async def ignore(_):
        return

    def extract(*_):
        from fhir_server.search.values import no_values

        return no_values()

    file = tmp_path / moving.FILE
    [n async for n in moving.load(file, second.import_versions, extract, ignore)]
    assert await second.history(Scope("default"), Page(10)) == before
    assert len(list((tmp_path / "second").glob("*/??/*"))) == 1


async def test_a_read_that_names_no_resource_type_gives_the_content(client):
    data = os.urandom(out_of_line.LARGE + 1)
    await client.put("/Binary/b", json=resource(data))
    for accept in ("application/pdf", "image/png, */*;q=0.8", "*/*", "text/html"):
        got = await client.get("/Binary/b", headers={"Accept": accept})
        assert (got.status_code, got.content) == (200, data)
        assert got.headers["content-type"] == "application/pdf"
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["content-security-policy"] == "sandbox"
        assert got.headers["etag"] == 'W/"1"'
    assert (await client.get("/Binary/b/_history/1", headers=PDF)).content == data
    assert (
        await client.get("/Binary/b", headers=PDF | {"If-None-Match": 'W/"1"'})
    ).status_code == 304
    head = await client.head("/Binary/b", headers=PDF | {"Accept-Encoding": "identity"})
    assert head.headers["content-length"] == str(len(data))


async def test_a_read_that_names_a_resource_type_gives_the_resource(client):
    await client.put("/Binary/b", json=resource(b"abc"))
    for url, headers in (
        ("/Binary/b", FHIR),
        ("/Binary/b", {"Accept": "application/json"}),
        ("/Binary/b?_format=json", PDF),
        ("/Binary/b", {"Accept": "text/html, application/fhir+json;q=0.1"}),
    ):
        got = await client.get(url, headers=headers)
        assert got.json()["data"] == "YWJj", (url, headers)
    xml = await client.get("/Binary/b", headers={"Accept": "application/fhir+xml"})
    assert xml.text.startswith("<?xml") or xml.text.startswith("<Binary")
    assert (await client.get("/Binary", headers=FHIR)).json()["resourceType"] == "Bundle"
    assert (await client.get("/Binary", headers=PDF)).status_code == 406
    gone = await client.get("/Binary/nobody", headers=PDF)
    assert (gone.status_code, gone.json()["resourceType"]) == (404, "OperationOutcome")


async def test_accept_weighs_the_content_against_its_resource(client):
    await client.put("/Binary//b", content=b"abc", headers={"Content-Type": "text/plain"})
    for accept, is_content in (
        ("application/fhir+json;q=0.1, text/plain", True),
        ("application/fhir+json;q=0, */*", True),
        ("application/fhir+json;q=0.1, image/png", False),
        ("application/fhir+json, text/plain;q=0.5", False),
        ("text/plain", True),
    ):
        for url in ("/Binary/b", "/Binary//b", "/Binary//b/_history//1"):
            got = await client.get(url, headers={"Accept": accept})
            assert got.status_code == 200
            assert (got.content == b"abc") is is_content, (accept, url)
    assert (await client.get("/Binary/b", headers=FHIR)).json()["id"] == "b"


async def refused_for_want_of_room(client, data):
    """Send a content and see that it is refused, and that nothing of it is there."""
    for method, url in (("PUT", "/Binary/b"), ("POST", "/Binary")):
        refused = await client.request(
            method, url, content=data, headers={"Content-Type": "application/pdf"}
        )
        assert refused.status_code == 503
        assert refused.json()["issue"][0]["code"] == "transient"
        assert "nothing was stored" in refused.json()["issue"][0]["diagnostics"]
    assert (await client.get("/Binary", headers=FHIR)).json()["total"] == 0
    assert (await client.get("/Binary/b", headers=FHIR)).status_code == 404


async def test_a_content_that_finds_the_disk_full_is_refused_and_nothing_stored(
    client, monkeypatch
):
    opened = []

    def full(**_folder):
        opened.append(Path("/dev/full").open("w+b"))  # noqa: SIM115 - closed by what is tested
        return opened[-1]

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    await refused_for_want_of_room(client, bytes(out_of_line.LARGE * 8))
    assert opened
    assert all(file.closed for file in opened)


async def test_a_content_whose_folder_cannot_be_written_is_refused_and_nothing_stored(
    client, settings
):
    (settings.data / "blobs").write_bytes(b"in the way")
    data = bytes(out_of_line.LARGE + 1)
    await refused_for_want_of_room(client, data)
    for wrapped in (resource(data), transaction(resource(data))):
        place = "/Binary/b" if wrapped["resourceType"] == "Binary" else ""
        method = "PUT" if place else "POST"
        refused = await client.request(method, place or "/", json=wrapped)
        assert refused.status_code == 503
    assert (await client.get("/Binary/b", headers=FHIR)).status_code == 404


def transaction(held):
    """Give a transaction that puts one resource."""
    request = {"method": "PUT", "url": f"Binary/{held['id']}"}
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": held, "request": request}],
    }


async def test_a_spool_without_a_folder_is_refused(tmp_path):
    async def receive():
        return {"type": "http.request", "body": bytes(out_of_line.LARGE + 1), "more_body": False}

    with pytest.raises(NotKept):
        await spool.read(receive, {}, 1 << 30, tmp_path / "missing")


async def test_a_content_is_stored_under_the_media_type_it_comes_with(client):
    data = os.urandom(3000)
    sent = {"Content-Type": "image/png", "X-Security-Context": "Patient/1"}
    made = await client.post("/Binary", content=data, headers=sent)
    assert made.status_code == 201
    where = made.headers["location"].split("/_history")[0].removeprefix("http://test.example/fhir")
    whole = (await client.get(where, headers=FHIR)).json()
    assert whole["contentType"] == "image/png"
    assert whole["securityContext"] == {"reference": "Patient/1"}
    assert base64.b64decode(whole["data"]) == data
    put = await client.put(
        "/Binary/t", content=b"text", headers={"Content-Type": "text/plain; charset=utf-8"}
    )
    assert put.status_code == 201
    got = await client.get("/Binary/t", headers={"Accept": "text/plain"})
    assert (got.text, got.headers["content-type"]) == ("text", "text/plain; charset=utf-8")
    refused = await client.post("/Patient", content=data, headers={"Content-Type": "image/png"})
    assert refused.status_code == 415


async def test_a_part_of_a_content_is_given_on_request(client):
    await client.put("/Binary/b", content=b"0123456789", headers={"Content-Type": "image/png"})
    whole = await client.get("/Binary/b", headers=PDF)
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    for asked, content, told in (
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=8-", b"89", "bytes 8-9/10"),
        ("bytes=-4", b"6789", "bytes 6-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("Bytes=0-1", b"01", "bytes 0-1/10"),  # RFC 9110 14.1: units whatever their case
    ):
        part = await client.get("/Binary/b", headers=PDF | {"Range": asked})
        assert (part.status_code, part.content) == (206, content), asked
        assert part.headers["content-range"] == told
        assert part.headers["content-type"] == "image/png"


async def test_a_range_that_is_not_understood_or_not_safe_gives_the_whole(client):
    await client.put("/Binary/b", content=b"0123456789", headers={"Content-Type": "image/png"})
    for more in (
        {"Range": "bytes=0-1,4-5"},
        {"Range": "bytes=5-2"},
        {"Range": "bytes=-"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=x-2"},
        {"Range": "bytes=0-1", "If-Range": 'W/"1"'},
    ):
        got = await client.get("/Binary/b", headers=PDF | more)
        assert (got.status_code, got.content) == (200, b"0123456789"), more
    head = await client.head("/Binary/b", headers=PDF | {"Range": "bytes=0-1"})
    assert (head.status_code, head.headers["content-length"]) == (200, "10")
    same = {"If-None-Match": 'W/"1"', "Range": "bytes=0-1"}
    assert (await client.get("/Binary/b", headers=PDF | same)).status_code == 304
    resource_ = await client.get("/Binary/b", headers=FHIR | {"Range": "bytes=0-1"})
    assert resource_.json()["resourceType"] == "Binary"


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=-0", "bytes=99-100"])
async def test_a_range_beyond_the_content_is_416(client, asked):
    await client.put("/Binary/b", content=b"0123456789", headers={"Content-Type": "image/png"})
    got = await client.get("/Binary/b", headers=PDF | {"Range": asked})
    assert (got.status_code, got.headers["content-range"]) == (416, "bytes */10")
    assert got.json()["resourceType"] == "OperationOutcome"


async def test_only_contents_that_are_text_are_packed(client):
    for kind, packed in (("text/plain", True), ("application/pdf", False), ("a/b+xml", True)):
        await client.put("/Binary/b", content=b"x" * 9000, headers={"Content-Type": kind})
        got = await client.get("/Binary/b", headers=PDF | {"Accept-Encoding": "gzip"})
        assert (got.headers.get("content-encoding") == "gzip") == packed, kind
        assert got.content == b"x" * 9000


async def test_a_large_content_comes_packed_and_goes_within_every_form(client):
    data = os.urandom(out_of_line.LARGE) + bytes(out_of_line.LARGE + 1)
    sent = {"Content-Type": "application/pdf", "Content-Encoding": "gzip"}
    outcome = {"Prefer": "return=OperationOutcome"}
    members = gzip.compress(data[:300_000]) + gzip.compress(data[300_000:])
    made = await client.put("/Binary/b", content=members, headers=sent | outcome)
    assert made.status_code == 201
    assert {issue["severity"] for issue in made.json()["issue"]} == {"information"}
    assert (await client.get("/Binary/b", headers=PDF)).content == data
    pretty = await client.get("/Binary/b?_pretty=true", headers=FHIR)
    assert base64.b64decode(pretty.json()["data"]) == data
    assert b"\n" in pretty.content
    xml = await client.get("/Binary/b?_format=xml")
    assert base64.b64encode(data) in xml.content
    for query in ("_elements=contentType", "_summary=true"):
        for accept in ("*/*", "application/pdf;q=0.1, application/fhir+json"):
            shown = await client.get(f"/Binary/b?{query}", headers={"accept": accept})
            assert shown.json()["meta"]["tag"][0]["code"] == "SUBSETTED"
        refused = await client.get(f"/Binary/b?{query}", headers={"accept": "application/pdf"})
        assert refused.status_code == 406
    part = await client.get("/Binary/b?_elements=contentType", headers=FHIR)
    assert part.json().get("data") is None


async def test_a_content_over_the_limit_is_refused_however_it_comes(tmp_path):
    flags = {"data": str(tmp_path), "auth": "open", "max_body_bytes": "1000000"}
    settings, _ = load(flags, {}, None)
    async with app.installation(settings, "http://test.example") as house:
        transport = httpx.ASGITransport(asgi.application(house))
        base = "http://test.example/fhir"
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            kind = {"Content-Type": "application/pdf"}
            for data, more in (
                (bytes(1_000_001), {}),
                (gzip.compress(bytes(1_000_001)), {"Content-Encoding": "gzip"}),
            ):
                got = await client.post("/Binary", content=data, headers=kind | more)
                assert got.status_code == 413
            cut = gzip.compress(os.urandom(400_000))[:-9]
            packed = kind | {"Content-Encoding": "gzip"}
            assert (await client.post("/Binary", content=cut, headers=packed)).status_code == 400
            assert (await client.get("/Binary", headers=FHIR)).json().get("entry", []) == []


async def test_who_may_read_is_the_same_where_the_content_is_left_out(door):
    kept = door.context.services.store
    for id_ in ("mine", "other"):
        await door.give("PUT", f"Patient/{id_}", {"resourceType": "Patient", "id": id_})
        secured = {"securityContext": {"reference": f"Patient/{id_}"}}
        await door.give("PUT", f"Binary/{id_}", resource(os.urandom(2000), id_, **secured))
    services = replace(door.context.services, store=kept.marked)
    apart = type(door)(replace(door.context, services=services))
    app_ = apart.as_(Access("app", (Grant("*", frozenset(LETTERS), patient="mine"),)))
    read = await app_.call("GET", "Binary/mine")
    assert (read.status, len(read.body) < 400) == (200, True)
    assert (await kept.content("default", read.body)).size == 2000
    assert (await app_.call("GET", "Binary/mine/_history/1")).status == 200
    assert (await app_.call("GET", "Binary/other")).status == 404
    assert (await app_.call("GET", "Binary/other/_history/1")).status == 404


async def test_a_stored_media_type_cannot_add_headers():
    answered = json.dumps(resource(b"x") | {"contentType": "text/html\r\nSet-Cookie: a=b"})
    from fhir_server.message import FhirResponse

    given = await binary.raw(FhirResponse(200, answered.encode()), lambda _media_type: True)
    assert given.media_type == "application/octet-stream"
    assert not binary.may_be_raw(FhirRequest("GET", "Binary/$purge", (), PDF))
    assert not binary.may_be_raw(FhirRequest("GET", "Patient/1", (), PDF))


async def test_who_may_read_what_secures_a_binary_may_read_the_binary(door):
    for id_ in ("mine", "other"):
        await door.give("PUT", f"Patient/{id_}", {"resourceType": "Patient", "id": id_})
        document = {
            "resourceType": "DocumentReference",
            "id": id_,
            "status": "current",
            "subject": {"reference": f"Patient/{id_}"},
            "content": [{"attachment": {"url": f"Binary/{id_}"}}],
        }
        await door.give("PUT", f"DocumentReference/{id_}", document)
        secured = {"securityContext": {"reference": f"DocumentReference/{id_}"}}
        await door.give("PUT", f"Binary/{id_}", resource(os.urandom(2000), id_, **secured))
    await door.give("PUT", "Binary/open", resource(b"x", "open"))
    app_ = door.as_(Access("app", (Grant("*", frozenset(LETTERS), patient="mine"),)))
    assert (await app_.call("GET", "Binary/mine")).status == 200
    assert (await app_.call("GET", "Binary/mine/_history/1")).status == 200
    assert (await app_.call("GET", "Binary/other")).status == 404
    assert (await app_.call("GET", "Binary/other/_history/1")).status == 404
    assert (await app_.call("GET", "Binary/open")).status == 404
    assert (await app_.call("DELETE", "Binary/mine")).status in {403, 404}
    only = door.as_(Access("app", (Grant("Binary", frozenset("rs"), patient="mine"),)))
    assert (await only.call("GET", "Binary/mine")).status == 404
    await door.give("PUT", "Binary/mine", resource(b"y", "mine"))
    assert (await app_.call("GET", "Binary/mine")).status == 200, "its owner is hers"
    assert (await app_.call("GET", "Binary/mine/_history/2")).status == 200
    document["subject"] = {"reference": "Patient/mine"}
    document |= {"id": "mine", "content": [{"attachment": {"url": "Binary/none"}}]}
    await door.give("PUT", "DocumentReference/mine", document)
    assert (await app_.call("GET", "Binary/mine")).status == 404
