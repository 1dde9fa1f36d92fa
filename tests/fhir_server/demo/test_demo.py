"""`hounsfield demo` as a user runs it: the whole day holds, and what does not hold is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.demo.day import EXPORT, REGISTER, SMART, VISIT, Log
from fhir_server.demo.patients import cases

NAMES = [
    REGISTER,
    *(f"{case.name}-{name}" for case in cases() for name, _, _ in VISIT),
    SMART,
    EXPORT,
]


def _demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fhir_server", "demo", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=220)


@pytest.mark.timeout(240)
def test_every_step_of_the_day_holds_against_a_server_of_its_own(tmp_path):
    ran = _demo(tmp_path, "--json")
    day = json.loads(ran.stdout)
    assert [(s["name"], s["facts"].get("problem")) for s in day["steps"]] == [
        (name, None) for name in NAMES
    ], ran.stderr
    assert day["ok"]
    assert ran.returncode == 0
    assert all(step["ok"] and step["urls"] and step["facts"] for step in day["steps"])
    assert all(url.startswith(day["base"].removesuffix("/fhir")) for url in _urls(day))
    facts = {step["name"]: step["facts"] for step in day["steps"]}
    assert abs(facts["chest-ct-findings"]["difference_percent"]) <= 5
    assert set(facts[SMART]["refused"].values()) == {404}
    assert facts[EXPORT]["counts"]["Patient"] == len(cases())


def _urls(day):
    return [url for step in day["steps"] for url in step["urls"]]


def test_a_server_that_does_not_answer_fails_every_step_and_the_command(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ports.json").write_text('{"http": 1, "mllp": 1}')
    ran = _demo(tmp_path, "--json", "--base", "http://127.0.0.1:1/fhir", "--data", "data")
    day = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert day["base"] == "http://127.0.0.1:1/fhir"
    assert [step["name"] for step in day["steps"]] == NAMES
    assert not day["ok"]
    assert not any(step["ok"] for step in day["steps"])
    assert day["steps"][0]["facts"]["problem"].startswith("ConnectError")


def test_a_folder_that_no_server_uses_is_told_and_the_status_is_2(tmp_path):
    ran = _demo(tmp_path, "--base", "http://127.0.0.1:1/fhir", "--data", "nothing")
    assert ran.returncode == 2
    assert "ports.json" in ran.stderr
    assert ran.stdout == ""


async def test_a_step_whose_need_did_not_hold_is_not_tried():
    tried, told = [], []

    async def fails(notes):
        raise LookupError

    async def works(notes):
        tried.append(notes)

    log = Log(told.append)
    await log.do("a", (), fails)
    await log.do("b", ("a",), works)
    await log.do("c", (), works)
    await log.do("d", ("c",), works)
    assert [step.ok for step in log.steps] == [False, False, True, True]
    assert len(tried) == 2
    assert told == log.steps
    assert log.steps[1].facts["problem"] == "not tried: a did not hold"
