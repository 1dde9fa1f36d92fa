"""The official R4 examples through the door: stored, and back equal, digits included."""

import gzip
import json

import pytest

from fhir_server.access import everything
from fhir_server.app import installation
from fhir_server.interactions import answer
from fhir_server.interactions.dispatch import dispatch
from fhir_server.message import FhirRequest
from fhir_server.settings import load
from resources.model import parse, serialise
from resources.outcome import FhirError

WRONG = {
    # what each breaks is told in tests/conformance/test_examples.py
    ("ActivityDefinition", "heart-valve-replacement"),
    ("Bundle", "v2-valuesets"),
    ("Bundle", "valuesets"),
    ("DeviceMetric", "example"),
    ("ImplementationGuide", "fhir"),
}

SPECIAL = {
    "_content": "a",
    "_filter": "_id eq a",
    "_list": "List/example",
    "_orphan": "true",
    "_text": "a",
    "near": "52.1|4.9|5|km",
}


def examples(corpus):
    packed = (corpus / "r4" / "examples-dev.ndjson.gz").read_bytes()
    return gzip.decompress(packed).splitlines()


def plain(resource):
    """Give a resource without what the store writes."""
    meta = {
        k: v for k, v in resource.get("meta", {}).items() if k not in {"versionId", "lastUpdated"}
    }
    rest = {k: v for k, v in resource.items() if k != "meta"}
    return {**rest, "meta": meta} if meta else rest


@pytest.fixture
async def context(tmp_path):
    settings, _ = load({"data": str(tmp_path), "auth": "open"}, {}, None)
    async with installation(settings, "http://test.example") as house:
        yield house.context("default", everything("test"))


async def stored(context, raw):
    resource = parse(raw)
    place = f"{resource['resourceType']}/{resource.get('id', 'none')}"
    try:
        await dispatch(context, FhirRequest("PUT", place, body=raw))
    except FhirError as refused:
        return place, answer.failed(refused)
    return place, None


async def test_every_valid_official_example_comes_back_equal(context, corpus, record_property):
    lines = examples(corpus)
    refused, count = set(), 0
    for raw in lines:
        sent = parse(raw)
        place, failure = await stored(context, raw)
        if failure is not None:
            refused.add((sent["resourceType"], sent["id"]))
            continue
        back = parse((await dispatch(context, FhirRequest("GET", place))).body)
        assert serialise(plain(back)) == serialise(dict(sorted_like(plain(sent), plain(back)))), (
            place
        )
        count += 1
    assert refused <= WRONG
    record_property("proof", f"{count} of {len(lines)} official examples stored and back equal")
    assert count >= len(lines) - len(WRONG)


def sorted_like(value, model):
    """Give the top-level members of one object in the order of another, all members kept."""
    return [(k, value[k]) for k in model if k in value] + [
        (k, v) for k, v in value.items() if k not in model
    ]


async def test_every_claimed_search_parameter_answers(context, corpus):
    for raw in examples(corpus):
        await stored(context, raw)
    statement = parse((await dispatch(context, FhirRequest("GET", "metadata"))).body)
    values = {
        "token": "a",
        "string": "a",
        "date": "2020",
        "number": "1",
        "quantity": "1",
        "uri": "http://a",
        "reference": "Patient/example",
    }
    asked = 0
    for resource in statement["rest"][0]["resource"]:
        for parameter in resource["searchParam"]:
            if parameter["type"] == "composite":
                continue  # asked, each by its members' types, in tests/contract/test_every_parameter.py
            value = SPECIAL.get(parameter["name"]) or values[parameter["type"]]
            query = ((parameter["name"], value), ("_count", "1"))
            answered = await dispatch(context, FhirRequest("GET", resource["type"], query))
            assert answered.status == 200
            asked += 1
    assert asked > 1_500


async def test_a_synthea_bundle_goes_in_whole(context, corpus):
    path = min((corpus / "synthea").glob("*.json.gz"), key=lambda p: p.stat().st_size)
    raw = gzip.decompress(path.read_bytes())
    answered = parse((await dispatch(context, FhirRequest("POST", "", body=raw))).body)
    statuses = {entry["response"]["status"] for entry in answered["entry"]}
    assert statuses == {"201"}
    assert len(answered["entry"]) == len(json.loads(raw)["entry"])
