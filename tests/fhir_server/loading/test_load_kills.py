"""`hounsfield load` killed and run again, as a process, with the processes that prepare for it."""

import json
import subprocess
import sys
import time

import pytest

from fhir_server import app
from fhir_server.settings import Settings
from fhir_server.store.port import Page, Scope

TEXT = "x" * 400


def command(path, data):
    program = [sys.executable, "-m", "fhir_server", "load", str(path), "--data", str(data)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def kill_in_the_middle(path, data):
    """Kill a load once it has kept that a further group is behind; gives whether it still ran."""
    state = data / "load.json"
    before = state.read_bytes() if state.exists() else b""
    process = command(path, data)
    while process.poll() is None and (not state.exists() or state.read_bytes() == before):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    return process.returncode < 0


@pytest.fixture
def path(tmp_path, size):
    """A file of which a load takes several groups; the full one is prepared by other processes."""
    made = tmp_path / "many.ndjson"
    with made.open("w") as file:
        for number in range(size(2_500, 40_000)):
            basic = {"resourceType": "Basic", "code": {"text": f"{number} {TEXT}"}}
            file.write(json.dumps(basic) + "\n")
    return made


async def test_a_killed_load_run_again_has_every_line_once(path, tmp_path, size, record_property):
    data = tmp_path / "data"
    killed = sum(kill_in_the_middle(path, data) for _ in range(size(1, 10)))
    out, _ = command(path, data).communicate(timeout=300)
    count = path.read_text().count("\n")
    assert "0 refused" in out
    async with app.installation(Settings(data=data), "http://localhost") as house:
        store = house.services.store
        assert await store.position() == count
        newest = await store.history(Scope("default"), Page(1000))
    assert {version.version_id for version in newest} == {1}
    record_property("proof", f"load killed {killed} times in {count} lines: each is there once")
