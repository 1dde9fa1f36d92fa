"""A collection's resources get ids and keep their links to each other, whichever way they are loaded."""

import pytest

from fhir_server import app
from fhir_server.files import Text
from fhir_server.interactions.dispatch import dispatch
from fhir_server.loading.door import Door
from fhir_server.loading.here import door as door_of
from fhir_server.loading.load import Loaded
from fhir_server.loading.preparing import Preparing
from fhir_server.loading.resources import Place, singles
from fhir_server.loading.straight import Straight
from fhir_server.message import FhirRequest
from fhir_server.settings import Settings
from resources.model import parse, serialise
from resources.outcome import Invalid

ONE, TWO = (
    "urn:uuid:11111111-1111-4111-8111-111111111111",
    "http://elsewhere.example/fhir/Patient/x",
)
PLACE = Place("mark", 7)


def patient(**more):
    return {"resourceType": "Patient", **more}


def observation(subject, **more):
    made = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    return {**made, "subject": {"reference": subject}, **more}


def collection(*entries):
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": url, "resource": one} if url else {"resource": one} for url, one in entries
        ],
    }


def subjects(resource):
    return [one["subject"]["reference"] for one in singles(resource, PLACE) if "subject" in one]


def test_a_full_url_becomes_the_place_of_its_resource_whether_it_has_an_id_or_not():
    held = collection(
        (ONE, patient()), (TWO, patient(id="p")), ("", observation(ONE)), ("", observation(TWO))
    )
    assert subjects(held) == [f"Patient/{PLACE.id(0)}", "Patient/p"]


def test_a_relative_reference_is_to_what_is_beside_it_on_its_server():
    there = "http://elsewhere.example/fhir/Observation/o"
    assert subjects(collection((TWO, patient(id="here")), (there, observation("Patient/x")))) == [
        "Patient/here"
    ]


def test_links_into_and_out_of_a_collection_within_one_are_its_own():
    inner = collection((ONE, patient(id="inner")), ("", observation(ONE)))
    held = collection((ONE, patient(id="outer")), ("", inner), ("", observation(ONE)))
    assert subjects(held) == ["Patient/inner", "Patient/outer"]


def test_what_was_sent_stays_as_it_is_and_a_link_to_nothing_too():
    held = collection((ONE, patient()), ("", observation(TWO)))
    before = serialise(held)
    assert subjects(held) == [TWO]
    assert serialise(held) == before


def test_a_full_url_of_two_resources_is_refused_but_two_versions_of_one_are_not():
    assert len(singles(collection((ONE, patient(id="a")), (ONE, patient(id="a"))), PLACE)) == 2
    for second in (patient(id="b"), patient()):
        with pytest.raises(Invalid, match="the same fullUrl"):
            singles(collection((ONE, patient(id="a")), (ONE, second)), PLACE)


def test_a_resource_that_is_no_collection_is_given_as_it_is():
    for held in (patient(), {**collection((ONE, patient())), "type": "document"}):
        assert singles(held, PLACE) == [held]


@pytest.mark.parametrize("way", ["straight", "door"])
async def test_links_hold_whichever_way_a_collection_is_loaded_and_again(tmp_path, way):
    held = collection(
        (ONE, patient(identifier=[{"system": "u", "value": "1"}])),
        ("", observation(ONE, id="co1")),
        ("", observation("Patient?identifier=u|1", id="co2")),
    )
    wrong = collection((ONE, patient(id="a")), (ONE, patient(id="b")))
    texts = [Text("f", line, serialise(one)) for line, one in enumerate((held, wrong), 1)]
    async with app.installation(Settings(data=tmp_path / "data"), "http://localhost") as house:
        context, totals = house.ours("default"), Loaded()
        door: Door | Straight = door_of(context)
        if way == "straight":
            door = Straight(context, Preparing(context), door)
        for _ in range(2):
            for text in texts:
                await door.store([text], await door.begin([text], "mark"), totals)
        for name in ("co1", "co2"):
            found = parse((await dispatch(context, FhirRequest("GET", f"Observation/{name}"))).body)
            assert found["subject"]["reference"] == f"Patient/{Place('mark', 1).id(0)}"
            assert found["meta"]["versionId"] == "1"
    assert (totals.stored, [one.place for one in totals.refused]) == (6, [2, 2])
    assert "the same fullUrl" in totals.refused[0].reason
