"""Any resource is told in words: in the order of its definition, with nothing left out."""

import imaging_story
import pytest

from fhir_server.pages.readable import MOST_ITEMS, Readable
from resources import definitions

BASE = "http://pages.example/fhir"


@pytest.fixture(scope="module")
def readable():
    return Readable(definitions.load(), BASE)


def labels(nodes):
    return [node.label for node in nodes]


def lines(nodes, label):
    return next(node for node in nodes if node.label == label).lines


def test_elements_come_in_the_order_of_the_definition(readable):
    found = readable.nodes({"resourceType": "Patient", "gender": "female", "id": "a"})
    assert labels(found) == ["ID", "Gender"]


def test_references_of_this_server_are_links_and_others_are_not(readable):
    order = {"resourceType": "ServiceRequest", "subject": {"reference": f"{BASE}/Patient/1"}}
    assert lines(readable.nodes(order), "Subject")[0].href == "/resources/Patient/1"
    for place in ("https://elsewhere.example/fhir/Patient/1", "javascript:alert(1)", "#p", "Foo/1"):
        order["subject"] = {"reference": place}
        assert lines(readable.nodes(order), "Subject")[0].href == ""


def test_a_versioned_reference_leads_to_that_version(readable):
    assert readable.href("Patient/1/_history/3") == "/resources/Patient/1/history/3"


def test_a_logical_reference_is_told_by_its_identifier(readable):
    order = {"subject": {"identifier": imaging_story.number("MR", "77")}}
    (line,) = lines(readable.nodes({"resourceType": "ServiceRequest", **order}), "Subject")
    assert line.text == "Medical record number 77"


def test_choices_are_told_by_their_type(readable):
    quantity = {"value": 5312, "unit": "cm³", "system": "http://unitsofmeasure.org", "code": "cm3"}
    found = readable.nodes({"resourceType": "Observation", "valueQuantity": quantity})
    (line,) = lines(found, "Value quantity")
    assert (line.text, line.note) == ("5312\u00a0cm³", "UCUM cm3")


def test_what_no_definition_knows_is_told_too(readable):
    found = readable.nodes(
        {
            "resourceType": "Patient",
            "_birthDate": {"extension": [{"url": "http://x.example/why", "valueCode": "masked"}]},
            "strange": {"a": 1},
        }
    )
    assert lines(found, "Birth date, extended")[0].text.count("masked") == 1
    assert lines(found, "Strange")[0].text == '{"a":1}'


def test_many_of_one_kind_are_folded(readable):
    study = imaging_story.study("s", "Patient/a")
    study["series"][0]["instance"] = [{"uid": f"1.{n}"} for n in range(MOST_ITEMS + 5)]
    (series,) = [node for node in readable.nodes(study) if node.label == "Series"]
    (instances,) = [node for node in series.children if node.label == "Instance"]
    assert instances.folded == f"{MOST_ITEMS + 5} of these"
    assert len(instances.children) == MOST_ITEMS + 1
    assert instances.children[-1].lines[0].note == "5 more in the JSON"


def test_extensions_and_contained_resources_are_nested(readable):
    found = readable.nodes(
        {
            "resourceType": "Patient",
            "contained": [{"resourceType": "Organization", "id": "o", "name": "Clinic"}],
            "extension": [{"url": "http://x.example/birthplace", "valueString": "Oslo"}],
        }
    )
    assert labels(found) == ["Contained", "Extension birthplace"]
    assert lines(found[0].children, "Name")[0].text == "Clinic"
    assert lines(found[1].children, "Value string")[0].text == "Oslo"


def test_a_narrative_is_told_without_markup(readable):
    div = (
        '<div xmlns="http://www.w3.org/1999/xhtml"><p>Lungs &amp; heart</p><script>x</script></div>'
    )
    found = readable.nodes({"resourceType": "Patient", "text": {"status": "generated", "div": div}})
    assert lines(found, "Text")[0].text == "Lungs & heart x"


def test_deep_nesting_ends(readable):
    deep = {"linkId": "1"}
    for _ in range(60):
        deep = {"linkId": "1", "item": [deep]}
    found = readable.nodes({"resourceType": "Questionnaire", "item": [deep]})
    depth = 0
    while found:
        found = next((node.children for node in found if node.children), ())
        depth += 1
    assert depth < 20
