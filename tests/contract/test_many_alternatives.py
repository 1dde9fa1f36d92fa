"""Long lists of values, and many criteria, find in SQLite and MongoDB what they find in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from three_ways import ThreeWays

from fhir_server.store.sqlite import listed

HERE = 40


def days(count: int, prefix: str = "") -> str:
    return ",".join(
        f"{prefix}{1900 + n % 45}-{1 + n // 45 % 12:02}-{1 + n % 28:02}" for n in range(count)
    )


def each(word: str, count: int, start: int = 0) -> str:
    return ",".join(f"{word}{n}" for n in range(start, start + count))


def a_patient(n: int) -> dict[str, Any]:
    held = {
        "identifier": [{"system": "urn:s", "value": f"n{n}"}],
        "name": [{"family": f"Fam{n:02}x", "given": ["Eve" if n % 2 else "Ada"]}],
        "birthDate": ("1905", "1906-04", "1921-03-28", f"{1900 + n}-03-{1 + n % 28:02}")[n % 4],
    }
    return {"resourceType": "Patient", "id": f"p{n}", **(held if n % 5 else {})}


def an_observation(n: int) -> dict[str, Any]:
    span = {"start": f"19{10 + n}-01-01"} | ({"end": f"19{11 + n}-06-01"} if n % 3 else {})
    unit = {"value": n, "system": "http://unitsofmeasure.org", "code": "mg"}
    return {
        "resourceType": "Observation",
        "id": f"o{n}",
        "code": {"coding": [{"code": f"c{n}"}]},
        "subject": {"reference": f"Patient/p{n}"},
        "effectivePeriod": span,
        "valueQuantity": unit if n % 2 else {"value": n, "unit": "odd", "comparator": "<"},
    }


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, mongo_url: str) -> Iterator[ThreeWays]:
    with ThreeWays(tmp_path_factory.mktemp("three"), mongo_url) as made:
        made.at_once = 100
        held = [one(n) for one in (a_patient, an_observation) for n in range(HERE)]
        yield made.holding(held)


MANY = listed.FEW * 3
VERY_MANY = listed._TESTED + 44


@pytest.mark.parametrize("count", [MANY, VERY_MANY])
@pytest.mark.parametrize(
    "query",
    [
        "Patient?birthdate={days}",
        "Patient?birthdate={ge}&name=fam",
        "Patient?birthdate={ap}",
        "Patient?birthdate={ne}",
        "Patient?name={names}",
        "Patient?name={names}&birthdate={days}",
        "Patient?name:contains={names}&_id=p1,p2,p3",
        "Patient?identifier:not={tokens}",
        "Patient?_lastUpdated={ge}",
        "Patient?_lastUpdated={days}&name=fam",
        "Patient?_has:Observation:subject:date={days}",
        "Observation?date={days}&code=c1,c2,c3,c4,c5,c6",
        "Observation?date={eb}",
        "Observation?value-quantity={numbers}",
        "Observation?value-quantity={units}&code=c3,c5",
        "Observation?subject:Patient.birthdate={days}",
        "ValueSet?url:below={urls}",
    ],
)
def test_a_long_list_finds_the_same_in_every_store(
    stores: ThreeWays, query: str, count: int
) -> None:
    told = query.format(
        days=days(count),
        ge=days(count, "ge"),
        ap=days(count, "ap"),
        ne=days(count, "ne"),
        eb=days(count, "eb"),
        names=each("Fam", count),
        tokens=each("urn:s|n", count, 3),
        numbers=each("", count, 7),
        units=",".join(f"{n}|http://unitsofmeasure.org|mg" for n in range(count)),
        urls=each("http://x/", count),
    )
    meant, sqlite, mongo = stores.each(*told.split("?"))
    assert sqlite == meant
    assert mongo == meant


def test_lists_lead_to_what_is_there_and_to_nothing_else(stores: ThreeWays) -> None:
    assert stores.found("Patient", f"name={each('Fam', 300, 39)}") == ["p39"]
    assert "p2" in stores.found("Patient", f"birthdate={days(600)}")


@pytest.mark.parametrize("count", [60, 400])
def test_many_different_criteria_find_the_same_in_every_store(
    stores: ThreeWays, count: int
) -> None:
    wide = "&".join(f"birthdate=gt{1000 + n}" for n in range(count))
    assert len(stores.found("Patient", wide)) == HERE * 4 // 5
    assert stores.found("Patient", f"{wide}&name=fam01") == ["p1"]
    assert not stores.found("Patient", "&".join(f"name=a{n}" for n in range(count)))
    chains = "&".join(f"_has:Observation:subject:code:not=z{n}" for n in range(40))
    assert len(stores.found("Patient", chains)) == HERE
