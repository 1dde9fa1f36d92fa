"""$purge: what it erases, whom it refuses, what it leaves behind."""

from dataclasses import replace as with_

import pytest
from msgspec.structs import replace

from fhir_server.access import LETTERS, Access, Grant


@pytest.fixture
def world(world):
    services = replace(world.context.services, purge=world.store.purge)
    return with_(world, context=replace(world.context, services=services))


async def patient(world, *families):
    for family in families:
        await world.put({"resourceType": "Patient", "id": "p", "name": [{"family": family}]})


async def test_it_erases_the_past_and_keeps_the_present(world):
    await patient(world, "One", "Two", "Three")
    told = await world.give("POST", "Patient/p/$purge")
    assert told["parameter"] == [{"name": "erased", "valueInteger": 2}]
    assert [v["meta"]["versionId"] for v in await world.versions("Patient/p")] == ["3"]
    assert (await world.call("GET", "Patient/p/_history/1")).status == 404
    assert (await world.give("GET", "Patient/p"))["name"] == [{"family": "Three"}]


async def test_of_what_was_deleted_only_the_deletion_stays(world):
    await patient(world, "Secret")
    await world.call("DELETE", "Patient/p")
    await world.give("POST", "Patient/p/$purge")
    assert (await world.call("GET", "Patient/p")).status == 410
    assert await world.versions("Patient/p") == [None]


async def test_it_is_told_in_an_audit_event(world):
    await patient(world, "One", "Two")
    await world.give("POST", "Patient/p/$purge")
    (event,) = await world.all("AuditEvent")
    assert event["entity"] == [{"what": {"reference": "Patient/p"}}]
    assert (event["action"], event["agent"][0]["altId"]) == ("D", "test")


@pytest.mark.parametrize(
    "grant",
    [
        Grant("*", frozenset("crus")),
        Grant("*", frozenset(LETTERS), patient="p"),
        Grant("Patient", frozenset(LETTERS)),
    ],
    ids=["no delete", "one patient", "one type"],
)
async def test_it_needs_a_token_that_may_delete_everything(world, grant):
    await patient(world, "One", "Two")
    assert (await world.as_(Access("app", (grant,))).call("POST", "Patient/p/$purge")).status == 403
    assert len(await world.versions("Patient/p")) == 2
    assert await world.all("AuditEvent") == []


async def test_it_is_not_there_for_what_is_never_altered(world):
    await patient(world, "One", "Two")
    await world.give("POST", "Patient/p/$purge")
    (event,) = await world.all("AuditEvent")
    refused = await world.call("POST", f"AuditEvent/{event['id']}/$purge")
    assert (refused.status, refused.headers) == (404, {})
    assert await world.all("AuditEvent") == [event]


async def test_what_never_was_is_404_and_get_does_not_purge(world):
    assert (await world.call("POST", "Patient/nobody/$purge")).status == 404
    await patient(world, "One", "Two")
    assert (await world.call("GET", "Patient/p/$purge")).status == 405
    assert len(await world.versions("Patient/p")) == 2
