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
    resource = {
        "resourceType": "Group",
        "reference": "Patient?a=1",
        "managingEntity": found[0],
        "member": [[], *found, *[{"entity": one} for one in found]],
        "contained": [{"resourceType": "Bundle", "entry": [{"resource": {"subject": found[0]}}]}],
    }
    queries = [query for _, query in conditional_references(LINKS.definitions, resource)]
    assert queries == ["Patient?identifier=1"] * 2


@pytest.mark.parametrize(
    ("written", "linked"),
    [
        ("<a href='urn:uuid:a'>x</a>", '<a href="Patient/1">x</a>'),
        ("<a\nhref = 'urn:uuid:a#x'>x</a>", '<a\nhref = "Patient/1#x">x</a>'),
        ("<img alt='\"' src ='urn:uuid:a'/>", '<img alt=\'"\' src ="Patient/1"/>'),
        ('<a href="urn:uuid:a&amp;b">x</a>', '<a href="Patient/2">x</a>'),
        ('<a href="urn:uuid:a#&amp;x">x</a>', '<a href="Patient/1#&amp;x">x</a>'),
        ("<a href='urn:uuid:c' id=\"urn:uuid:a\">x</a>", None),
        ("<p data-src='urn:uuid:a'>href='urn:uuid:c'</p>", None),
    ],
)
def test_the_links_of_a_narrative_stand_in_either_quotes(written, linked):
    links = Links(LINKS.definitions, {**LINKS.targets, "urn:uuid:a&b": "Patient/2"})
    told = {"resourceType": "Patient", "text": {"status": "generated", "div": written}}
    assert links.linked(told)["text"]["div"] == (linked or written)


def test_the_entries_of_a_bundle_have_links_of_their_own():
    entry = {
        "fullUrl": "urn:uuid:a",
        "resource": {"resourceType": "Observation", "subject": {"reference": "urn:uuid:a"}},
    }
    brought = {"resourceType": "Bundle", "type": "collection", "entry": [entry]}
    signed = {**brought, "signature": {"who": {"reference": "urn:uuid:a"}}}
    made = LINKS.linked(signed)
    assert (made["entry"], made["signature"]) == ([entry], {"who": {"reference": "Patient/1"}})
    held = {
        "resourceType": "Parameters",
        "parameter": [{"name": "x", "resource": brought}],
        "contained": [brought],
    }
    assert LINKS.linked(held) is held
