"""Consents as denials: by actor, purpose, period, class, label; in doubt more is kept back."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fhir_server.access import Access, Grant, Withheld
from fhir_server.consents import Consents, denials
from fhir_server.search.values import no_values
from fhir_server.store.memory import MemoryStore
from fhir_server.store.port import Body, Change, Key
from resources.model import serialise

NOW = 1_790_000_000_000  # 2026-09-21
DOCTOR = Access("s1", (Grant("*", frozenset("rs")),), fhir_user="Practitioner/7")
SERVICE = Access("s2", (Grant("*", frozenset("rs")),), client="registry")
ALL = Withheld("p1")


def consent(**provision):
    return {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "patient": {"reference": "Patient/p1"},
        "provision": provision,
    }


def actor(reference):
    return {"actor": [{"role": {"text": "x"}, "reference": {"reference": reference}}]}


def coded(*codes):
    return [{"coding": [{"code": code}]} for code in codes]


@pytest.mark.parametrize(
    ("provision", "withheld"),
    [
        ({"type": "deny"}, (ALL,)),
        ({"type": "permit"}, ()),
        ({}, ()),
        ({"type": "deny"} | actor("Practitioner/7"), (ALL,)),
        ({"type": "deny"} | actor("Practitioner/8"), ()),
        ({"type": "deny"} | actor("Organization/1"), (ALL,)),
        ({"type": "deny", "period": {"end": "2020"}}, ()),
        ({"type": "deny", "period": {"start": "2026-01-01"}}, (ALL,)),
        ({"type": "deny", "period": {"start": "?"}}, (ALL,)),
        ({"type": "deny", "purpose": [{"code": "HRESCH"}]}, ()),
        ({"type": "deny", "purpose": [{"code": "TREAT"}]}, (ALL,)),
        ({"type": "deny", "action": coded("collect")}, ()),
        ({"type": "deny", "action": coded("access")}, (ALL,)),
        (
            {"type": "deny", "class": [{"code": "Observation"}]},
            (Withheld("p1", frozenset({"Observation"})),),
        ),
        ({"type": "deny", "class": [{"code": "text/plain"}]}, (ALL,)),
        ({"type": "deny", "code": coded("x")}, (ALL,)),
        (
            {"type": "deny", "securityLabel": [{"system": "urn:l", "code": "PSY"}]},
            (Withheld("p1", labels=("urn:l|PSY",)),),
        ),
        ({"provision": [{"type": "deny"} | actor("Practitioner/7")]}, (ALL,)),
        ({"provision": [{"type": "deny"} | actor("Practitioner/8")]}, ()),
        (
            {"type": "deny", "provision": [{"type": "permit", "class": [{"code": "Patient"}]}]},
            (Withheld("p1", unless=(Withheld("p1", frozenset({"Patient"})),)),),
        ),
        (
            {"type": "deny", "provision": [{"type": "permit", "code": coded("x")}]},
            (ALL,),
        ),
        (
            {"type": "deny", "provision": [{"type": "permit"} | actor("Organization/1")]},
            (ALL,),
        ),
    ],
)
def test_a_provision_keeps_back_what_it_says(provision, withheld):
    assert denials(consent(**provision), DOCTOR, NOW) == withheld


def test_her_own_record_is_never_kept_from_the_patient():
    herself = replace(DOCTOR, fhir_user="Patient/p1")
    assert denials(consent(type="deny"), herself, NOW) == ()


def test_a_service_that_does_not_say_why_it_reads_is_refused_what_any_purpose_is():
    denied = consent(type="deny", purpose=[{"code": "HRESCH"}])
    assert denials(denied, SERVICE, NOW) == (ALL,)


async def test_a_change_of_a_consent_is_known_after_a_second():
    store, time = MemoryStore(clock=lambda: NOW), [NOW]
    context = SimpleNamespace(services=SimpleNamespace(store=store))
    known = Consents(lambda _: context, lambda: time[0])

    async def put(resource):
        rest = serialise({k: v for k, v in resource.items() if k not in {"resourceType", "id"}})
        body = Body(b'{"resourceType":"Consent","id":"c1","meta":{', b"}," + rest[1:])
        await store.commit([Change(Key("default", "Consent", "c1"), "PUT", body, no_values())])

    assert await known.withheld("default", DOCTOR) == ()
    await put(consent(type="deny"))
    assert await known.withheld("default", DOCTOR) == ()
    time[0] += 1_000
    assert await known.withheld("default", DOCTOR) == (ALL,)
    assert await known.withheld("north", DOCTOR) == ()
    await put(consent(type="deny") | {"status": "inactive"})
    time[0] += 1_000
    assert await known.withheld("default", DOCTOR) == ()
