"""What was found in a study: its Observations by what made them, software told from people."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from fhir_server.pages import words
from fhir_server.pages.reading import Reader
from fhir_server.pages.story import Story
from fhir_server.pages.words import Json
from resources.model import Resource

ARTIFICIAL_INTELLIGENCE = "123110"
_VALUES: Mapping[str, Callable[[Any], str]] = {
    "valueQuantity": words.quantity,
    "valueCodeableConcept": words.concept,
    "valueBoolean": words.yes_or_no,
    "valueInteger": words.number_text,
    "valueString": str,
    "valueDateTime": words.moment,
    "valuePeriod": words.period,
}
_FLAGGED = frozenset({"A", "AA", "H", "HH", "L", "LL"})


class Finding(Struct, frozen=True):
    """One Observation: `value` in words, or `absent` why there is none; `unit` is its UCUM code."""

    label: str
    href: str
    value: str = ""
    unit: str = ""
    absent: str = ""
    flag: str = ""
    site: str = ""
    status: str = ""
    notes: tuple[str, ...] = ()


class Maker(Struct, frozen=True):
    """What made a group of findings: a model's version with its SHA-256 sums, or people.

    `kind` is "ai" for a trained model, "software" for any other program, "people" for neither.
    """

    kind: str
    name: str
    version: str = ""
    model: str = ""
    href: str = ""
    sums: tuple[tuple[str, str], ...] = ()
    uses: tuple[str, ...] = ()


class Group(Struct, frozen=True):
    """The findings of one maker; `notes` are those that all of them share."""

    maker: Maker
    findings: tuple[Finding, ...]
    status: str
    device: str = ""
    notes: tuple[str, ...] = ()


def groups(story: Story, reader: Reader) -> list[Group]:
    """Give the findings by maker, those about the body before those about the images."""
    made: dict[str, list[Resource]] = {}
    for observation in story.observations:
        made.setdefault(_maker_place(observation, reader), []).append(observation)
    found = [_group(place, each, story) for place, each in made.items()]
    return sorted(
        found, key=lambda group: (not any(f.site for f in group.findings), group.maker.name)
    )


def _maker_place(observation: Json, reader: Reader) -> str:
    """Give where the software is that made an observation, "" where people did."""
    if observation.get("performer") or "device" not in observation:
        return ""
    device = observation["device"]
    return reader.path(device) or str(device.get("display", "")) or "Device"


def _group(place: str, observations: Sequence[Resource], story: Story) -> Group:
    ordered = sorted(observations, key=_order)
    texts = [{note.get("text", "") for note in each.get("note", ())} for each in ordered]
    shared = set.intersection(*texts)
    notes = tuple(n["text"] for n in ordered[0].get("note", ()) if n.get("text") in shared)
    statuses = {str(each.get("status", "")) for each in ordered}
    return Group(
        _maker(place, ordered[0], story.beside.get(place)),
        tuple(_finding(each, shared) for each in ordered),
        words.listed(sorted(statuses)),
        place,
        notes,
    )


def _order(observation: Json) -> bool:
    """Put values that are out of the ordinary first; the rest stay as they were written."""
    return not _flag(observation)


def _maker(place: str, observation: Json, device: Json | None) -> Maker:
    """Tell the software by its Device, or by the method that the Observation names where that is not seen."""
    if not place:
        return Maker("people", "Clinicians")
    if device is None:
        method = words.concept(observation.get("method", {})) or "Software"
        return Maker("software", method)
    versions: Sequence[Mapping[str, Any]] = device.get("version", ())
    kinds = {each.get("code") for each in device.get("type", {}).get("coding", ())}
    names = device.get("deviceName") or [{}]
    return Maker(
        kind="ai" if ARTIFICIAL_INTELLIGENCE in kinds else "software",
        name=str(names[0].get("name", "")) or place,
        version=next((str(v.get("value")) for v in versions if "component" not in v), ""),
        model=str(device.get("modelNumber", "")),
        href=f"/resources/{place}",
        sums=tuple(
            (str(v["component"].get("value", "")), str(v.get("value")))
            for v in versions
            if "component" in v
        ),
        uses=tuple(str(note.get("text", "")) for note in device.get("note", ())),
    )


def _finding(observation: Json, shared: set[str]) -> Finding:
    value, unit = _value(observation)
    absent = observation.get("dataAbsentReason")
    return Finding(
        label=words.concept(observation.get("code", {})) or "Observation",
        href=f"/resources/Observation/{observation['id']}",
        value=value,
        unit=unit,
        absent=words.concept(absent).lower() if absent else "",
        flag=_flag(observation),
        site=words.concept(observation.get("bodySite", {})),
        status=str(observation.get("status", "")),
        notes=tuple(
            note["text"] for note in observation.get("note", ()) if note.get("text") not in shared
        ),
    )


def _value(observation: Json) -> tuple[str, str]:
    for name, write in _VALUES.items():
        if name in observation:
            value = observation[name]
            return write(value), str(value.get("code", "")) if name == "valueQuantity" else ""
    parts = [
        f"{words.concept(part.get('code', {}))} {_value(part)[0]}"
        for part in observation.get("component", ())
    ]
    return words.listed(parts), ""


def _flag(observation: Json) -> str:
    """Give the interpretation where it is out of the ordinary."""
    for each in observation.get("interpretation", ()):
        if {coding.get("code") for coding in each.get("coding", ())} & _FLAGGED:
            return words.concept(each)
    return ""
