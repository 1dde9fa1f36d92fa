"""No shape of search looks at more than it needs: the plans of both databases, on synthetic patients.

What is looked at must not grow with the data; times are measured by `python -m benchmarks.search`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from three_ways import ThreeWays, plan

from benchmarks import search as bench

LIMIT = 20
SMALL, LARGE = "small", "large"
TABLES = "resource|change|history|tok|ref|txt|dat|num|qty|uri|pos"
ALIASES = re.compile(rf"\b(?:{TABLES}) (a\d+|[cdrx])\b")
SHAPES = {shape.name: shape.query for shape in bench.shapes("2100-01-01T00:00:00Z")[1:]}
PREFIX = "name prefix"


@pytest.fixture(scope="module")
def stores(
    tmp_path_factory: pytest.TempPathFactory, mongo_url: str, size: Callable[[int, int], int]
) -> Iterator[ThreeWays]:
    with ThreeWays(tmp_path_factory.mktemp("three"), mongo_url) as made:
        made.at_once = 200
        some = size(4, 50)
        yield made.holding(bench.resources(some), SMALL).holding(bench.resources(some * 4), LARGE)


def asked(name: str, tenant: str) -> Any:
    type_, _, query = SHAPES[name].format(n=3, d=3).partition("?")
    return replace(plan(type_, query, tenant), limit=LIMIT + 1)


def told(explained: str, what: str) -> int:
    """Add up what the steps of an explanation tell of a cost."""
    return sum(int(number) for number in re.findall(rf"{what} (\d+)", explained))


@pytest.mark.parametrize("name", SHAPES)
def test_sqlite_seeks_every_table_of_every_shape(stores: ThreeWays, name: str) -> None:
    explained = stores.run(stores.sqlite.explain(asked(name, LARGE)))
    tables = set(ALIASES.findall(explained))
    assert tables, explained
    scanned = set(re.findall(r"^  SCAN (\w+)", explained, re.MULTILINE))
    assert not scanned & tables, explained


@pytest.mark.parametrize("name", SHAPES)
def test_mongo_follows_an_index_for_every_shape(stores: ThreeWays, name: str) -> None:
    explained = stores.run(stores.mongo.explain(asked(name, LARGE)))
    assert "COLLSCAN" not in explained
    assert "IXSCAN" in explained or "EOF" in explained
    most = 2 * told(explained, "returned") + LIMIT + BESIDE.get(name, 0)
    assert told(explained, "documents examined") <= most
    assert told(explained, "keys examined") <= 3 * most


BESIDE = {
    "patient + code + date, newest first": 60,
    "patient + date, newest first": 60,
    "composite": 60,
    "quantity in other units": 60,
}
"""Where the 56 Observations of a patient lead to the few that match, however many patients there are."""


@pytest.mark.parametrize("name", [name for name in SHAPES if name != PREFIX])
def test_what_is_looked_at_does_not_grow_with_the_data(stores: ThreeWays, name: str) -> None:
    for store, costs in ((stores.sqlite, "rows examined"), (stores.mongo, "keys examined")):
        small, large = (
            told(stores.run(store.explain(asked(name, tenant))), costs) for tenant in (SMALL, LARGE)
        )
        assert large <= 1.5 * small + LIMIT, (costs, small, large)
