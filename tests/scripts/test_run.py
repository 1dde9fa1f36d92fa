"""`make run`: the server first, the demo on its base when ready, both ended by one signal."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER = """\
#!{python}
import signal, sys, time
if sys.argv[1] == "demo":
    print("played", *sys.argv[2:], flush=True)
    sys.exit({demo})
if {dies}:
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: (print("drained", flush=True), sys.exit(0)))
print("starting", flush=True)
print("ready http://127.0.0.1:9/fhir", flush=True)
while True:
    time.sleep(0.05)
"""
START = """\
import pathlib, sys
from scripts import run
run.COMMAND = pathlib.Path(sys.argv[1])
sys.exit(run.main())
"""


@pytest.fixture
def start(tmp_path):
    """Start `make run`'s script over a stand-in for the hounsfield command."""
    running = []

    def begin(*, demo: int = 0, dies: bool = False) -> subprocess.Popen[str]:
        command = tmp_path / "hounsfield"
        command.write_text(SERVER.format(python=sys.executable, demo=demo, dies=dies))
        command.chmod(0o755)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        arguments = [sys.executable, "-c", START, str(command)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        running.append(subprocess.Popen(arguments, cwd=tmp_path, env=environment, **pipes))
        return running[-1]

    yield begin
    for process in running:
        process.terminate()
        process.communicate(timeout=30)


def until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            return lines
    raise AssertionError(f"{wanted} was never printed: {lines}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_plays_on_the_ready_server_and_a_signal_ends_it_cleanly(start, number):
    process = start()
    lines = until(process, "Serving")
    assert "played --base http://127.0.0.1:9/fhir --data .data/run\n" in lines
    assert "every step held. Serving http://127.0.0.1:9/fhir" in lines[-1]
    process.send_signal(number)
    assert "drained" in until(process, "drained")[-1]
    assert process.wait(timeout=30) == 0


def test_a_demo_that_fails_is_told_and_the_server_goes_on(start):
    process = start(demo=1)
    assert "NOT every step held" in until(process, "Serving")[-1]
    assert process.poll() is None


def test_a_server_that_never_becomes_ready_is_a_failure(start):
    process = start(dies=True)
    told, _ = process.communicate(timeout=30)
    assert "ended before it was ready" in told
    assert process.returncode == 3
