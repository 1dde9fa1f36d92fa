"""A store's file that is damaged: told as that by answers and readiness, not as a state that passes."""

import os

import apsw
import httpx
import pytest

from fhir_server import app, asgi
from fhir_server.settings import load


@pytest.fixture
async def house(tmp_path):
    """An installation over a file half of whose resources lie in pages that are no pages any more."""
    flags = {"data": str(tmp_path), "auth": "open", "mllp_port": "off", "audit": "off"}
    settings, _ = load(flags, {}, None)
    async with app.installation(settings, "http://x", serving=True) as made:
        async with calling(made) as client:
            for n in range(200):
                sent = {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": "x" * 300}]}
                assert (await client.put(f"/fhir/Patient/p{n}", json=sent)).status_code == 201
    damage(tmp_path / "store.sqlite")
    async with app.installation(settings, "http://x", serving=True) as made:
        yield made


def damage(file):
    """Write at random over half of the pages that hold resources."""
    connection = apsw.Connection(str(file))
    page_size = connection.pragma("page_size")
    leaves = (
        "SELECT pageno FROM dbstat WHERE name = 'resource' AND pagetype = 'leaf' ORDER BY pageno"
    )
    pages = [number for (number,) in connection.execute(leaves)]
    connection.close()
    with file.open("r+b") as opened:
        for number in pages[len(pages) // 2 :]:
            opened.seek((number - 1) * page_size)
            opened.write(os.urandom(page_size))


def calling(house):
    transport = httpx.ASGITransport(asgi.application(house))
    return httpx.AsyncClient(transport=transport, base_url="http://x")


async def test_damage_is_no_passing_state_and_readiness_remembers_it(house):
    assert (await house.health())["store"] == "ok"
    async with calling(house) as client:
        answers = [await client.get(f"/fhir/Patient/p{n}") for n in range(200)]
    failed = [one for one in answers if one.status_code == 503]
    assert failed
    assert {one.json()["issue"][0]["code"] for one in failed} == {"exception"}
    assert "damaged" in failed[0].text
    assert (await house.health())["store"] == "it is damaged: hounsfield check tells where"
