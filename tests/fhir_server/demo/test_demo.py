"""`hounsfield demo` as a user runs it: the whole day holds, and what does not hold is told."""

import asyncio
import json
import subprocess
import sys
from argparse import Namespace

import httpx
import pytest
from own_profiles import resources, wrong
from served import Served

from fhir_server.commands.demo import demo
from fhir_server.demo import day as demo_day
from fhir_server.demo.day import EXPORT, REGISTER, SMART, VISIT, Log
from fhir_server.demo.patients import cases
from fhir_server.demo.step import Day, Step
from fhir_server.settings import Settings

NAMES = [
    REGISTER,
    *(f"{case.name}-{name}" for case in cases() for name, _, _ in VISIT),
    SMART,
    EXPORT,
]


PROFILES = {
    "ServiceRequest": lambda _: "imaging-order",
    "ImagingStudy": lambda _: "imaging-study",
    "Observation": lambda one: "ai-finding" if "device" in one else None,
    "Device": lambda one: "ai-model" if "modelNumber" in one else None,
    "Task": lambda one: "ai-task" if _code(one) == "infer" else None,
    "DiagnosticReport": lambda one: (
        "imaging-report-" + ("preliminary" if one["status"] == "preliminary" else "final")
    ),
}


def _code(one):
    return one.get("code", {}).get("coding", [{}])[0].get("code")


def _hounsfield(folder, *arguments):
    command = [sys.executable, "-m", "fhir_server", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=220)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("demo") / "data", auth="smart")
    yield served
    served.stop()


@pytest.fixture(scope="module")
def played(server, tmp_path_factory):
    """The whole day, played once; what its command printed and gave."""
    where = ("--base", server.base, "--data", str(server.data))
    return _hounsfield(tmp_path_factory.mktemp("cwd"), "demo", "--json", *where)


@pytest.mark.timeout(240)
def test_every_step_of_the_day_holds(played):
    day = json.loads(played.stdout)
    assert [(s["name"], s["facts"].get("problem")) for s in day["steps"]] == [
        (name, None) for name in NAMES
    ], played.stderr
    assert day["ok"]
    assert played.returncode == 0
    assert all(step["ok"] and step["urls"] and step["facts"] for step in day["steps"])
    assert all(url.startswith(day["base"].removesuffix("/fhir")) for url in _urls(day))
    facts = {step["name"]: step["facts"] for step in day["steps"]}
    assert abs(facts["chest-ct-findings"]["difference_percent"]) <= 5
    assert set(facts[SMART]["refused"].values()) == {404}
    assert facts[EXPORT]["counts"]["Patient"] == len(cases())


@pytest.mark.timeout(240)
def test_all_that_the_day_leaves_conforms_to_our_own_profiles(
    played, server, tmp_path, record_property
):
    asked = ("token", "--scope", "system/*.rs", "--data", str(server.data))
    token = _hounsfield(tmp_path, *asked).stdout.strip()
    headers = {"Authorization": f"Bearer {token}"}
    checked, faults = 0, {}
    with httpx.Client(base_url=server.base, headers=headers, timeout=60) as client:
        for type_, profile_of in PROFILES.items():
            for one in resources(client.get(f"{type_}?_count=500").json(), type_):
                if profile := profile_of(one):
                    faults[f"{type_}/{one['id']}"] = wrong(one, profile)
                    checked += 1
    assert {place: found for place, found in faults.items() if found} == {}
    assert checked > 25
    record_property("proof", f"the demo day: {checked} resources conform to our own profiles")


@pytest.mark.parametrize(("holds", "status"), [(True, 0), (False, 1)])
def test_without_a_server_named_the_day_has_one_of_its_own_that_is_gone_afterwards(
    monkeypatch, capsys, holds, status
):
    async def play(server, cache, folder, tell):
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{server.base}/metadata")
        _, writer = await asyncio.open_connection(*server.mllp)
        writer.close()
        step = Step("a step", holds, 1, [server.base], {"metadata": answer.status_code})
        return Day.of(server.base, [step])

    monkeypatch.setattr(demo_day, "play", play)
    assert demo.run(Namespace(base=None, json=True), Settings()) == status
    day = json.loads(capsys.readouterr().out)
    assert day["steps"][0]["facts"] == {"metadata": 200}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{day['base']}/metadata")


def _urls(day):
    return [url for step in day["steps"] for url in step["urls"]]


def test_a_server_that_does_not_answer_fails_every_step_and_the_command(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ports.json").write_text('{"http": 1, "mllp": 1}')
    ran = _hounsfield(
        tmp_path, "demo", "--json", "--base", "http://127.0.0.1:1/fhir", "--data", "data"
    )
    day = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert day["base"] == "http://127.0.0.1:1/fhir"
    assert [step["name"] for step in day["steps"]] == NAMES
    assert not day["ok"]
    assert not any(step["ok"] for step in day["steps"])
    assert day["steps"][0]["facts"]["problem"].startswith("ConnectError")


def test_a_folder_that_no_server_uses_is_told_and_the_status_is_2(tmp_path):
    ran = _hounsfield(tmp_path, "demo", "--base", "http://127.0.0.1:1/fhir", "--data", "nothing")
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
