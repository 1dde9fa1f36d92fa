"""The server as a process: ready, drained, killed in the middle of writing."""

import asyncio
import json
import time
import urllib.request

import httpx
import psutil
import pytest
from served import Served

from fhir_server import app
from fhir_server.settings import load


def get(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def test_sigterm_drains_and_exits_0_and_the_data_stay(tmp_path):
    served = Served(tmp_path)
    body = {"resourceType": "Patient", "id": "p1"}
    httpx.put(f"{served.base}/Patient/p1", json=body).raise_for_status()
    assert served.stop() == 0
    again = Served(tmp_path)
    assert get(f"{again.base}/Patient/p1")["meta"]["versionId"] == "1"
    assert again.stop() == 0


def test_it_is_ready_in_time_and_small(tmp_path, record_property):
    begun = time.perf_counter()
    served = Served(tmp_path)
    seconds = time.perf_counter() - begun
    resident = psutil.Process(served.process.pid).memory_info().rss / 1e6
    readiness = get(served.base.removesuffix("/fhir") + "/readyz")
    served.stop()
    record_property("proof", f"start to ready {seconds:.2f} s, {resident:.0f} MB resident")
    assert readiness["ready"]
    assert resident < 150, "150 MB resident without torch is the budget"


async def create(base, acknowledged, started, count):
    """Create from many clients at once until the server is gone; keep what was acknowledged."""
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:

        async def one(number):
            while True:
                body = {
                    "resourceType": "Patient",
                    "identifier": [{"system": "urn:n", "value": f"{number}-{len(acknowledged)}"}],
                }
                try:
                    answer = await client.post(f"{base}/Patient", json=body)
                except httpx.TransportError:
                    return
                assert answer.status_code == 201
                acknowledged.append((answer.json()["id"], body["identifier"][0]["value"]))
                if len(acknowledged) > 100:
                    started.set()

        await asyncio.gather(*(one(n) for n in range(count)))


async def verified(data):
    settings, _ = load({"data": str(data), "auth": "open"}, {}, None)
    async with app.installation(settings, "http://x") as house:
        return list(await house.care.verify())


async def test_kill_9_amid_200_concurrent_creates_loses_nothing_acknowledged(
    tmp_path, size, record_property
):
    rounds, total = size(2, 20), 0
    for _ in range(rounds):
        served = Served(tmp_path)
        acknowledged, started = [], asyncio.Event()
        clients = asyncio.create_task(create(served.base, acknowledged, started, 200))
        await started.wait()
        served.kill()
        await clients
        assert await verified(tmp_path) == []
        again = Served(tmp_path)
        async with httpx.AsyncClient(base_url=again.base) as client:
            for id_, value in acknowledged:
                stored = (await client.get(f"/Patient/{id_}")).json()
                assert stored["identifier"][0]["value"] == value
            sample = acknowledged[-1][1]
            found = (await client.get("/Patient", params={"identifier": f"urn:n|{sample}"})).json()
            assert found["total"] >= 1
        assert again.stop() == 0
        total += len(acknowledged)
    record_property("proof", f"kill -9, {rounds} rounds: {total} acknowledged creates, none lost")


async def test_64_clients_race_one_conditional_create_over_http(tmp_path, record_property):
    served = Served(tmp_path)
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "1"}]}
    headers = {"If-None-Exist": "identifier=urn:mrn|1"}
    async with httpx.AsyncClient(timeout=60) as client:
        made = await asyncio.gather(
            *(client.post(f"{served.base}/Patient", json=body, headers=headers) for _ in range(64))
        )
        found = (await client.get(f"{served.base}/Patient?identifier=urn:mrn|1")).json()
    served.stop()
    assert sorted(m.status_code for m in made) == [200] * 63 + [201]
    assert found["total"] == 1
    record_property("proof", "64 clients race one conditional create: one resource")


def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path):
    first = Served(tmp_path / "a")
    with pytest.raises(AssertionError, match="cannot be listened on"):
        Served(tmp_path / "b", "--port", str(first.port))
    first.stop()


def test_open_access_is_refused_beyond_loopback(tmp_path):
    with pytest.raises(AssertionError, match="loopback"):
        Served(tmp_path, "--host", "0.0.0.0")


def test_without_a_token_smart_refuses_all_but_the_public_documents(tmp_path):
    served = Served(tmp_path, auth="smart")
    root = served.base.removesuffix("/fhir")
    statuses = {
        path: httpx.get(root + path).status_code
        for path in (
            "/fhir/Patient",
            "/fhir/Patient/x",
            "/fhir/_history",
            "/dicom-web/studies",
            "/fhir/metadata",
            "/fhir/.well-known/smart-configuration",
            "/livez",
        )
    }
    served.stop()
    assert list(statuses.values()) == [401, 401, 401, 401, 200, 200, 200]
