"""Two servers in processes of their own over one MongoDB: one store, one history, one of each thing."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import mongod
import pytest
import stored
from served import Served

MRN = "urn:mrn|17"
PATIENT = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "17"}]}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, mongo_url: str) -> Iterator[list[Served]]:
    url = stored.named(mongo_url)
    folder = tmp_path_factory.mktemp("servers")
    made = [Served(folder / name, "--store", url) for name in "ab"]
    yield made
    assert [server.stop() for server in made] == [0, 0]
    asyncio.run(stored.drop(url))


@pytest.fixture
async def clients(servers: list[Served]) -> Any:
    limits = httpx.Limits(max_connections=50)
    a, b = (httpx.AsyncClient(base_url=s.base, limits=limits, timeout=60) for s in servers)
    async with a, b:
        yield a, b


def created(response: httpx.Response) -> str:
    assert response.status_code in {200, 201}, response.text
    return str(response.json()["id"])


async def test_100_clients_race_one_conditional_create_through_two_servers(clients: Any) -> None:
    responses = await asyncio.gather(
        *(
            clients[n % 2].post(
                "/Patient", json=PATIENT, headers={"If-None-Exist": f"identifier={MRN}"}
            )
            for n in range(100)
        )
    )
    statuses = [response.status_code for response in responses]
    assert (statuses.count(201), statuses.count(200)) == (1, 99)
    assert len({created(response) for response in responses}) == 1
    for client in clients:
        found = (await client.get("/Patient", params={"identifier": MRN})).json()
        assert found["total"] == 1


async def test_of_racing_version_aware_updates_one_wins(clients: Any) -> None:
    (await clients[0].put("/Patient/race", json={**PATIENT, "id": "race"})).raise_for_status()
    responses = await asyncio.gather(
        *(
            clients[n % 2].put(
                "/Patient/race",
                json={"resourceType": "Patient", "id": "race", "language": f"x-{n}"},
                headers={"If-Match": 'W/"1"'},
            )
            for n in range(20)
        )
    )
    assert sorted(r.status_code for r in responses) == [200] + [412] * 19
    assert (await clients[1].get("/Patient/race")).json()["meta"]["versionId"] == "2"


async def test_transactions_through_two_servers_never_interleave(clients: Any) -> None:
    """Each writes both resources with its own number: they are always equal."""

    def bundle(n: int) -> dict[str, Any]:
        entries = [
            {
                "resource": {"resourceType": "Basic", "id": name, "code": {"text": str(n)}},
                "request": {"method": "PUT", "url": f"Basic/{name}"},
            }
            for name in (("left", "right") if n % 3 else ("right", "left"))
        ]
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    responses = await asyncio.gather(*(clients[n % 2].post("/", json=bundle(n)) for n in range(40)))
    assert {response.status_code for response in responses} == {200}
    histories = [
        (await clients[0].get(f"/Basic/{name}/_history", params={"_count": 100})).json()["entry"]
        for name in ("left", "right")
    ]
    left, right = ([e["resource"]["code"]["text"] for e in entries] for entries in histories)
    assert left == right
    assert sorted(map(int, left)) == list(range(40))


async def test_what_one_server_wrote_the_other_finds_at_once(clients: Any) -> None:
    for n in range(10):
        writer, reader = clients[n % 2], clients[(n + 1) % 2]
        body = json.dumps({"resourceType": "Patient", "name": [{"family": f"Alder{n}"}]})
        headers = {"Content-Type": "application/fhir+json"}
        made = created(await writer.post("/Patient", content=body, headers=headers))
        found = (await reader.get("/Patient", params={"family": f"alder{n}"})).json()
        assert [entry["resource"]["id"] for entry in found["entry"]] == [made]


async def _answered(accepting: Any, asked: Any, other: Any, **sent: Any) -> httpx.Response:
    """Have a request answered later and give the answer, as the other server has it."""
    later = {"Prefer": "respond-async", **sent.pop("headers", {})}
    accepted = await accepting.request(*asked, headers=later, **sent)
    assert accepted.status_code == 202, accepted.text
    place = accepted.headers["Content-Location"].partition("/fhir/")[2]
    async with asyncio.timeout(60):
        while (polled := await other.get(place)).status_code == 202:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return polled


async def test_what_is_answered_later_is_answered_by_every_server(clients: Any) -> None:
    """Whichever of the two does the work: both look for it, and each is asked several times."""
    await clients[0].put(
        "/Basic/later", json={"resourceType": "Basic", "id": "later", "code": {"text": "x"}}
    )
    for n in range(4):
        accepting, other = clients[n % 2], clients[(n + 1) % 2]
        read = await _answered(accepting, ("GET", "/Basic?_id=later"), other)
        assert read.json()["entry"][0]["resource"]["total"] == 1
        entry = {
            "resource": {"resourceType": "Basic", "id": f"later{n}", "code": {"text": "later"}},
            "request": {"method": "PUT", "url": f"Basic/later{n}"},
        }
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        done = await _answered(accepting, ("POST", "/"), other, json=bundle)
        assert done.json()["entry"][0]["response"]["status"] == "200"
        assert (await other.get(f"/Basic/later{n}")).status_code == 200


async def test_an_export_is_given_by_every_server(clients: Any) -> None:
    await clients[0].put(
        "/Basic/out", json={"resourceType": "Basic", "id": "out", "code": {"text": "x"}}
    )
    for n in range(4):
        accepting, other = clients[n % 2], clients[(n + 1) % 2]
        polled = await _answered(accepting, ("GET", "/$export?_type=Basic"), other)
        (output,) = polled.json()["output"]
        for client in clients:
            lines = await client.get(output["url"].partition("/fhir/")[2])
            assert lines.status_code == 200
            assert len(lines.text.splitlines()) == output["count"]


async def test_a_server_says_what_is_wrong_with_its_store(tmp_path: Path) -> None:
    url = "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=200"
    with pytest.raises(AssertionError, match="store"):
        Served(tmp_path / "none", "--store", url)


@pytest.mark.parametrize("stopped", [signal.SIGSTOP, signal.SIGKILL])
async def test_readiness_says_that_the_database_is_gone(tmp_path: Path, stopped: int) -> None:
    if mongod.given():
        pytest.skip("MONGO_TEST_URI names a database that is not ours to kill")
    with mongod.ReplicaSet(tmp_path / "set", 1) as members:
        server = Served(tmp_path / "a", "--store", members.url)
        async with httpx.AsyncClient(base_url=server.base.removesuffix("/fhir")) as client:
            assert (await client.get("/readyz")).json()["components"]["store"] == "ok"
            members.processes[members.ports[0]].send_signal(stopped)
            down = await client.get("/readyz", timeout=30)
            assert (down.status_code, down.json()["ready"]) == (503, False)
            assert "reached" in down.json()["components"]["store"]
        server.kill()
