"""Every R4 search parameter of every type, on all official examples, against another FHIRPath engine.

Each is asked for a value that some example has by its expression; what is found must be what the other engine
finds by the same expression (https://hl7.org/fhir/R4/searchparameter.html).
"""

from __future__ import annotations

import gzip
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import oracle
import pytest
from three_ways import PARAMETERS, ThreeWays

from fhir_server.search.parameters import VERSION_PARAMETERS, Parameter
from resources.definitions import SearchParameter, load
from resources.model import parse
from resources.outcome import FhirError

DEFINED = {held.url: held for held in load().search_parameters}
PAIRS = [
    (type_, parameter)
    for type_ in sorted(load().resource_types)
    for parameter in PARAMETERS.of(type_).values()
    if parameter.code not in VERSION_PARAMETERS
]
LARGEST = (60_000, 1_000_000)
ANY = {
    "token": "urn:nothing|x",
    "string": "x",
    "date": "le2000-01",
    "number": "ge1",
    "quantity": "lt5|http://unitsofmeasure.org|mg",
    "reference": "nobody",
    "uri": "urn:nothing",
}


@pytest.fixture(scope="module")
def examples(corpus: Path, size: Callable[[int, int], int]) -> dict[str, list[Any]]:
    found = defaultdict(list)
    with gzip.open(corpus / "r4/examples-dev.ndjson.gz") as lines:
        for line in lines:
            if len(line) > size(*LARGEST):
                continue
            resource = parse(line)
            found[resource["resourceType"]].append(resource)
    return found


@pytest.fixture(scope="module")
def stores(
    tmp_path_factory: pytest.TempPathFactory, mongo_url: str, examples: dict[str, list[Any]]
) -> Iterator[ThreeWays]:
    with ThreeWays(tmp_path_factory.mktemp("three"), mongo_url) as made:
        yield made.holding(one for some in examples.values() for one in some)


@pytest.fixture(scope="module")
def pairs(size: Callable[[int, int], int]) -> list[tuple[str, Parameter]]:
    """All types with all of their parameters, or some of them by a fixed choice."""
    return random.Random(5).sample(PAIRS, size(350, len(PAIRS)))


def some_value(parameter: Parameter) -> str:
    if parameter.code == "near":
        return "10|20|5|km"
    if parameter.components:
        kinds = [part.parameter.type for part in parameter.contexts[0].parts]
        return "$".join(ANY[kind] for kind in kinds)
    return ANY[parameter.type]


def test_every_parameter_answers(
    stores: ThreeWays, pairs: list[tuple[str, Parameter]], record_property: Any
) -> None:
    for type_, parameter in pairs:
        asked = f"{parameter.code}={quote(some_value(parameter))}"
        meant, *others = stores.each(type_, asked)
        assert others == [meant, meant], (type_, asked)
    record_property("proof", f"{len(pairs)} parameters of types answer in three stores")


def test_every_parameter_finds_what_its_expression_says(
    stores: ThreeWays,
    examples: dict[str, list[Any]],
    pairs: list[tuple[str, Parameter]],
    size: Callable[[int, int], int],
    record_property: Any,
) -> None:
    asked, faults = 0, []
    for type_, parameter in pairs:
        if parameter.code == "near" or not examples[type_]:
            continue
        held = DEFINED[parameter.url]
        find = composed if held.components else plain
        for query, expected in find(held, examples[type_], size(1, 6)):
            try:
                found = stores.found(type_, f"{parameter.code}={quote(query)}")
            except FhirError as refused:
                faults.append(f"{type_}?{parameter.code}={query}: {refused}")
                continue
            more = [one for one in examples[type_] if one["id"] in set(found) - set(expected)]
            more = [one["id"] for one in more if not in_other_units(one, held)]
            less = sorted(set(expected) - set(found))
            if more or less:
                faults.append(f"{type_}?{parameter.code}={query}: more {more}, less {less}")
            asked += 1
    assert faults == [], "\n".join(faults)
    record_property("proof", f"{asked} searches find what another FHIRPath engine says")
    assert asked > len(pairs) / 8


def plain(
    held: SearchParameter, resources: list[Any], most: int
) -> Iterator[tuple[str, list[str]]]:
    """Give queries with the ids that they should find."""
    values = {one["id"]: oracle.values(held.expression, one) for one in resources}
    queries = [oracle.asked(held.type, v) for some in values.values() for v in some]
    for query in list(dict.fromkeys(q for q in queries if q and meant(held, q)))[:most]:
        yield (
            query,
            [
                id_
                for id_, some in values.items()
                if any(oracle.holds(held.type, v, query) for v in some)
            ],
        )


def meant(held: SearchParameter, query: str) -> bool:
    """Tell whether a query is one that the parameter takes: of references, only to types that it may lead to.

    Some examples refer elsewhere (a Bundle's first entry is no Composition), or by a word that is no URL.
    """
    if held.type != "reference" or ":" in query:
        return True
    type_, slash, _ = query.partition("/")
    return bool(slash) and (not held.target or type_ in held.target)


def composed(
    held: SearchParameter, resources: list[Any], most: int
) -> Iterator[tuple[str, list[str]]]:
    """Give queries of composites, each from one element, with the ids that they should find."""
    elements = {one["id"]: list(oracle.elements(held, one)) for one in resources}
    kinds = list(composite_kinds(held))
    found: dict[tuple[str, ...], None] = {}
    for members in (members for some in elements.values() for members in some):
        parts = [oracle.asked(k, v[0]) if v else None for k, v in zip(kinds, members, strict=True)]
        if all(parts):
            found[tuple(part for part in parts if part)] = None
    for query in list(found)[:most]:
        yield (
            "$".join(query),
            [
                id_
                for id_, some in elements.items()
                if any(together(kinds, members, query) for members in some)
            ],
        )


def composite_kinds(held: SearchParameter) -> Iterator[str]:
    """Give the types of the members; those of `relationship` are crossed in the definition."""
    kinds = [DEFINED[url].type for url, _ in held.components]
    return reversed(kinds) if held.code == "relationship" else iter(kinds)


def together(kinds: list[str], members: list[list[Any]], query: tuple[str, ...]) -> bool:
    return all(
        any(oracle.holds(kind, value, part) for value in values)
        for kind, values, part in zip(kinds, members, query, strict=True)
    )


def in_other_units(resource: Any, held: SearchParameter) -> bool:
    """Tell whether a resource has a quantity that may be found by conversion, which the oracle cannot do."""
    kinds = {held.type, *(DEFINED[url].type for url, _ in held.components)}
    return "quantity" in kinds and "http://unitsofmeasure.org" in str(resource)
