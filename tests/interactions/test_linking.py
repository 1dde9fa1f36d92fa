"""Links of a transaction's entries to each other: what is replaced, what stays (bundle.html#references)."""

import copy

import pytest
from bodies import observation, patient, transaction

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
        ("<a href='urn:uuid:a'>x</a>", "<a href='Patient/1'>x</a>"),
        ("<a\nhref = 'urn:uuid:a#x'>x</a>", "<a\nhref = 'Patient/1#x'>x</a>"),
        ("<img alt='\"' src ='urn:uuid:a'/>", "<img alt='\"' src ='Patient/1'/>"),
        ("<a id='>' href=\"urn:uuid:a\">x</a>", "<a id='>' href=\"Patient/1\">x</a>"),
        ('<a href="urn:uuid:a&amp;b">x</a>', '<a href="Patient/2">x</a>'),
        ('<a href="urn:uuid:a#&amp;x">x</a>', '<a href="Patient/1#&amp;x">x</a>'),
        ("<a href='urn:uuid:c' id=\"urn:uuid:a\">x</a>", None),
        ("<p data-src='urn:uuid:a'>href='urn:uuid:c'</p>", None),
        ('<p>write href="urn:uuid:a" here</p>', None),
        ("<p title=\"a href='urn:uuid:a' b\">x</p>", None),
        ("<img alt=' src=\"urn:uuid:a\" '/>", None),
        ('<!-- <a href="urn:uuid:a">x</a> -->', None),
        ('<![CDATA[<a href="urn:uuid:a">x</a>]]>', None),
        ('<p href="urn:uuid:a" src="urn:uuid:a"><a src="urn:uuid:a">x</a></p>', None),
        ('<img href="urn:uuid:a"/><abbr href="urn:uuid:a">x</abbr>', None),
        ('<p title="<!--"><a href="urn:uuid:c">x</a>', None),
        ('<a href="urn:uuid:a" title="x>y</a>', None),
    ],
)
def test_the_links_of_a_narrative_stand_in_either_quotes(written, linked):
    links = Links(LINKS.definitions, {**LINKS.targets, "urn:uuid:a&b": "Patient/2"})
    told = {"resourceType": "Patient", "text": {"status": "generated", "div": written}}
    assert links.linked(told)["text"]["div"] == (linked or written)


@pytest.mark.parametrize(
    ("sent", "linked"),
    [
        ("http://x.org/fhir/Patient/7/_history/1", "Patient/1/_history/1"),
        ("Patient/7/_history/1", "Patient/1/_history/1"),
        ("Patient/7/_history/1#x", "Patient/1/_history/1#x"),
        ("Patient/7/_history/2", "Patient/1"),
        ("Patient/8/_history/c-3", "Patient/2/_history/1"),
        ("Practitioner/b/_history/1", "Practitioner/2"),
        ("http://y.org/fhir/Patient/7/_history/1", None),
        ("Patient/9/_history/1", None),
    ],
)
def test_a_link_to_a_version_of_an_entry_is_one_to_what_becomes_of_it(sent, linked):
    base = "http://x.org/fhir"
    here = {f"{base}/Patient/7": "Patient/1", f"{base}/Patient/8": "Patient/2"}
    firsts = {f"{base}/Patient/7": "1", f"{base}/Patient/8": ""}
    links = Links(LINKS.definitions, {**LINKS.targets, **here}, firsts=firsts)
    told = {"resourceType": "Observation", "subject": {"reference": sent}}
    made = links.linked(told, f"{base}/Observation/1")
    assert made["subject"]["reference"] == (linked or sent)


@pytest.mark.parametrize("door", ["memory"], indirect=True)
async def test_links_to_versions_lead_to_what_a_transaction_writes(door):
    """Not to whoever has that id here: a new resource in its first version, another without one."""
    base = "http://other.example/fhir"
    await door.give("PUT", "Patient/7", patient("7"))
    await door.give("PUT", "Patient/8", patient("8", gender="male"))
    his = patient("7", meta={"versionId": "4"})
    versions = ["Patient/7/_history/4", f"{base}/Patient/7/_history/4", "Patient/7/_history/3"]
    versions += ["Patient/8/_history/4"]
    hers = {
        **observation("1"),
        "focus": [{"reference": version} for version in versions],
    }
    condition = {"method": "PUT", "url": "Patient?gender=male"}
    sent = transaction(hers)
    sent["entry"][0]["fullUrl"] = f"{base}/Observation/1"
    sent["entry"] += [
        {
            "fullUrl": f"{base}/Patient/7",
            "request": {"method": "POST", "url": "Patient"},
            "resource": his,
        },
        {"fullUrl": f"{base}/Patient/8", "request": condition, "resource": patient(gender="male")},
    ]
    answered = await door.give("POST", "", sent)
    new = answered["entry"][1]["response"]["location"].removeprefix(f"{door.context.base}/")
    id_ = new.partition("/_history")[0]
    assert new == f"{id_}/_history/1"
    stored = await door.give("GET", "Observation/1")
    assert [f["reference"] for f in stored["focus"]] == [new, new, id_, "Patient/8"]


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
