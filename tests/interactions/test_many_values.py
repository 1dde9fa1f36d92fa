"""Searches that ask for very much are answered, or refused as too costly: never a fault, in every store."""

import json

import pytest
from bodies import patient

from fhir_server.search import limits


def ids(count):
    return ",".join(f"p{n}" for n in range(count))


REFUSED = (400, "too-costly")


async def told(door, method, url, body=None, **headers):
    response = await door.call(method, url, body, **headers)
    return response.status, json.loads(response.body)["issue"][0]["code"]


@pytest.fixture
async def two(door):
    await door.give("PUT", "Patient/p1", patient("p1", birthDate="1950-03-04"))
    await door.give("PUT", "Patient/p2", patient("p2", birthDate="1970-03-04"))
    return door


async def test_what_is_repeated_word_for_word_counts_once(two):
    assert await two.ids("Patient?" + "&".join(["_id=p1"] * 1_500)) == ["p1"]
    condition = "&".join(["birthdate=1950-03-04"] * 1_500)
    kept = await two.call("POST", "Patient", patient("x"), if_none_exist=condition)
    assert kept.status == 200


async def test_ten_thousand_ids_and_five_thousand_identifiers_are_answered(two):
    assert sorted(await two.ids(f"Patient?_id={ids(10_000)}")) == ["p1", "p2"]
    tokens = ",".join(f"urn:s|{n}" for n in range(5_000))
    assert sorted(await two.ids(f"Patient?identifier:not={tokens}")) == ["p1", "p2"]


async def test_more_than_the_limits_is_too_costly_in_searches_and_conditions(two):
    many = f"_id={ids(limits.MOST_VALUES + 1)}"
    differing = "&".join(f"name=a{n}" for n in range(limits.MOST_CRITERIA + 1))
    for query in (many, differing):
        assert await told(two, "GET", f"Patient?{query}") == REFUSED
        assert await told(two, "POST", "Patient", patient("x"), if_none_exist=query) == REFUSED
        assert await told(two, "PUT", f"Patient?{query}", patient("p1")) == REFUSED
        assert await told(two, "DELETE", f"Patient?{query}") == REFUSED
    assert (
        await told(two, "GET", "Patient?_has:Observation:subject:code=" + many.partition("=")[2])
        == REFUSED
    )
    assert await told(two, "GET", f"?_id={ids(5_000)}") == REFUSED
    assert await told(two, "GET", f"Provenance?target={ids(5_000)}") == REFUSED


async def test_very_many_results_parameters_are_answered_or_too_costly(two):
    rules = ",".join(["birthdate", "-_id"] * 2_000)
    assert await two.ids(f"Patient?_sort={rules}") == ["p1", "p2"]
    assert (
        await told(two, "GET", "Patient?_sort=" + ",".join(f"a{n}" for n in range(3_000)))
        == REFUSED
    )
    kinds = [f"_include=Observation:subject:A{'b' * n}" for n in range(limits.MOST_INCLUSIONS + 1)]
    assert await told(two, "GET", "Observation?" + "&".join(kinds)) == REFUSED
    assert await two.ids("Patient?" + "&".join(["_include=Patient:link"] * 1_000))


@pytest.mark.parametrize(
    "query",
    [
        "name:contains=" + "ab" * 3_000,
        "name=" + "ab" * 30_000,
        "_content=" + "word " * 6_000,
        "_text=" + "x" * 60_000,
        "_text=" + ",".join(f"word{n}" for n in range(600)),
        "_elements=" + ",".join(f"a{n}" for n in range(5_000)),
        "_filter=" + "(" * 15 + " or ".join(f"name co a{n}" for n in range(190)) + ")" * 15,
        "_filter=" + " and ".join(f'name eq "a{n}"' for n in range(190)),
        "general-practitioner.link.general-practitioner.link.general-practitioner.name=x",
        "phone=" + "\\," * 30_000,
    ],
)
async def test_what_is_very_long_is_answered_or_refused(two, query):
    assert (await two.call("GET", f"Patient?{query}")).status in {200, 400}


@pytest.mark.parametrize(
    "since",
    [
        "Mon, 99999999999999999999 Jan 2020 00:00:00 GMT",
        "Mon, 06 Jan 2020 99999999999999999999:00:00 GMT",
        "Mon, 06 Jan 2020 00:00:00 +99999999999999999999999",
    ],
)
async def test_a_moment_that_cannot_be_is_ignored(two, since):
    assert (await two.call("GET", "Patient/p1", if_modified_since=since)).status == 200
