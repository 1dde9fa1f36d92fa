"""Several processes on one socket: one store, one archive, one of them dead, all of them drained."""

import asyncio
import os
import signal
import socket
import time
import uuid

import dicomweb
import httpx
import psutil
import pytest
from served import Served

from fhir_server import channel
from fhir_server.settings import Settings, load

DICOM = 'multipart/related; type="application/dicom"; boundary=part'


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    made = Served(tmp_path_factory.mktemp("several"), "--workers", "2")
    yield made
    if made.process.poll() is None:
        made.stop()


@pytest.fixture
async def clients(served):
    """A hundred connections, each to whichever process took it."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=served.base, limits=limits, timeout=60) as client:
        yield client


@pytest.fixture
async def afresh(served):
    """Each request on a connection of its own, to whichever process took it."""
    headers = {"Connection": "close"}
    async with httpx.AsyncClient(base_url=served.base, headers=headers, timeout=60) as client:
        yield client


def workers(served):
    return psutil.Process(served.process.pid).children()


def answering(served):
    """Tell how many connections each worker has."""
    return [
        sum(c.status == "ESTABLISHED" for c in worker.net_connections("tcp4"))
        for worker in workers(served)
    ]


async def until(client, served, wanted):
    """Wait until readiness is as wanted, and give it."""
    url = served.base.removesuffix("/fhir") + "/readyz"
    end = time.monotonic() + 60
    while not wanted(found := (await client.get(url)).json()):
        assert time.monotonic() < end, found
        await asyncio.sleep(0.05)
    return found


async def test_100_clients_race_one_conditional_create_through_two_processes(served, clients):
    body = {"resourceType": "Patient", "identifier": [{"system": "urn:race", "value": "1"}]}
    headers = {"If-None-Exist": "identifier=urn:race|1"}
    made = await asyncio.gather(
        *(clients.post("/Patient", json=body, headers=headers) for _ in range(100))
    )
    assert sorted(one.status_code for one in made) == [200] * 99 + [201]
    assert len({one.json()["id"] for one in made}) == 1
    assert min(answering(served)) > 0, "both processes took part"
    found = (await clients.get("/Patient?identifier=urn:race|1")).json()
    assert found["total"] == 1


async def test_of_racing_version_aware_updates_one_wins(clients):
    body = {"resourceType": "Patient", "id": "aware"}
    assert (await clients.put("/Patient/aware", json=body)).status_code == 201
    for version in (1, 2, 3):
        headers = {"If-Match": f'W/"{version}"'}
        raced = await asyncio.gather(
            *(clients.put("/Patient/aware", json=body, headers=headers) for _ in range(60))
        )
        assert sorted(one.status_code for one in raced) == [200] + [412] * 59
        assert (await clients.get("/Patient/aware")).json()["meta"]["versionId"] == str(version + 1)


async def test_what_one_process_wrote_the_other_reads_at_once(afresh):
    for number in range(40):
        body = {"resourceType": "Basic", "id": f"b{number}", "code": {"text": "x"}}
        assert (await afresh.put(f"/Basic/b{number}", json=body)).status_code == 201
        assert (await afresh.get(f"/Basic/b{number}")).status_code == 200
        assert (await afresh.get(f"/Basic?_id=b{number}")).json()["total"] == 1


async def test_instances_of_one_study_sent_to_both_processes_make_one_whole_study(served, afresh):
    root, count = served.base.removesuffix("/fhir") + "/dicom-web", 24

    async def stow(number):
        file = dicomweb.ct(study=77, series=number % 3, number=number)
        frame = b"--part\r\nContent-Type: application/dicom\r\n\r\n%b\r\n--part--\r\n" % file
        headers = {"Content-Type": DICOM, "Accept": "application/dicom+json"}
        return await afresh.post(f"{root}/studies", content=frame, headers=headers)

    answered = await asyncio.gather(*(stow(number) for number in range(count)))
    assert [one.status_code for one in answered] == [200] * count
    uid = f"{dicomweb.ROOT}.77"
    for _ in range(8):  # from either process
        found = await afresh.get(f"{root}/studies/{uid}/instances")
        assert len(found.json()) == count
        url = f"/ImagingStudy?identifier=urn:dicom:uid|urn:oid:{uid}"
        (entry,) = (await afresh.get(url)).json()["entry"]
        assert entry["resource"]["numberOfInstances"] == count
        assert sum(s["numberOfInstances"] for s in entry["resource"]["series"]) == count


@pytest.mark.parametrize("which", [1, 0], ids=["another", "the one that leads"])
async def test_a_killed_process_is_restarted_and_readiness_tells_it(served, afresh, which):
    before = {worker.pid for worker in workers(served)}
    ready = await until(afresh, served, lambda found: found["ready"])
    assert ready["components"]["worker 1"] == ready["components"]["worker 2"] == "ok"
    assert ready["components"]["jobs"] == ready["components"]["mllp"] == "ok"
    os.kill(sorted(before)[which], signal.SIGKILL)
    down = await until(afresh, served, lambda found: not found["ready"])
    assert "down" in down["components"][f"worker {which + 1}"]
    assert (await afresh.post("/Patient", json={"resourceType": "Patient"})).status_code == 201
    await until(afresh, served, lambda found: found["ready"])
    after = {worker.pid for worker in workers(served)}
    assert len(after) == 2
    assert len(after & before) == 1


async def test_metrics_count_what_all_processes_answered(served, afresh):
    root = served.base.removesuffix("/fhir")
    count = '{door="fhir",method="DELETE",status="404"}'

    async def counted():
        lines = (await afresh.get(f"{root}/metrics")).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if count in line)

    before = await counted()
    for _ in range(20):
        assert (await afresh.delete(f"/Nothing/{uuid.uuid4()}")).status_code == 404
    assert await counted() == before + 20


def test_what_one_process_refuses_several_refuse_in_the_same_words(served):
    with pytest.raises(AssertionError, match="another server serves"):
        Served(served.data, "--workers", "2")


def refused(port):
    """Tell whether a new connection is refused; one that is taken is closed again."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_sigterm_refuses_new_connections_and_answers_what_has_begun(served):
    left = workers(served)
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as upload:
        upload.sendall(
            b"PUT /fhir/Binary/slow HTTP/1.1\r\nHost: x\r\nContent-Type: application/pdf\r\n"
            b"Content-Length: 8\r\nExpect: 100-continue\r\n\r\n"
        )
        assert upload.recv(100).startswith(b"HTTP/1.1 100 "), "a process has begun to read it"
        upload.sendall(b"half")
        served.process.terminate()
        end = time.monotonic() + 10
        while not refused(served.port):
            assert time.monotonic() < end, "connections are taken that nobody will answer"
            await asyncio.sleep(0.01)
        assert any(worker.is_running() for worker in left), "the upload is waited for"
        upload.sendall(b"whol")
        assert upload.recv(100).startswith(b"HTTP/1.1 201 ")
    assert served.stop() == 0
    psutil.wait_procs(left, timeout=10)
    assert not any(worker.is_running() for worker in left)


async def test_workers_end_where_the_process_that_started_them_is_killed(tmp_path):
    made = Served(tmp_path, "--workers", "2")
    left = workers(made)
    made.process.kill()
    gone, alive = psutil.wait_procs(left, timeout=30)
    assert (len(gone), alive) == (2, [])
    made.kill() if made.process.poll() is None else made._closed()


def test_settings_reach_a_worker_as_they_are(tmp_path):
    given, _ = load({"data": str(tmp_path), "mllp_port": "off", "workers": "3"}, {}, None)
    order = channel.order(given, "http://x", leads=True)
    assert channel.settings_of(order) == given
    assert channel.settings_of(channel.order(Settings(), "http://x", leads=False)) == Settings()
