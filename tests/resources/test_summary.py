"""Parts of a resource are FHIR: nothing in them is empty, and XML has all (search.html#summary)."""

import gzip

import generated
import msgspec
import pytest

from conformance.validate import Validator
from resources import definitions, model, summary
from resources.xml import from_xml, to_xml

DEFINITIONS = definitions.load()
VALIDATOR = Validator(DEFINITIONS)
SORTED = msgspec.json.Encoder(order="sorted", decimal_format="number")
MODES = ("true", "text", "data")


def empties(value, place):
    """The places of what is empty: an object of nothing but an id, a list of nothing but nulls, a null."""
    if isinstance(value, dict):
        if not value.keys() - {"id"}:
            yield place
        for name, part in value.items():
            yield from empties(part, f"{place}.{name}")
    elif isinstance(value, list):
        if all(part is None for part in value):
            yield place
        for n, part in enumerate(value):
            if part is not None:
                yield from empties(part, f"{place}[{n}]")
    elif value is None or value == "":
        yield place


def parts(resource):
    """Every part that a mode gives, and what _elements gives of each element."""
    for mode in MODES:
        yield mode, summary.summary(resource, mode, DEFINITIONS)
    names = sorted(DEFINITIONS.children(resource["resourceType"]))
    for at in range(3):
        yield names[at::3], summary.only(resource, names[at::3], DEFINITIONS)


def faults(resource):
    """What of a resource's parts is empty, or nothing that our own XML gives again."""
    for asked, part in parts(resource):
        found = list(empties(part, resource["resourceType"]))
        if not found and SORTED.encode(from_xml(to_xml(part))) != SORTED.encode(part):
            found = ["XML"]
        if found:
            yield asked, found


@pytest.mark.parametrize("type_", sorted(DEFINITIONS.resource_types))
def test_no_part_of_any_type_holds_what_is_empty(type_, size):
    for seed in range(size(2, 20)):
        for density in (0.1, 0.9):
            resource = generated.Generator(seed, density=density).resource(type_)
            assert list(empties(resource, type_)) == []
            assert list(faults(resource)) == [], seed


def test_no_part_of_an_official_example_holds_what_is_empty(corpus, size, record_property):
    lines = gzip.decompress((corpus / "r4" / "examples-dev.ndjson.gz").read_bytes()).splitlines()
    lines = lines[:: size(8, 1)]
    for line in lines:
        resource = model.parse(line)
        if not any(empties(resource, "")):
            assert list(faults(resource)) == [], resource["id"]
    told = f"{len(lines)} official examples have no empty part under _summary and _elements"
    record_property("proof", told)


HIDDEN = {
    "resourceType": "DocumentReference",
    "id": "d",
    "status": "current",
    "content": [{"attachment": {"url": "http://a.example/a"}}],
    "context": {"id": "c", "encounter": [{"reference": "Encounter/1"}]},
}
ENCOUNTER = {
    "resourceType": "Encounter",
    "id": "e",
    "status": "finished",
    "class": {"code": "AMB"},
    "participant": [
        {"period": {"start": "2020"}},
        {"individual": {"reference": "Practitioner/1"}},
        {"id": "p", "period": {"start": "2021"}},
    ],
}
CONSENT = {
    "resourceType": "Consent",
    "id": "c",
    "status": "active",
    "scope": {"text": "x"},
    "category": [{"text": "x"}],
    "policyRule": {"text": "x"},
    "provision": {"provision": [{"type": "deny"}]},
}


@pytest.mark.parametrize(
    ("resource", "name", "kept"),
    [
        (HIDDEN, "context", None),
        (ENCOUNTER, "participant", [{"individual": {"reference": "Practitioner/1"}}]),
        (CONSENT, "provision", None),
        ({**ENCOUNTER, "participant": ENCOUNTER["participant"][:1]}, "participant", None),
    ],
)
def test_what_holds_no_summary_element_is_left_out(resource, name, kept):
    assert not any(issue.severity == "error" for issue in VALIDATOR.check(resource))
    part = summary.summary(resource, "true", DEFINITIONS)
    assert part.get(name) == kept
    issues = VALIDATOR.check(part)
    assert [issue for issue in issues if issue.severity == "error"] == []


def test_extensions_of_primitives_stay_in_step_with_their_values():
    companion = {"extension": [{"url": "http://a.example/e", "valueCode": "x"}]}
    concept = {
        "resourceType": "Questionnaire",
        "id": "q",
        "status": "active",
        "subjectType": ["Patient", "Person"],
        "_subjectType": [None, companion],
        "_title": companion,
        "item": [{"linkId": "1", "type": "display"}],
    }
    part = summary.summary(concept, "true", DEFINITIONS)
    assert (part["subjectType"], part["_subjectType"]) == (["Patient", "Person"], [None, companion])
    assert part["_title"] == companion
    assert "item" not in part


@pytest.mark.parametrize("mode", [*MODES, "elements"])
def test_what_is_a_part_already_is_marked_once(mode):
    resource = {"resourceType": "Patient", "id": "p", "active": True}
    for _ in range(2):
        if mode == "elements":
            resource = summary.only(resource, ("active",), DEFINITIONS)
        else:
            resource = summary.summary(resource, mode, DEFINITIONS)
        assert [tag["code"] for tag in resource["meta"]["tag"]] == ["SUBSETTED"]


def test_a_tag_of_another_system_marks_nothing():
    tag = {"system": "http://a.example", "code": "SUBSETTED"}
    resource = {"resourceType": "Patient", "id": "p", "meta": {"tag": [tag]}}
    part = summary.summary(resource, "data", DEFINITIONS)
    assert [held["system"] for held in part["meta"]["tag"]] == [
        "http://a.example",
        "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    ]
