"""Bodies: limits, gzip in and out, CORS: http.html, RFC 9110."""

import gzip
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server import app, asgi
from fhir_server.http import content
from fhir_server.settings import load
from resources.outcome import Invalid, TooLarge

JSON = {"content-type": "application/fhir+json"}


@pytest.fixture(params=["open", "smart"])
async def client(request, tmp_path):
    flags = {"data": str(tmp_path), "auth": request.param, "max_body_bytes": "20000"}
    settings, _ = load(flags, {}, None)
    async with app.installation(settings, "http://test.example", serving=True) as house:
        transport = httpx.ASGITransport(asgi.application(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://test.example") as client:
            client.mode = request.param
            yield client


def large(n):
    return {"resourceType": "Patient", "name": [{"family": "x" * n}]}


async def sent(client, raw, **headers):
    return await client.post("/fhir/Patient", content=raw, headers={**JSON, **headers})


async def test_a_packed_body_is_unpacked_and_a_large_answer_packed(tmp_path):
    settings, _ = load({"data": str(tmp_path), "auth": "open"}, {}, None)
    async with app.installation(settings, "http://test.example", serving=True) as house:
        transport = httpx.ASGITransport(asgi.application(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://test.example") as client:
            raw = gzip.compress(json.dumps(large(9000)).encode())
            made = await sent(client, raw, **{"content-encoding": "gzip"})
            assert made.status_code == 201
            assert made.headers["content-encoding"] == "gzip"
            assert len(made.json()["name"][0]["family"]) == 9000
            plain = await sent(
                client, raw, **{"content-encoding": "gzip", "accept-encoding": "identity"}
            )
            assert "content-encoding" not in plain.headers


async def test_limits_hold_before_and_after_unpacking(tmp_path):
    flags = {"data": str(tmp_path), "auth": "open", "max_body_bytes": "20000"}
    settings, _ = load(flags, {}, None)
    async with app.installation(settings, "http://test.example", serving=True) as house:
        transport = httpx.ASGITransport(asgi.application(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://test.example") as client:
            too_large = json.dumps(large(30_000)).encode()
            packed = gzip.compress(too_large)
            assert (await sent(client, too_large)).status_code == 413
            assert (await sent(client, packed, **{"content-encoding": "gzip"})).status_code == 413
            cut = gzip.compress(json.dumps(large(10)).encode())[:-9]
            assert (await sent(client, cut, **{"content-encoding": "gzip"})).status_code == 400
            assert (await sent(client, b"{}", **{"content-encoding": "gzip"})).status_code == 400
            assert (await sent(client, b"{}", **{"content-encoding": "br"})).status_code == 415


async def test_apps_of_other_origins_may_call_where_a_token_is_needed_and_only_loopback_else(
    client,
):
    for path in ("/fhir/metadata", "/fhir/Patient", "/livez"):
        far = await client.get(path, headers={"origin": "https://app.example"})
        near = await client.get(path, headers={"origin": "http://localhost:3000"})
        allowed = far.headers.get("access-control-allow-origin")
        assert (allowed is not None) == (client.mode == "smart"), path
        assert near.headers["access-control-allow-origin"] == "http://localhost:3000", path
    asked = {
        "origin": "https://app.example",
        "access-control-request-method": "PUT",
        "access-control-request-headers": "authorization",
    }
    preflight = await client.options("/fhir/Patient/1", headers=asked)
    assert (preflight.status_code == 200) == (client.mode == "smart")


async def test_a_request_id_is_echoed_and_a_harmful_one_replaced(client):
    kept = await client.get("/fhir/metadata", headers={"x-request-id": "abc-1"})
    assert kept.headers["x-request-id"] == "abc-1"
    replaced = await client.get("/fhir/metadata", headers={"x-request-id": "a b<script>"})
    assert replaced.headers["x-request-id"] != "a b<script>"


@given(st.binary(max_size=300))
def test_unpacking_anything_gives_bytes_or_a_refusal(raw):
    try:
        body = content._unpacked(raw, 100)
    except (Invalid, TooLarge):
        body = b""
    assert len(body) <= 100


def test_members_follow_one_another_and_nothing_of_them_is_lost():
    raw = gzip.compress(b"hello ") + gzip.compress(b"world")
    assert content._unpacked(raw, 11) == b"hello world"
    with pytest.raises(TooLarge):
        content._unpacked(raw, 10)
    with pytest.raises(Invalid):
        content._unpacked(raw + b"more", 100)
    with pytest.raises(TooLarge):
        content._unpacked(gzip.compress(b"") * 10_001, 100)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("", False),
        ("*", True),
        ("br", False),
        ("*;q=0, gzip", True),
        ("gzip, *;q=0", True),
        ("gzip;q=0, *", False),
        ("*, gzip ; q = 0.000", False),
        ("*;q=0", False),
        ("x-gzip", True),
        ("identity", False),
    ],
)
def test_accept_encoding_is_read_with_its_quality(header, wanted):
    assert content.wants_gzip({"accept-encoding": header}) is wanted
