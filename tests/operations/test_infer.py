"""ImagingStudy/$infer: who may start a model on what, and what they are answered."""

import json
from dataclasses import replace as with_

import pytest
import small_study
from job_world import BASE, job_id, limited, outcome_of
from msgspec.structs import replace

from ai_observations.inference import InstalledModels

PLACE = "ImagingStudy/s1/$infer"


@pytest.fixture
async def story(world):
    await small_study.story(world)
    return world


def asking(model):
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "model", "valueString": model}],
    }


async def test_it_is_answered_at_once_with_the_status_place_and_the_task(story):
    response = await story.call("POST", PLACE, asking("iq-classical"))
    id_ = job_id(response)
    assert response.headers["Content-Location"] == f"{BASE}/_async/{id_}"
    task = json.loads(response.body)
    assert (task["id"], task["status"]) == (id_, "requested")
    assert task["focus"]["reference"] == "ImagingStudy/s1"
    assert task["for"]["reference"] == "Patient/p1"
    assert task["basedOn"] == [{"reference": "ServiceRequest/o1"}]
    assert task["input"][0]["valueString"] == "iq-classical"


async def test_from_request_to_results_over_the_status_place(story):
    place = (await story.call("POST", f"{PLACE}?model=iq-classical")).headers["Content-Location"]
    async with story.working():
        await story.closed(place.rpartition("/")[2])
    done = await story.give("GET", place)
    assert (done["resourceType"], done["status"]) == ("Task", "completed")
    outputs = [each["valueReference"]["reference"] for each in done["output"]]
    for reference in outputs:
        await story.give("GET", reference)
    assert any(reference.startswith("Observation/") for reference in outputs)


async def test_without_a_model_the_one_that_suits_is_taken(story):
    task = await story.give("POST", PLACE)
    assert task["input"][0]["valueString"] == "ct-lung-measures"


async def test_an_unknown_model_is_404_and_the_ids_are_told(story):
    status, code, text = outcome_of(await story.call("POST", PLACE, asking("none-such")))
    assert (status, code) == (404, "not-found")
    assert "iq-classical" in text


async def test_a_model_that_does_not_suit_or_is_not_there_is_422_and_nothing_is_queued(
    story, tmp_path
):
    without = replace(story.context.services, models=InstalledModels(tmp_path / "empty"))
    bare = with_(story, context=replace(story.context, services=without))
    await story.put(small_study.study("mr", modality="MR"), small_study.study("xx", modality="XX"))
    for id_, model, told in (
        ("mr", "brain-volume", "make install"),
        ("s1", "brain-volume", "make install"),
        ("xx", None, "No model is made"),
        ("xx", "iq-classical", "made for"),
    ):
        body = asking(model) if model else None
        status, _, text = outcome_of(await bare.call("POST", f"ImagingStudy/{id_}/$infer", body))
        assert status == 422
        assert told in text
    assert await story.places() == []
    assert await story.all("Task") == []


async def test_a_server_without_models_says_so(story):
    none = replace(story.context.services, models=None)
    bare = with_(story, context=replace(story.context, services=none))
    assert outcome_of(await bare.call("POST", PLACE))[:2] == (400, "not-supported")


async def test_a_study_that_is_not_there_is_deleted_or_out_of_reach_is_404(story):
    assert (await story.call("POST", "ImagingStudy/none/$infer")).status == 404
    other = story.as_(limited(("*", "cruds"), patient="p2"))
    mine = story.as_(limited(("*", "cruds"), patient="p1"))
    assert outcome_of(await other.call("POST", PLACE)) == outcome_of(
        await other.call("POST", "ImagingStudy/none/$infer")
    )
    assert (await mine.call("POST", f"{PLACE}?model=iq-classical")).status == 202
    await story.call("DELETE", "ImagingStudy/s1")
    assert (await story.call("POST", PLACE)).status == 404


@pytest.mark.parametrize(
    "grants", [(("ImagingStudy", "rs"),), (("Task", "c"),), (("ImagingStudy", "cs"), ("Task", "c"))]
)
async def test_it_takes_the_right_to_read_the_study_and_to_create_tasks(story, grants):
    assert (await story.as_(limited(*grants)).call("POST", PLACE)).status == 403
    assert await story.places() == []


async def test_the_one_who_started_it_is_its_requester_and_alone_sees_it(story):
    grants = (("ImagingStudy", "r"), ("Task", "c"))
    doctor = story.as_(limited(*grants, user="Practitioner/d1", subject="d1"))
    other = story.as_(limited(*grants, user="Practitioner/d2", subject="d2"))
    response = await doctor.call("POST", f"{PLACE}?model=iq-classical")
    assert json.loads(response.body)["requester"]["reference"] == "Practitioner/d1"
    place = response.headers["Content-Location"]
    assert (await doctor.call("GET", place)).status == 202
    assert (await other.call("GET", place)).status == 404
    assert (await other.call("DELETE", place)).status == 404
    assert (await doctor.call("DELETE", place)).status == 202


async def test_what_has_no_patient_reference_can_be_measured_too(story):
    subject = {"identifier": {"system": "urn:mrn", "value": "p1"}}
    alone = {**small_study.study("s2"), "subject": subject}
    del alone["basedOn"]
    await story.put(alone)
    task = await story.give("POST", "ImagingStudy/s2/$infer?model=iq-classical")
    assert "for" not in task
    async with story.working():
        assert (await story.closed(task["id"])).state == "completed"
