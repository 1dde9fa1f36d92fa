"""AuditEvents: valid R4 by the Basic Audit Log Patterns, whatever was done."""

import base64

import pytest

from conformance.validate import Validator
from fhir_server.audit.event import Accessed, accesses, event
from fhir_server.audit.record import Record
from resources import definitions

VALIDATOR = Validator(definitions.load())
BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."


def made(act, status=200, entities=(), patients=(), door="fhir", **more):
    given = {"client": "viewer", "subject": "s1", "user": "Practitioner/1", "address": "10.0.0.1"}
    record = Record(1_790_000_000_000, "default", door, act, status, **(given | more))
    return event(Accessed("j-1", record, entities, patients), "https://here.example")


ACTS = (
    *("read", "vread", "history-instance", "history-type", "history-system", "create", "update"),
    *("patch", "delete", "search-type", "search-system", "operation", "bundle", "purge", "job"),
    *("refused", "login", "logout", "token", "launch", "consent", "revoke", "introspect"),
    *("register", "frames", "search-studies", "store", "message", "infer", "export"),
    *("export-file", "sweep", "resume"),
)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("status", [200, 404, 503])
def test_every_act_makes_a_valid_event(act, status):
    found = made(
        act,
        status,
        ("Observation/1/_history/2",),
        ("p1",),
        path="Observation/1",
        request="r-1",
        note="x",
    )
    faults = [i for i in VALIDATOR.check(found) if i.severity in {"error", "fatal"}]
    assert not faults
    assert found["outcome"] == {200: "0", 404: "4", 503: "8"}[status]


@pytest.mark.parametrize(
    ("act", "action", "pattern"),
    [
        ("read", "R", "Read"),
        ("vread", "R", "Read"),
        ("create", "C", "Create"),
        ("update", "U", "Update"),
        ("patch", "U", "Update"),
        ("delete", "D", "Delete"),
    ],
)
def test_a_success_names_its_pattern(act, action, pattern):
    about_her = made(act, entities=("Observation/1",), patients=("p1",))
    assert about_her["action"] == action
    assert about_her["meta"]["profile"] == [f"{BALP}Patient{pattern}"]
    about_none = made(act, entities=("Organization/1",))
    assert about_none["meta"]["profile"] == [BALP + pattern]
    assert "meta" not in made(act, 404, entities=("Observation/1",))


def test_a_search_keeps_its_query_in_base64_and_the_patients_it_returned():
    found = made("search-type", patients=("p1", "p2"), path="Patient", query=(("name", "Ö & x"),))
    (query,) = [e["query"] for e in found["entity"] if "query" in e]
    assert base64.b64decode(query) == b"Patient?name=%C3%96+%26+x"
    seen = [e["what"]["reference"] for e in found["entity"] if "what" in e]
    assert seen == ["Patient/p1", "Patient/p2"]
    assert found["meta"]["profile"] == [f"{BALP}Query"]
    one = made("search-type", patients=("p1",), path="Patient")
    assert one["meta"]["profile"] == [f"{BALP}PatientQuery"]


def test_who_asked_is_told_with_client_server_and_user():
    client, server, user = made("read", entities=("Patient/1",))["agent"]
    assert client["type"]["coding"][0]["code"] == "110152"
    assert client["network"] == {"address": "10.0.0.1", "type": "2"}
    assert client["who"]["identifier"]["value"] == "viewer"
    assert server["type"]["coding"][0]["code"] == "110153"
    assert user["who"] == {"reference": "Practitioner/1"}


def test_breaking_the_glass_is_told_with_its_reason():
    found = made("read", entities=("Patient/1",), purpose="unconscious, no relative")
    (purpose,) = found["purposeOfEvent"]
    assert purpose["coding"][0]["code"] == "BTG"
    assert purpose["text"] == "unconscious, no relative"


def test_a_transaction_is_as_many_accesses_as_it_wrote():
    written = (("POST", "Patient/1/_history/1"), ("DELETE", "Patient/2"))
    record = Record(0, "default", "fhir", "bundle", 200, written=written)
    assert [(a.act, a.what) for a in accesses(record)] == [
        ("create", ("Patient/1/_history/1",)),
        ("delete", ("Patient/2",)),
    ]
