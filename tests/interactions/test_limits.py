"""What limits a caller beyond scopes, in the plan: roles, attribute rules, labels, Consents."""

import pytest

from fhir_server.access import LETTERS, Access, Grant, Withheld

ALL = frozenset(LETTERS)
LABELS = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
USER = "Practitioner/d1"


def anyone(**more):
    return Access("s1", (Grant("*", ALL),), fhir_user=USER, **more)


def of(patient, id_, **more):
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"code": "x"}]},
        "subject": {"reference": f"Patient/{patient}"},
    } | more


def labelled(code):
    return {"meta": {"security": [{"system": LABELS, "code": code}]}}


@pytest.fixture
async def ward(door):
    for resource in (
        {"resourceType": "Patient", "id": "p1"},
        {"resourceType": "Patient", "id": "p2"},
        {"resourceType": "Practitioner", "id": "d1"},
        of("p1", "o1"),
        of("p1", "r1", **labelled("R")),
        of("p1", "v1", **labelled("V")),
        of("p2", "o2"),
        {
            "resourceType": "ServiceRequest",
            "id": "s1",
            "status": "active",
            "intent": "order",
            "subject": {"reference": "Patient/p1"},
            "requester": {"reference": USER},
        },
    ):
        place = f"{resource['resourceType']}/{resource['id']}"
        await door.give("PUT", place, resource)
    return door


async def found(door, url="Observation?code=x"):
    return sorted(await door.ids(url))


async def seen(door, *ids):
    """Give those ids that a read, a vread and a history all give; they must agree."""
    given = []
    for id_ in ids:
        places = (
            f"Observation/{id_}",
            f"Observation/{id_}/_history/1",
            f"Observation/{id_}/_history",
        )
        statuses = {(await door.call("GET", place)).status for place in places}
        assert len(statuses) == 1
        if statuses == {200}:
            given.append(id_)
    return given


EVERY = ("o1", "o2", "r1", "v1")


@pytest.mark.parametrize(
    ("access", "ids"),
    [
        (anyone(), ["o1", "o2", "r1", "v1"]),
        (anyone(clearance="R"), ["o1", "o2", "r1"]),
        (anyone(clearance="N"), ["o1", "o2"]),
        (anyone(withheld=(Withheld("p1"),)), ["o2"]),
        (anyone(withheld=(Withheld("p1"), Withheld("p2"))), []),
        (anyone(withheld=(Withheld("p1", frozenset({"Condition"})),)), ["o1", "o2", "r1", "v1"]),
        (anyone(withheld=(Withheld("p1", labels=(f"{LABELS}|R",)),)), ["o1", "o2", "v1"]),
        (
            anyone(withheld=(Withheld("p1", unless=(Withheld("p1", labels=(f"{LABELS}|R",)),)),)),
            ["o2", "r1"],
        ),
        (anyone(within=(Grant("*", ALL),)), ["o1", "o2", "r1", "v1"]),
        (
            anyone(
                within=(Grant("*", ALL, whose=(("_has:ServiceRequest:patient:requester", USER),)),)
            ),
            ["o1", "r1", "v1"],
        ),
        (anyone(within=(Grant("Observation", ALL, "p2"),)), ["o2"]),
        (
            anyone(within=(Grant("Observation", ALL, query=(("_id", "o1"),)),), clearance="R"),
            ["o1"],
        ),
    ],
)
async def test_reads_and_searches_agree_on_what_is_within_the_limits(ward, access, ids):
    limited = ward.as_(access)
    assert await found(limited) == ids
    count = await limited.give("GET", "Observation?code=x&_summary=count")
    assert count["total"] == len(ids)
    whose = [g.whose for g in access.within or ()]
    if not any(whose):  # past versions of what an attribute rule limits are absent
        assert sorted(await seen(limited, *EVERY)) == ids


async def test_nothing_withheld_comes_by_a_chain_an_include_or_a_history(ward):
    limited = ward.as_(anyone(withheld=(Withheld("p1"),)))
    assert await found(limited, "Observation?subject:Patient._id=p1") == []
    assert await found(limited, "Patient?_has:Observation:patient:code=x") == ["p2"]
    bundle = await limited.give("GET", "Practitioner?_id=d1&_revinclude=ServiceRequest:requester")
    assert len(bundle["entry"]) == 1
    history = await limited.give("GET", "Observation/_history")
    assert [e["resource"]["id"] for e in history["entry"]] == ["o2"]


async def test_what_is_withheld_is_not_written_over_or_deleted(ward):
    limited = ward.as_(anyone(clearance="R"))
    assert (await limited.call("PUT", "Observation/v1", of("p1", "v1"))).status == 404
    assert (await limited.call("DELETE", "Observation/v1")).status == 404
    assert (await ward.give("GET", "Observation/v1"))["meta"]["versionId"] == "1"


async def test_a_role_without_the_type_is_refused_it(ward):
    clerk = ward.as_(anyone(within=(Grant("Patient", ALL),)))
    assert (await clerk.call("GET", "Observation/o1")).status == 403
    assert (await clerk.call("GET", "Observation?code=x")).status == 403
    assert (await clerk.call("GET", "Patient/p1")).status == 200
    chained = await clerk.call("GET", "Patient?_has:Observation:patient:code=x")
    assert "p1" not in chained.body.decode()


async def test_a_limited_caller_cannot_tell_which_ids_are_taken(ward):
    limited = ward.as_(Access("s1", (Grant("*", ALL, "p1"),)))
    taken = await limited.call("PUT", "Observation/o2", of("p1", "o2"))
    free = await limited.call("PUT", "Observation/o9", of("p1", "o9"))
    assert (taken.status, taken.body) == (free.status, free.body)
    assert taken.status == 404
    made = await limited.call("POST", "Observation", of("p1", "x"))
    assert made.status == 201
