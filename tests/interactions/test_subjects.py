"""Whom resources are, or were, about: by their versions, on every store (fhir_server/subjects.py)."""

import pytest
from bodies import observation, patient, transaction

from fhir_server.subjects import Subjects


@pytest.fixture
async def subjects(door):
    """Two patients and what is about them; an Observation that changed hands, and one that is gone."""
    appointment = {
        "resourceType": "Appointment",
        "id": "a1",
        "status": "proposed",
        "participant": [
            {"actor": {"reference": f"Patient/{id_}"}, "status": "accepted"} for id_ in ("p1", "p2")
        ],
    }
    first = [patient("p1"), patient("p2"), observation("o1", "Patient/p1"), appointment]
    await door.give("POST", "", transaction(*first, observation("o2", "Patient/p2")))
    await door.give("PUT", "Observation/o1", observation("o1", "Patient/p2"))
    await door.give("DELETE", "Observation/o2")
    await door.give(
        "PUT",
        "ImagingStudy/s1",
        {
            "resourceType": "ImagingStudy",
            "id": "s1",
            "status": "available",
            "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}],
            "subject": {"reference": "Patient/p1"},
        },
    )
    return Subjects(lambda _: door.context)


async def test_a_version_tells_whom_it_was_about(door, subjects):
    asked = [
        "Patient/p9",
        "Observation/o1",
        "Observation/o1/_history/1",
        "Observation/o1/_history/2",
        "Observation/o2",
        "Appointment/a1/_history/1",
        "Organization/none",
        "Nothing/x",
        "ImagingStudy/s1",
    ]
    found = await subjects.patients(door.context.tenant, asked)
    assert {reference: set(patients) for reference, patients in found.items() if patients} == {
        "Patient/p9": {"p9"},
        "Observation/o1": {"p2"},
        "Observation/o1/_history/1": {"p1"},
        "Observation/o1/_history/2": {"p2"},
        "Observation/o2": {"p2"},
        "Appointment/a1/_history/1": {"p1", "p2"},
        "ImagingStudy/s1": {"p1"},
    }


async def test_what_was_found_of_a_version_is_remembered_and_of_the_current_one_is_not(
    door, subjects
):
    tenant = door.context.tenant
    asked = ["Observation/o1", "Observation/o1/_history/2"]
    assert set((await subjects.patients(tenant, asked)).values()) == {("p2",)}
    await door.give("PUT", "Observation/o1", observation("o1", "Patient/p1"))
    found = await subjects.patients(tenant, asked)
    assert found == {asked[0]: ("p1",), asked[1]: ("p2",)}


async def test_many_are_asked_for_at_once(door, subjects):
    many = [observation(f"n{n}", f"Patient/p{1 + n % 2}") for n in range(130)]
    await door.give("POST", "", transaction(*many))
    asked = [f"Observation/n{n}/_history/1" for n in range(130)]
    found = await subjects.patients(door.context.tenant, asked)
    assert [found[one] for one in asked] == [(f"p{1 + n % 2}",) for n in range(130)]


async def test_a_study_is_found_by_its_uid(door, subjects):
    found = await subjects.studies(door.context.tenant, ["urn:oid:1.2.3", "urn:oid:9.9"])
    assert found == {"urn:oid:1.2.3": "ImagingStudy/s1/_history/1"}
