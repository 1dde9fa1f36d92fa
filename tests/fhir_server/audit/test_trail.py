"""The trail: what the doors tell becomes the right record; where it cannot be kept nothing is answered."""

import msgspec
import pytest

from fhir_server.access import Access
from fhir_server.audit import chain
from fhir_server.audit.chain import Place
from fhir_server.audit.event import accesses
from fhir_server.audit.journal import Journal
from fhir_server.audit.record import Record
from fhir_server.audit.trail import Trail
from fhir_server.message import FhirRequest, FhirResponse
from resources.model import serialise
from resources.outcome import Unavailable

KEY = bytes(32)


class Caller:
    tenant = "default"
    access = Access("s1", client="app", fhir_user="Practitioner/1")
    request_id = "r1"
    address = "10.0.0.1"
    keep_unchanged = False


class Ours(Caller):
    keep_unchanged = True


@pytest.fixture
def trail(tmp_path):
    made = Trail(Journal(tmp_path / "audit", KEY), lambda: 1_790_000_000_000)
    yield made
    made.journal.close()


def records(tmp_path):
    """Give what is in the journal, without its first line."""
    decode = msgspec.json.Decoder(Record).decode
    return [
        decode(content)
        for path in sorted((tmp_path / "audit").glob("*.journal"))
        for _, content in chain.lines(KEY, path.read_bytes(), Place())
        if content[:1] == b"["
    ]


@pytest.mark.parametrize(
    ("method", "path", "act"),
    [
        ("GET", "Patient/1", "read"),
        ("HEAD", "Patient/1", "read"),
        ("GET", "Patient/1/_history/2", "vread"),
        ("GET", "Patient/1/_history", "history-instance"),
        ("GET", "Patient/_history", "history-type"),
        ("GET", "_history", "history-system"),
        ("GET", "Patient", "search-type"),
        ("GET", "", "search-system"),
        ("GET", "Patient/1/Observation", "search-type"),
        ("POST", "Patient/_search", "search-type"),
        ("POST", "_search", "search-system"),
        ("POST", "Patient", "create"),
        ("PUT", "Patient/1", "update"),
        ("PUT", "Patient", "update"),
        ("PATCH", "Patient/1", "patch"),
        ("DELETE", "Patient/1", "delete"),
        ("GET", "Patient/1/$everything", "operation"),
        ("POST", "Patient/1/$purge", "purge"),
        ("GET", "_async/j1", "job"),
        ("DELETE", "_async/j1", "job"),
        ("GET", "_async/j1/Patient.ndjson", "export-file"),
    ],
)
async def test_each_interaction_has_its_name(trail, tmp_path, method, path, act):
    trail.interaction(Caller(), FhirRequest(method, path), FhirResponse(404))
    (record,) = records(tmp_path)
    assert (record.act, record.status, record.client, record.user) == (
        act,
        404,
        "app",
        "Practitioner/1",
    )


async def test_the_statement_of_the_server_is_no_access(trail, tmp_path):
    trail.interaction(Caller(), FhirRequest("GET", "metadata"), FhirResponse(200))
    assert records(tmp_path) == []


async def test_our_own_reads_are_not_told_and_our_writes_are(trail, tmp_path):
    trail.interaction(Ours(), FhirRequest("GET", "Patient"), FhirResponse(200))
    location = {"Location": "http://x/fhir/Patient/1/_history/1"}
    trail.interaction(Ours(), FhirRequest("POST", "Patient"), FhirResponse(201, b"", location))
    (record,) = records(tmp_path)
    assert record.what == ("Patient/1/_history/1",)


async def test_a_transaction_tells_each_entry_that_it_wrote(trail, tmp_path):
    wrote = (("POST", "Patient/1/_history/1"), ("DELETE", "Patient/2/_history/2"))
    trail.interaction(Caller(), FhirRequest("POST", ""), FhirResponse(200, changed=wrote))
    (record,) = records(tmp_path)
    assert (record.act, record.what, record.written) == ("bundle", (), wrote)


async def test_a_batch_is_told_by_its_entries(trail, tmp_path):
    trail.interaction(Caller(), FhirRequest("POST", ""), FhirResponse(200))
    assert records(tmp_path) == []


async def test_what_a_condition_deleted_is_named(trail, tmp_path):
    gone = tuple(("DELETE", f"Patient/{n}/_history/2") for n in range(3))
    asked = FhirRequest("DELETE", "Patient", (("family", "Rho"),))
    for several in (gone[:1], gone, ()):
        trail.interaction(Caller(), asked, FhirResponse(204, changed=several))
    told = [(record.what, record.written) for record in records(tmp_path)]
    assert told == [(("Patient/0/_history/2",), ()), ((), gone), ((), ())]
    one, *each = [access for record in records(tmp_path) for access in accesses(record)]
    none = each.pop()
    assert [one.what, *[access.what for access in each]] == [
        ("Patient/0/_history/2",),
        *[(reference,) for _, reference in gone],
    ]
    assert {(a.act, a.path, a.query) for a in (one, none, *each)} == {
        ("delete", "Patient", (("family", "Rho"),))
    }


async def test_an_operation_tells_what_it_gave_and_its_texts(trail, tmp_path):
    body = serialise(
        {
            "resourceType": "Bundle",
            "entry": [
                {"resource": {"resourceType": "Patient", "id": "1", "meta": {"versionId": "3"}}}
            ],
        }
    )
    asked = serialise(
        {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": "why not"}]}
    )
    request = FhirRequest("POST", "Patient/1/$x", body=asked)
    trail.interaction(Caller(), request, FhirResponse(200, body))
    (record,) = records(tmp_path)
    assert record.what == ("Patient/1", "Patient/1/_history/3")
    assert record.query == (("reason", "why not"),)


async def test_what_cannot_be_kept_is_not_answered(tmp_path):
    (tmp_path / "audit").write_text("a file where the folder should be")
    trail = Trail(Journal(tmp_path / "audit", KEY), lambda: 0)
    with pytest.raises(Unavailable):
        trail.interaction(Caller(), FhirRequest("GET", "Patient/1"), FhirResponse(200))
    with pytest.raises(Unavailable):
        trail.ready()
    (tmp_path / "audit").unlink()
    trail.ready()
    assert [record.act for record in records(tmp_path)] == ["resume"]
    trail.journal.close()


async def test_a_server_may_be_told_to_go_on_without_a_trail(tmp_path):
    (tmp_path / "audit").write_text("a file where the folder should be")
    trail = Trail(Journal(tmp_path / "audit", KEY), lambda: 0, refuse=False)
    trail.interaction(Caller(), FhirRequest("GET", "Patient/1"), FhirResponse(200))
    await trail.synced()
    assert trail.journal.fault
