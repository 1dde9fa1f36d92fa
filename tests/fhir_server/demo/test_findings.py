"""The checks on what models found refuse what is wrong."""

from types import SimpleNamespace

import pytest

from fhir_server.demo import findings
from fhir_server.demo.step import Notes, NotHeld

STORY = SimpleNamespace(patient="Patient/1", order="ServiceRequest/1", study="ImagingStudy/1")
RIGHT = {
    "status": "preliminary",
    "subject": {"reference": "Patient/1"},
    "derivedFrom": [{"reference": "ImagingStudy/1"}],
    "basedOn": [{"reference": "ServiceRequest/1"}],
}


def _volume(key, value, unit="cm3"):
    return {key: {"valueQuantity": {"value": value, "code": unit}}}


class _Reference:
    async def lung_volume_cm3(self):
        return 1000.0


def _fault(check, *given):
    """What a check says is wrong, None where it holds."""
    try:
        check(*given)
    except NotHeld as fault:
        return str(fault)
    return None


def test_an_observation_that_reaches_patient_study_and_order_is_right():
    assert _fault(findings._refers, STORY, RIGHT) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"status": "final"}, "preliminary"),
        ({"subject": {"reference": "Patient/2"}}, "another Patient"),
        ({"derivedFrom": []}, "study"),
        ({"derivedFrom": [{"reference": "ImagingStudy/2"}]}, "study"),
        ({"basedOn": [{"identifier": {"value": "A-1"}}]}, "order"),
    ],
)
def test_an_observation_that_does_not_is_refused(wrong, said):
    assert said in _fault(findings._refers, STORY, RIGHT | wrong)


@pytest.mark.parametrize("quantity", [{"value": 1}, {"value": 1, "system": "x", "code": "cm3"}])
def test_a_quantity_without_a_ucum_unit_is_refused(quantity):
    with pytest.raises(NotHeld):
        findings._in_units({"valueQuantity": quantity})


@pytest.mark.parametrize(
    ("volume", "held"), [(951, True), (1049, True), (949, False), (1051, False)]
)
async def test_a_lung_volume_may_be_five_percent_off_the_mask(volume, held):
    story, notes = SimpleNamespace(prepared=_Reference()), Notes()
    check = findings._lungs(story, _volume("lung-volume", volume), notes)
    if held:
        await check
    else:
        with pytest.raises(NotHeld):
            await check
    assert notes.facts["reference_cm3"] == 1000.0


@pytest.mark.parametrize(
    "measures", [_volume("brain-volume", 999), _volume("brain-volume", 1.5, "l")]
)
async def test_a_brain_of_an_implausible_volume_or_in_another_unit_is_refused(measures):
    with pytest.raises(NotHeld):
        await findings._brain(None, measures, Notes())


@pytest.mark.parametrize(("stated", "flag"), [(True, "A"), (False, "N")])
async def test_an_absent_pixel_spacing_must_be_flagged(stated, flag):
    flagged = {"interpretation": [{"coding": [{"code": flag}]}], "valueBoolean": stated}
    with pytest.raises(NotHeld):
        await findings._quality(None, {"iq-pixel-spacing-stated": flagged}, Notes())
