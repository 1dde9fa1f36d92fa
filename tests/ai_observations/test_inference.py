"""Which model runs, and a run's results in one transaction, the same however often it runs."""

import asyncio
import json
import os
import signal

import job_world
import pytest
import small_study
from msgspec import structs

from ai_observations import registry, worker
from ai_observations.inference import InstalledModels
from ai_observations.model import NotInstalled, Unsuitable
from ai_observations.observation import results_bundle
from fhir_server.jobs import job as jobs
from fhir_server.jobs import runner, shown
from fhir_server.jobs.job import Job
from fhir_server.store.port import instant
from resources.model import serialise
from resources.outcome import NotFound, Unprocessable


def study(*codes):
    return {**small_study.study(), "modality": [{"code": code} for code in codes]}


@pytest.fixture
def nothing(tmp_path):
    """Models without any weights."""
    return InstalledModels(tmp_path)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Weights that hash as declared, and how often any was hashed."""
    hashed = []

    def sha256(path):
        hashed.append(path)
        return path.name

    monkeypatch.setattr(registry, "file_sha256", sha256)
    for model in registry.discover().values():
        for file in model.weights:
            path = registry.weights_path(file, tmp_path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as opened:
                opened.truncate(file.size)
    return hashed


@pytest.mark.parametrize(
    ("code", "chosen"), [("CT", "ct-lung-measures"), ("CR", "iq-classical"), ("MR", "brain-volume")]
)
def test_without_an_id_the_most_particular_model_of_the_modality_is_chosen(
    tmp_path, weights, code, chosen
):
    assert InstalledModels(tmp_path).chosen(study(code), None) == chosen


def test_a_model_without_its_weights_is_passed_over(nothing):
    assert nothing.chosen(study("MR"), None) == "iq-classical"


def test_an_unknown_model_is_not_found_and_the_ids_are_told(nothing):
    with pytest.raises(NotFound, match="iq-classical"):
        nothing.chosen(study("CT"), "none-such")


def test_a_model_that_is_not_installed_says_how_to_get_it(nothing):
    with pytest.raises(NotInstalled, match="make install") as caught:
        nothing.chosen(study("MR"), "brain-volume")
    assert caught.value.status == 422


def test_a_model_of_another_modality_is_refused_before_it_runs(tmp_path, weights):
    with pytest.raises(Unsuitable, match="made for MR"):
        InstalledModels(tmp_path).chosen(study("CT"), "brain-volume")
    assert InstalledModels(tmp_path).chosen(study(), "brain-volume") == "brain-volume"


def test_a_modality_that_no_model_is_made_for_is_refused(nothing):
    with pytest.raises(Unprocessable, match="No model is made"):
        nothing.chosen(study("ECG"), None)


def test_weights_are_hashed_once_until_their_file_changes(tmp_path, weights):
    models = InstalledModels(tmp_path)
    assert all(state.installed for state in models.states())
    first = len(weights)
    assert first > 0
    models.states()
    models.chosen(study("MR"), None)
    assert len(weights) == first
    changed = weights[0]
    os.truncate(changed, 3)
    broken = [state for state in models.states() if not state.installed]
    assert len(broken) == 1
    changed.unlink()
    assert not all(state.installed for state in models.states())


@pytest.fixture(params=job_world.STORES)
async def world(request, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_POLL_S", 0.01)
    monkeypatch.setattr(runner, "_BACKOFF", 1)
    async with job_world.opened(request.param, tmp_path) as found:
        await small_study.story(found)
        yield found


async def infer(world, id_="j1", model="iq-classical"):
    job = Job(
        id=id_,
        tenant="default",
        kind="infer",
        input={"focus": "ImagingStudy/s1", "patient": "Patient/p1", "model": model},
        owner=jobs.owner(world.access),
        request="",
        created=world.clock(),
    )
    await shown.start(world.context, job)


async def content(world):
    """Give what stands in the store of results, apart from Tasks."""
    types = ("Device", "Observation", "DocumentReference", "DiagnosticReport", "Provenance")
    return {type_: sorted(r["id"] for r in await world.all(type_)) for type_ in types}


async def test_a_run_s_results_refer_to_model_study_order_and_patient(world):
    await infer(world)
    async with world.working():
        done = await world.closed("j1")
    assert done.state == "completed"
    observations = await world.all("Observation")
    (device,), (report,) = await world.all("Device"), await world.all("DiagnosticReport")
    for each in observations:
        assert each["status"] == "preliminary"
        assert each["subject"]["reference"] == "Patient/p1"
        assert each["derivedFrom"] == [{"reference": "ImagingStudy/s1"}]
        assert each["device"]["reference"] == f"Device/{device['id']}"
        assert each["basedOn"] == [{"reference": "ServiceRequest/o1"}]
    assert report["status"] == "preliminary"
    assert len(report["result"]) == len(observations)
    assert done.output["device"] == f"Device/{device['id']}"
    task = await world.give("GET", "Task/j1")
    outputs = {each["valueReference"]["reference"] for each in task["output"]}
    assert {f"Observation/{each['id']}" for each in observations} < outputs
    assert task["owner"]["reference"] == f"Device/{device['id']}"


async def test_a_second_run_doubles_nothing(world):
    await infer(world)
    async with world.working():
        await world.closed("j1")
        first = await content(world)
        await infer(world, "j2")
        await world.closed("j2")
    assert await content(world) == first


async def test_a_death_after_the_results_and_before_the_end_doubles_nothing(world):
    await infer(world)
    async with world.working():
        done = await world.closed("j1")
    first = await content(world)
    back = structs.replace(done, state="running", output={}, ended=None)
    await jobs.forget(world.documents, done)
    await jobs.enqueue(world.documents, back)
    async with world.working():
        again = await world.closed("j1")
    assert (again.state, again.attempts) == ("completed", 2)
    assert sorted(again.output["written"]) == sorted(done.output["written"])
    assert await content(world) == first


async def test_a_process_that_is_killed_is_replaced_and_the_job_completes(world, record_property):
    await infer(world)
    async with world.working():

        async def begun():
            return world.process.pids()

        (pid,) = await job_world.eventually(begun)
        os.kill(pid, signal.SIGKILL)
        done = await world.closed("j1")
    assert (done.state, done.attempts) == ("completed", 2)
    assert len(await world.all("DiagnosticReport")) == 1
    record_property("proof", "kill -9 of the model's process: the job is tried again and completes")


async def test_a_job_cancelled_while_its_model_runs_writes_nothing(world):
    await infer(world)
    async with world.working():

        async def begun():
            return world.process.pids()

        (pid,) = await job_world.eventually(begun)
        os.kill(pid, signal.SIGSTOP)
        assert (await world.call("DELETE", "_async/j1")).status == 202
        cancelled = await world.closed("j1")
    assert cancelled.state == "cancelled"
    assert await content(world) == {type_: [] for type_ in await content(world)}
    assert world.process.pids() == []


async def test_a_model_s_refusal_is_the_task_s_reason(world):
    world.images.files[small_study.UID] = [b"no DICOM"]
    await infer(world)
    async with world.working():
        failed = await world.closed("j1")
    assert (failed.state, failed.refusal, failed.attempts) == ("failed", 422, 1)
    assert (await world.give("GET", "Task/j1"))["statusReason"]["text"] == failed.problem


async def test_a_study_whose_images_or_which_itself_went_away_fails_the_job(world):
    world.images.files.clear()
    await infer(world)
    async with world.working():
        assert "no instances" in (await world.closed("j1")).problem
        await world.call("DELETE", "ImagingStudy/s1")
        await infer(world, "j2")
        assert (await world.closed("j2")).state == "failed"


async def test_results_written_at_once_by_several_runs_are_not_doubled(world):
    result = worker.run_model("iq-classical", world.images.files[small_study.UID])
    stored = await world.give("GET", "ImagingStudy/s1")
    model = registry.find("iq-classical")
    bundles = [results_bundle(stored, result, model, now=instant(n)) for n in range(8)]
    await asyncio.gather(*(world.give("POST", "", each) for each in map(parsed, bundles)))
    found = await content(world)
    assert len(found["Device"]) == len(found["DiagnosticReport"]) == 1
    assert len(found["Provenance"]) == len(found["DocumentReference"]) == 1
    identifiers = [each["identifier"][0]["value"] for each in await world.all("Observation")]
    assert len(identifiers) == len(set(identifiers)) > 1


def parsed(resource):
    return json.loads(serialise(resource))
