"""What a model found, checked: references, units, and values that images of known content must give."""

import re
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from fhir_server.demo.step import Notes, require
from fhir_server.demo.story import Story
from resources.model import Resource

_UCUM = "http://unitsofmeasure.org"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOLERANCE = 0.05
_BRAIN_CM3 = (1000, 2000)

Measures = Mapping[str, Resource]
"""Observations by the last of their codes, which tells measures of a model apart."""


async def findings(story: Story, notes: Notes) -> None:
    """Each Observation is preliminary and reaches model, study, order and patient by reference."""
    fhir = story.day.workflow
    of_model = {"derived-from": story.study, "device.model": story.case.model, "_count": "200"}
    found = await fhir.search("Observation", notes, **of_model)
    require(found, "the model wrote no Observation")
    devices = {_one(each["device"]) for each in found}
    require(len(devices) == 1, "the Observations are of several devices")
    await _device(story, devices.pop(), notes)
    for each in found:
        _refers(story, each)
        _in_units(each)
    for reached in (story.study, story.order, story.patient):
        await fhir.read(reached, notes)
    story.observations = found
    notes.facts |= {"observations": len(found), "status": "preliminary"}
    await _CHECKS[story.case.model](story, {_key(each): each for each in found}, notes)


def _refers(story: Story, observation: Resource) -> None:
    """Check the references of one Observation against the story's own resources."""
    require(observation["status"] == "preliminary", "an Observation is not preliminary")
    require(_one(observation["subject"]) == story.patient, "an Observation is another Patient's")
    studies = [_one(each) for each in observation.get("derivedFrom", ())]
    require(studies == [story.study], "an Observation does not come of the study")
    orders = [_one(each) for each in observation.get("basedOn", ())]
    require(orders == [story.order], "an Observation does not lead to the order")


def _in_units(observation: Resource) -> None:
    """Check that a quantity has a value and a UCUM unit."""
    quantity = observation.get("valueQuantity")
    if quantity is not None:
        ucum = quantity.get("system") == _UCUM and quantity.get("code")
        require(ucum and "value" in quantity, "a quantity is not in a UCUM unit")


async def _device(story: Story, place: str, notes: Notes) -> None:
    """Check that the Device is the model of the case, with the hashes that decide its results."""
    device = await story.day.workflow.read(place, notes)
    require(device["modelNumber"] == story.case.model, "the Device is another model")
    hashes = [each["value"] for each in device["version"] if _SHA256.fullmatch(each["value"])]
    require(hashes, "the Device has no SHA-256")
    notes.facts |= {"device": place, "sha256": hashes}


async def _lungs(story: Story, measures: Measures, notes: Notes) -> None:
    """Check the lung volume against the reference mask's."""
    volume = _quantity(measures, "lung-volume", "cm3")
    wanted = await story.prepared.lung_volume_cm3()
    off = volume / wanted - 1
    notes.facts |= {"lung_volume_cm3": volume, "reference_cm3": round(wanted, 1)}
    notes.facts |= {"difference_percent": round(100 * off, 2)}
    notes.facts["finding"] = f"lungs {volume:.0f} cm³, {100 * off:+.1f} % of the reference mask's"
    require(abs(off) <= _TOLERANCE, f"the lung volume is {100 * off:.1f} % off the mask's")


async def _brain(_: Story, measures: Measures, notes: Notes) -> None:
    """Check that the brain has a volume that adults' brains have."""
    volume = _quantity(measures, "brain-volume", "cm3")
    least, most = _BRAIN_CM3
    notes.facts |= {"brain_volume_cm3": volume, "plausible_cm3": [least, most]}
    notes.facts["finding"] = f"brain {volume:.0f} cm³"
    require(least <= volume <= most, f"a brain of {volume:.0f} cm³ is not plausible")


async def _quality(_: Story, measures: Measures, notes: Notes) -> None:
    """Check that the radiograph's pixel spacing, which is absent, is flagged."""
    stated = measures["iq-pixel-spacing-stated"]
    flags = [
        coding["code"]
        for concept in stated.get("interpretation", ())
        for coding in concept["coding"]
    ]
    notes.facts |= {"pixel_spacing_stated": stated.get("valueBoolean"), "interpretation": flags}
    notes.facts["finding"] = "pixel spacing is not stated: flagged"
    require(stated.get("valueBoolean") is False, "pixel spacing is said to be stated")
    require(flags == ["A"], "the absent pixel spacing is not flagged")


_CHECKS: Mapping[str, Callable[[Story, Measures, Notes], Awaitable[None]]] = {
    "ct-lung-measures": _lungs,
    "brain-volume": _brain,
    "iq-classical": _quality,
}


def _quantity(measures: Measures, key: str, unit: str) -> float:
    """Give a measure's value in a UCUM unit."""
    quantity: dict[str, Any] = measures[key]["valueQuantity"]
    require(quantity["code"] == unit, f"{key} is not in {unit}")
    return float(Decimal(quantity["value"]))


def _key(observation: Resource) -> str:
    return str(observation["code"]["coding"][-1]["code"])


def _one(reference: Mapping[str, Any]) -> str:
    return str(reference.get("reference", ""))
