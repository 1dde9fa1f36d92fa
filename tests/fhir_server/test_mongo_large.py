"""A transaction of 10,000 entries on MongoDB: there whole, or refused and nothing of it there."""

import time
import uuid

import job_world
import mongod
import pymongo
import pytest

LEAST = "cache_size=32M"
USUAL = "cache_size=512M"


@pytest.fixture
async def world(mongo_database, tmp_path):
    async with job_world.opened(mongo_database.emptied(), tmp_path) as made:
        yield made


@pytest.fixture
def cache(mongo_url):
    """A way to change the size of the server's cache."""
    if mongod.given():
        pytest.skip("the server that MONGO_TEST_URI names keeps its cache")
    with pymongo.MongoClient(mongo_url) as client:

        def sized(text):
            client.admin.command({"setParameter": 1, "wiredTigerEngineRuntimeConfig": text})

        yield sized
        sized(USUAL)


def transaction(count):
    """Give a transaction of a patient and Observations that refer to it."""

    def entry(type_, at, **more):
        resource = {"resourceType": type_, **more}
        request = {"method": "POST", "url": type_}
        return {"fullUrl": uuid.UUID(int=at).urn, "resource": resource, "request": request}

    coding = {"system": "urn:example:laboratory", "code": "1"}
    told = {"status": "final", "code": {"coding": [coding]}}
    told["subject"] = {"reference": uuid.UUID(int=0).urn}
    observations = [
        entry("Observation", at, **told, valueQuantity={"value": at}) for at in range(1, count)
    ]
    entries = [entry("Patient", 0, active=True), *observations]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def test_a_transaction_of_10000_entries_is_there_whole(world, size, record_property):
    count, begun = size(500, 10_000), time.monotonic()
    answered = await world.give("POST", "", transaction(count))
    seconds = time.monotonic() - begun
    assert {one["response"]["status"][:3] for one in answered["entry"]} == {"201"}
    found = await world.give("GET", "Observation?subject.active=true&_summary=count")
    assert found["total"] == count - 1
    told = f"MongoDB: a transaction of {count} entries there whole after {seconds:.1f} s"
    record_property("proof", f"{told}, with a cache of 0.5 GB")


async def test_one_that_has_no_room_in_the_cache_is_413_and_nothing_is_there(world, cache):
    cache(LEAST)
    refused = await world.call("POST", "", transaction(2_000))
    assert job_world.outcome_of(refused)[:2] == (413, "too-long")
    cache(USUAL)
    assert await world.store.position() == 0
    await world.put({"resourceType": "Patient", "id": "after"})
    assert (await world.store.position()) == 1
