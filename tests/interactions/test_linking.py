"""Links of a transaction's entries to each other: what is replaced, what stays (bundle.html#references)."""

import copy

import pytest

from fhir_server.interactions.linking import Links, conditional_references
from resources import definitions

LINKS = Links(
    definitions.load(),
    {"urn:uuid:a": "Patient/1", "http://x.org/fhir/Practitioner/b": "Practitioner/2"},
)
REPORT = {
    "resourceType": "DiagnosticReport",
    "text": {"status": "generated", "div": '<div><a href="urn:uuid:a#x">he</a> urn:uuid:a</div>'},
    "code": {"coding": [{"system": "urn:uuid:a", "display": "urn:uuid:a"}]},
    "subject": {"reference": "urn:uuid:a"},
    "performer": [{"reference": "Practitioner/b"}, {"reference": "urn:uuid:c"}],
    "contained": [{"resourceType": "Observation", "subject": {"reference": "urn:uuid:a"}}],
}


def test_links_are_replaced_wherever_they_may_stand():
    made = LINKS.linked(REPORT, "http://x.org/fhir/DiagnosticReport/r")
    assert made["subject"] == {"reference": "Patient/1"}
    assert made["text"]["div"] == '<div><a href="Patient/1#x">he</a> urn:uuid:a</div>'
    assert made["code"]["coding"] == [{"system": "Patient/1", "display": "urn:uuid:a"}]
    assert made["performer"] == [{"reference": "Practitioner/2"}, {"reference": "urn:uuid:c"}]
    assert made["contained"][0]["subject"] == {"reference": "Patient/1"}


@pytest.mark.parametrize("full_url", ["", "http://x.org/fhir/DiagnosticReport/r"])
def test_what_was_sent_stays_as_it_is(full_url):
    before = copy.deepcopy(REPORT)
    LINKS.linked(REPORT, full_url)
    assert before == REPORT


def test_what_holds_no_link_is_not_copied():
    plain = {"resourceType": "Patient", "name": [{"family": "urn:uuid:a"}]}
    assert LINKS.linked(plain) is plain


def test_only_queries_are_conditional_references():
    found = [
        {"reference": text}
        for text in ("Patient?identifier=1", "Patient/1", "http://x.org/Patient?a=1", "#a?", 3)
    ]
    resource = {"resourceType": "Group", "reference": 4, "member": [[], *found, {"entity": found}]}
    queries = [query for _, query in conditional_references(resource)]
    assert queries == ["Patient?identifier=1"] * 2
