"""_text, _content and :contains over every store: search.html#content, search.html#string."""

import json

import pytest
from bodies import observation, patient, transaction

from fhir_server.access import Access, Grant


def narrative(words):
    return {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{words}</div>',
    }


@pytest.fixture
async def written(door):
    """Conditions with narratives and notes, patients with long names."""
    rows = [
        ("c1", "Metastases in the liver", "Seen by Dr Größer"),
        ("c2", "Bone metastases", "Pain in the left hip"),
        ("c3", "Fracture of bone", "left side, hip spared"),
        ("c4", None, "Metastatic disease excluded"),
    ]
    resources = [
        patient("p1", name=[{"family": "Müller-Lüdenscheidt"}]),
        patient("p2", name=[{"family": "Mulder"}]),
    ]
    for id_, words, note in rows:
        body = {
            "resourceType": "Condition",
            "id": id_,
            "subject": {"reference": "Patient/p1" if id_ != "c2" else "Patient/p2"},
            "note": [{"text": note}],
        }
        if words:
            body["text"] = narrative(words)
        resources.append(body)
    await door.give("POST", "", transaction(*resources))
    return door


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("Condition?_text=metastases", {"c1", "c2"}),
        ("Condition?_text=METASTASES bone", {"c2"}),
        ("Condition?_text=(bone OR liver) and metastases", {"c1", "c2"}),
        ('Condition?_text="bone metastases"', {"c2"}),
        ('Condition?_text="metastases bone"', set()),
        ("Condition?_text=bone,liver", {"c1", "c2", "c3"}),
        ("Condition?_text=metast*", {"c1", "c2"}),
        ("Condition?_content=metast*", {"c1", "c2", "c4"}),
        ("Condition?_content=groesser", set()),
        ("Condition?_content=GROSSER", {"c1"}),
        ("Condition?_content=left hip", {"c2", "c3"}),
        ('Condition?_content="left hip"', {"c2"}),
        ('Condition?_content="hip sp"*', {"c3"}),
        ("Condition?_content=bone&_content=hip", {"c2", "c3"}),
        ("Condition?_content=bone&subject=Patient/p1", {"c3"}),
        ("Condition?_text=hip", set()),
        ("Patient?_content=metastases", set()),
        ("Patient?_has:Condition:patient:_text=fracture", {"p1"}),
        ("Condition?patient._content=mulder", {"c2"}),
        ("?_type=Condition,Patient&_content=mulder,fracture", {"p2", "c3"}),
        ("Patient?family:contains=lude", {"p1"}),
        ("Patient?family:contains=UL", {"p1", "p2"}),
        ("Patient?family:contains=ulder", {"p2"}),
        ("Patient?family:contains=-lüd", {"p1"}),
    ],
)
async def test_words_are_found_where_they_are_written(written, url, found):
    assert set(await written.ids(url)) == found
    assert set(await written.ids(f"{url}&_sort=-_id")) == found
    counted = await written.give("GET", f"{url}&_summary=count")
    assert counted["total"] == len(found)


async def test_what_is_written_follows_the_resource(written):
    body = {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}}
    await written.give("PUT", "Condition/c1", {**body, "text": narrative("Benign cyst")})
    assert await written.ids("Condition?_text=metastases") == ["c2"]
    assert await written.ids("Condition?_text=cyst") == ["c1"]
    await written.call("DELETE", "Condition/c1")
    assert await written.ids("Condition?_text=cyst") == []
    await written.give("PUT", "Condition/c1", {**body, "text": narrative("Again")})
    assert await written.ids("Condition?_content=again") == ["c1"]


async def test_full_text_keeps_to_the_token(written):
    mine = written.as_(Access("app", (Grant("*", frozenset("rs"), patient="p2"),)))
    assert await mine.ids("Condition?_text=metastases") == ["c2"]
    assert (await mine.give("GET", "Condition?_text=fracture&_summary=count"))["total"] == 0


@pytest.mark.parametrize("value", ["", "(bone", "bone OR", '"', ".", " ".join(["w"] * 100)])
async def test_a_text_that_cannot_be_read_is_refused_without_an_echo(written, value):
    response = await written.call("GET", f"Condition?_content={value}")
    assert response.status == 400
    if "bone" in value:
        assert "bone" not in json.loads(response.body)["issue"][0]["diagnostics"]


async def test_hundreds_written_at_once_are_found_as_one_is(door):
    many = [
        {**observation(f"o{n}", "Patient/p1"), "note": [{"text": f"word{n} all"}]}
        for n in range(80)
    ]
    await door.give("POST", "", transaction(*many))
    assert await door.ids("Observation?_content=word17") == ["o17"]
    assert (await door.give("GET", "Observation?_content=all&_summary=count"))["total"] == 80
    changed = {**observation("o17", "Patient/p1"), "note": [{"text": "other"}]}
    await door.give("PUT", "Observation/o17", changed)
    assert await door.ids("Observation?_content=word17") == []
    assert await door.ids("Observation?_content=other") == ["o17"]


@pytest.fixture
async def audited(written):
    """An AuditEvent that somebody stored, beside what is written."""
    event = {
        "resourceType": "AuditEvent",
        "type": {
            "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
            "code": "rest",
        },
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"requestor": True, "name": "Mulder", "network": {"address": "10.20.30.40"}}],
        "source": {"observer": {"display": "here"}},
        "text": narrative("Mulder"),
    }
    await written.give("POST", "AuditEvent", event)
    return written


@pytest.mark.parametrize(
    "url",
    [
        "AuditEvent?_content=mulder",
        "AuditEvent?_text=mulder",
        "?_type=AuditEvent,Patient&_content=mulder",
        "Patient?_has:AuditEvent:entity:_content=mulder",
        "AuditEvent?_filter=_content co mulder",
    ],
)
async def test_audit_events_are_not_found_by_words_and_that_is_said(audited, url):
    response = await audited.call("GET", url)
    assert response.status == 400
    if "_filter" not in url:
        assert "AuditEvent" in json.loads(response.body)["issue"][0]["diagnostics"]


async def test_words_in_every_type_are_looked_for_in_all_but_audit_events(audited):
    bundle = await audited.give("GET", "?_content=mulder")
    modes = [(e["search"]["mode"], e["resource"]["resourceType"]) for e in bundle["entry"]]
    assert sorted(modes) == [("match", "Patient"), ("outcome", "OperationOutcome")]
    (outcome,) = [e["resource"] for e in bundle["entry"] if e["search"]["mode"] == "outcome"]
    assert "AuditEvent" in outcome["issue"][0]["diagnostics"]


async def test_strings_of_audit_events_are_found_by_any_part(audited):
    assert len(await audited.ids("AuditEvent?address:contains=20.30")) == 1
    assert len(await audited.ids("AuditEvent?agent-name:contains=uld")) == 1
    assert await audited.ids("AuditEvent?address:contains=20.31") == []
