"""References told apart by their text (FHIR R4 references.html)."""

import pytest

from resources.reference import Canonical, Reference, canonical, identifier, literal, parse

BASE = "https://here.example/fhir"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Patient/1", Reference("local", "Patient", "1")),
        ("Patient/1/_history/3", Reference("local", "Patient", "1", "3")),
        (f"{BASE}/Patient/1", Reference("local", "Patient", "1")),
        (f"{BASE}/Patient/1/_history/3", Reference("local", "Patient", "1", "3")),
        (
            "http://other.example/r4/Patient/1/_history/3",
            Reference("absolute", "Patient", "1", "3", "http://other.example/r4/Patient/1"),
        ),
        (
            "https://here.example/fhirPatient/1",
            Reference("absolute", url="https://here.example/fhirPatient/1"),
        ),
        ("urn:uuid:8b2c", Reference("urn", url="urn:uuid:8b2c")),
        ("urn:oid:1.2.3", Reference("urn", url="urn:oid:1.2.3")),
        ("#med", Reference("contained", id="med")),
        ("#", Reference("contained")),
        ("Patient?identifier=x|1", Reference("conditional", "Patient", url="identifier=x|1")),
        ("patient/1", Reference("other", url="patient/1")),
        ("Patient/1/2", Reference("other", url="Patient/1/2")),
        ("Patient/" + "x" * 65, Reference("other", url="Patient/" + "x" * 65)),
        ("http://example.org/thing", Reference("absolute", url="http://example.org/thing")),
    ],
)
def test_a_reference_says_where_it_leads(text, wanted):
    assert parse(text, BASE) == wanted


def test_without_a_base_every_url_is_elsewhere():
    assert parse(f"{BASE}/Patient/1").form == "absolute"
    assert parse(f"{BASE}/Patient/1", BASE + "/").form == "local"


def test_a_canonical_has_version_and_fragment():
    assert canonical("http://x.example/v|1.0#part") == Canonical(
        "http://x.example/v", "1.0", "part"
    )
    assert canonical("http://x.example/v") == Canonical("http://x.example/v")


def test_a_logical_reference_has_no_literal():
    logical = {"identifier": {"system": "urn:a", "value": "1"}, "type": "Patient"}
    assert literal(logical) is None
    assert identifier(logical) == {"system": "urn:a", "value": "1"}
    assert literal({"reference": "Patient/1"}) == Reference("local", "Patient", "1")
    assert identifier({"reference": "Patient/1"}) is None
