"""From SQLite to MongoDB and back by the commands, history, tenants and large contents included."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
import stored
from served import Served

from fhir_server import moving
from fhir_server.cli import main

CONTENT = os.urandom(400_000)


def fill(base: str) -> None:
    """Creates, updates, deletions, a transaction, digits that matter, a large content and a purge."""
    with httpx.Client(base_url=base, timeout=60) as http:
        for number in range(40):
            url = f"/Basic/o{number % 9}"
            if number % 7 == 6:
                assert http.delete(f"/Basic/o{number % 5}").status_code == 204
                continue
            body = {"resourceType": "Basic", "id": url[7:], "code": {"text": f"{number}"}}
            body |= {"extension": [{"url": "urn:x", "valueDecimal": 1}]}
            raw = json.dumps(body).replace(": 1}", f": {number}.10}}")
            sent = {"Content-Type": "application/fhir+json"}
            http.put(url, content=raw, headers=sent).raise_for_status()
        for data in (CONTENT, b"small", CONTENT[::-1]):
            sent = {"Content-Type": "application/pdf"}
            http.put("/Binary/b", content=data, headers=sent).raise_for_status()
        patient = {"resourceType": "Patient", "identifier": [{"system": "urn:m", "value": "7"}]}
        entry = {"resource": patient, "request": {"method": "POST", "url": "Patient"}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * 3}
        http.post("/", json=bundle).raise_for_status()


def history(base: str) -> list[Any]:
    """Give every version that a server tells of what was filled, newest first."""
    found = []
    with httpx.Client(timeout=60) as http:
        for type_ in ("Basic", "Binary", "Patient"):
            page = http.get(f"{base}/{type_}/_history?_count=1000").raise_for_status().json()
            for entry in page["entry"]:
                entry.pop("fullUrl", None)
                found.append(json.dumps(entry, sort_keys=True))
    return found


def run(*command: str) -> None:
    assert main(list(command)) == 0


def served(folder: Path, *store: str) -> list[Any]:
    """Serve what was moved and give its history, once it is searched and read as it was before."""
    server = Served(folder, *store)
    with httpx.Client(base_url=server.base, timeout=60) as http:
        found = http.get("/Patient?identifier=urn:m|7").json()
        assert found["total"] == 3
        assert b'"valueDecimal":28.10' in http.get("/Basic/o1/_history/5").content
        wanted = {"Accept": "application/pdf"}
        for version, data in ((1, CONTENT), (2, b"small"), (3, CONTENT[::-1])):
            assert http.get(f"/Binary/b/_history/{version}", headers=wanted).content == data
        whole = http.get("/Binary/b?_format=json").json()
        assert base64.b64decode(whole["data"]) == CONTENT[::-1]
    told = history(server.base)
    assert server.stop() == 0
    return told


@pytest.fixture
def mongo(mongo_url: str) -> Any:
    url = stored.named(mongo_url)
    yield url
    asyncio.run(stored.drop(url))


def test_history_moves_from_sqlite_to_mongodb_and_back(
    tmp_path: Path, mongo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    server = Served(first)
    fill(server.base)
    before = history(server.base)
    assert server.stop() == 0
    there, back = tmp_path / "there", tmp_path / "back"
    run("export", "--history", "--out", str(there), "--data", str(first))
    arrived = ("--data", str(second), "--store", mongo)
    run("load", "--history", str(there / moving.FILE), *arrived)
    assert served(second, "--store", mongo) == before
    run("check", *arrived)
    run("export", "--history", "--out", str(back), *arrived)
    lines = (there / moving.FILE).read_bytes().splitlines()
    assert (back / moving.FILE).read_bytes().splitlines()[: len(lines)] == lines
    returned, again = ("--data", str(third)), tmp_path / "again"
    run("load", "--history", str(back / moving.FILE), *returned)
    run("export", "--history", "--out", str(again), *returned)
    assert (again / moving.FILE).read_bytes().splitlines()[: len(lines)] == lines
    assert "ok: nothing is missing" in capsys.readouterr().out


def test_what_a_database_has_loaded_another_has_not(
    tmp_path: Path, mongo: str, mongo_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"resourceType":"Patient","id":"p"}\n')
    other, told = stored.named(mongo_url), []
    try:
        for store in (mongo, other, mongo):
            capsys.readouterr()
            run("load", str(path), "--data", str(tmp_path / "data"), "--store", store)
            told.append(capsys.readouterr().out.strip())
    finally:
        asyncio.run(stored.drop(other))
    first = "1 stored, 0 loaded before, 0 refused"
    assert told == [first, first, "0 stored, 1 loaded before, 0 refused"]
