"""Conditional delete of several: bounded, whole or not at all, and only where the setting allows it."""

import json

import pytest
from bodies import observation, patient

from fhir_server.access import Access, Grant
from fhir_server.store.port import Key


@pytest.fixture
async def several(door):
    """A door where several may be deleted at once, with five patients of one family."""
    for n in range(5):
        await door.give("PUT", f"Patient/p{n}", patient(f"p{n}", name=[{"family": "Rho"}]))
    await door.give("PUT", "Patient/other", patient("other", name=[{"family": "Sigma"}]))
    return door.with_policy(delete_several=True)


async def test_all_that_match_are_deleted_and_nothing_else(several):
    assert (await several.call("DELETE", "Patient?family=Rho")).status == 204
    assert await several.ids("Patient") == ["other"]
    assert (await several.call("GET", "Patient/p0")).status == 410


async def test_the_outcome_tells_how_many(several):
    told = await several.call("DELETE", "Patient?family=Rho", prefer="return=OperationOutcome")
    assert (told.status, json.loads(told.body)["issue"][0]["diagnostics"][:1]) == (200, "5")


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_an_entry_tells_of_several_as_the_request_alone_does(several, kind):
    entry = {"request": {"method": "DELETE", "url": "Patient?family=Rho"}}
    sent = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
    answered = await several.give("POST", "", sent, prefer="return=OperationOutcome")
    response = answered["entry"][0]["response"]
    assert response.keys() == {"status", "lastModified", "outcome"}
    assert response["outcome"]["issue"][0]["diagnostics"] == "5 resources were deleted"


async def test_more_matches_than_count_are_refused_and_none_is_deleted(several):
    refused = await several.call("DELETE", "Patient?family=Rho&_count=4")
    assert refused.status == 412
    assert json.loads(refused.body)["issue"][0]["code"] == "multiple-matches"
    assert len(await several.ids("Patient")) == 6
    assert (await several.call("DELETE", "Patient?family=Rho&_count=5")).status == 204


async def test_without_count_a_hundred_may_go(several):
    for n in range(101):
        await several.give(
            "PUT", f"Basic/b{n}", {"resourceType": "Basic", "id": f"b{n}", "code": {"text": "x"}}
        )
    assert (await several.call("DELETE", "Basic?_lastUpdated=gt2000")).status == 412
    assert (await several.call("DELETE", "Basic?_lastUpdated=gt2000&_count=200")).status == 204
    assert await several.ids("Basic") == []


@pytest.mark.parametrize("count", ["0", "-1", "x", "10001", "99999999999999999999"])
async def test_a_count_that_cannot_be_is_400(several, count):
    assert (await several.call("DELETE", f"Patient?family=Rho&_count={count}")).status == 400


async def test_the_setting_decides(several):
    single = several.with_policy(delete_several=False)
    assert (await single.call("DELETE", "Patient?family=Rho")).status == 412
    assert (await single.call("DELETE", "Patient?family=Rho&_count=9")).status == 400
    assert len(await single.ids("Patient")) == 6


async def test_if_match_is_for_one_match_only(several):
    assert (await several.call("DELETE", "Patient?family=Rho", if_match='W/"1"')).status == 412
    assert (await several.call("DELETE", "Patient?family=Sigma", if_match='W/"1"')).status == 204


async def test_what_is_out_of_reach_stays(several):
    for owner in ("p0", "p1"):
        await several.give("PUT", f"Observation/{owner}", observation(owner, f"Patient/{owner}"))
    mine = several.as_(Access("app", (Grant("*", frozenset("crusd"), patient="p0"),)))
    assert (await mine.call("DELETE", "Observation?code=urn:codes|a")).status == 204
    assert await several.ids("Observation") == ["p1"]


async def test_it_is_one_entry_of_a_transaction_too(several):
    entries = [
        {"request": {"method": "DELETE", "url": "Patient?family=Rho"}},
        {"request": {"method": "POST", "url": "Patient"}, "resource": patient()},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    answered = await several.give("POST", "", bundle)
    assert [e["response"]["status"] for e in answered["entry"]] == ["204", "201"]
    assert len(await several.ids("Patient")) == 2


async def test_another_entry_on_one_of_them_is_refused(several):
    entries = [
        {"request": {"method": "DELETE", "url": "Patient?family=Rho"}},
        {"request": {"method": "PUT", "url": "Patient/p3"}, "resource": patient("p3")},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    refused = await several.call("POST", "", bundle)
    assert refused.status == 400
    assert b"Entries 0 and 1" in refused.body
    assert len(await several.ids("Patient")) == 6


async def test_one_changed_in_between_is_looked_at_again(several, monkeypatch):
    """A match that another writer turns into none just before the commit is not deleted."""
    store = several.context.services.store
    commit, raced = type(store).commit, []

    async def racing(self, changes, preconditions=()):
        if not raced and changes[0].method == "DELETE":
            raced.append(True)
            await several.give("PUT", "Patient/p2", patient("p2", name=[{"family": "Tau"}]))
        return await commit(self, changes, preconditions)

    monkeypatch.setattr(type(store), "commit", racing)
    assert (await several.call("DELETE", "Patient?family=Rho")).status == 204
    assert sorted(await several.ids("Patient")) == ["other", "p2"]
    assert (await store.read(Key("default", "Patient", "p2"))).version_id == 2
