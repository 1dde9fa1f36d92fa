"""AuditEvents put together from pieces are what `event` says, byte for byte, and are found by the same."""

import random

import pytest
from msgspec.structs import replace

from fhir_server.audit.event import Accessed, accesses, event
from fhir_server.audit.pieces import Pieces
from fhir_server.audit.record import Record
from fhir_server.interactions.writing import body
from fhir_server.search.parameters import SearchParameters, Uploaded
from fhir_server.store.port import Key
from resources import definitions

HERE = "https://here.example"
NOW = 1_790_000_000_000
ACTS = (
    *("read", "vread", "history-instance", "create", "update", "patch", "delete", "purge", "job"),
    *("search-type", "search-system", "operation", "login", "token", "frames", "message", "store"),
    *("export", "export-file", "sweep", "refused", "search-studies", "introspect", "bundle"),
)
QUERIES = ((), (("name", "Ö & x"), ("_count", "2")), (("identifier", 'a|"b\\'),))
PEOPLE = (
    ("viewer", "s1", "Practitioner/1"),
    ("viewer", "s1", ""),
    ("", "", ""),
    ("app", "app", ""),
    ("", 'Zoë "Z" \\ \u2028', "Practitioner/zoë-is-none"),
)


@pytest.fixture(scope="module")
def parameters():
    return SearchParameters(definitions.load())


def mixed_day(count):
    """Give accesses of all sorts, as they come: the same records each time."""
    rnd = random.Random(7)
    for number in range(count):
        client, subject, user = rnd.choice(PEOPLE)
        record = Record(
            NOW + rnd.randrange(86_400_000),
            "default",
            "fhir",
            rnd.choice(ACTS),
            rnd.choice((200, 200, 200, 201, 404, 500)),
            subject,
            client,
            user,
            rnd.choice(("10.0.0.1", "::1", "")),
            rnd.choice((f"r-{number}", "")),
            rnd.choice(("Patient", "Observation/o1", "")),
            query=rnd.choice(QUERIES),
            note=rnd.choice(("", "ADT^A01 M1")),
            written=rnd.choice(((), (("POST", "Observation/o9/_history/1"),))),
            purpose=rnd.choice(("", "", "unconscious, no relative")),
        )
        entities = rnd.choice(
            (
                (),
                (f"Observation/o{number}/_history/1",),
                ("Patient/p1/_history/3", "ImagingStudy/s1"),
                ("urn:oid:1.2.840.99.7",),
            )
        )
        patients = rnd.choice(((), ("p1",), ("p1", f"p{number % 5}", "p7")))
        for part, access in enumerate(accesses(record)):
            yield Accessed(f"20260101T000000-ab12-{number}-{part}", access, entities, patients)


def kinds(values):
    """Give index values with each kind in one order."""
    return {
        name: sorted(map(repr, held)) if isinstance(held, list) else held
        for name, held in ((name, getattr(values, name)) for name in values.__struct_fields__)
    }


def test_a_mixed_day_is_the_same_in_pieces_and_as_a_whole(parameters, size):
    pieces = Pieces(parameters.extraction("AuditEvent"), HERE)
    for accessed in mixed_day(size(400, 20_000)):
        straight = event(accessed, HERE)
        change = pieces.change("default", accessed)
        assert change.body == body(straight)
        assert change.key == Key("default", "AuditEvent", accessed.id)
        assert kinds(change.values) == kinds(parameters.values(straight))


def test_what_one_event_gives_is_not_changed_by_the_next(parameters):
    pieces = Pieces(parameters.extraction("AuditEvent"), HERE)
    day = list(mixed_day(40))
    first = [kinds(pieces.change("default", one).values) for one in day]
    assert [kinds(pieces.change("default", one).values) for one in day] == first


def uploaded(parameters, expression):
    held = next(
        one
        for one in definitions.load().search_parameters
        if one.code == "action" and "AuditEvent" in one.base
    )
    changed = replace(held, code="mine", expression=expression)
    return SearchParameters(definitions.load(), (Uploaded(changed),), parameters)


@pytest.mark.parametrize(
    ("expression", "by_element"),
    [
        ("AuditEvent.agent.where(requestor = true).type", True),
        ("AuditEvent.where(action = 'R').outcome", False),
    ],
)
def test_a_parameter_that_looks_at_the_whole_is_known(parameters, expression, by_element):
    assert uploaded(parameters, expression).extraction("AuditEvent").by_element is by_element
