"""Generated resources and generated queries, as clients write them: the stores find what the memory finds.

Modifiers, prefixes, composites, chains, reverse chains, sorts and pages are drawn by chance, and shrunk to
the least that fails (FHIR R4 search.html).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from three_ways import ThreeWays, plan

PROVE = os.environ.get("HOUNSFIELD_PROVE") == "1"
UCUM = "http://unitsofmeasure.org"
IDS = ("a", "b", "c")
TENANTS = itertools.count()

some_id = st.sampled_from(IDS)
codes = st.sampled_from(["x", "y", "X"])
systems = st.sampled_from(["", "urn:s", "urn:t"])
names = st.sampled_from(
    ["Eve", "\u00c9ve", "eve marie", "Evelyn", "a,b", "a|b$c", "\\", "Severine"]
)
instants = st.sampled_from(
    ["2020", "2020-02", "2020-02-29", "2020-02-29T10:00:00Z", "2020-02-29T23:30:00-02:00"]
)
numbers = st.sampled_from(["5", "5.0", "5.4", "5400", "0.0054", "-1", "1e1", "100", "99.5"])
units = st.sampled_from(["mg", "ug", "g", "Cel", "odd"])
prefixes = st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def present(**elements: Any) -> dict[str, Any]:
    return {name: value for name, value in elements.items() if value not in (None, [])}


codings = st.builds(
    lambda s, c, d: present(system=s or None, code=c, display=d), systems, codes, maybe(names)
)
concepts = st.builds(
    lambda held, text: present(coding=held, text=text), st.lists(codings, max_size=2), maybe(names)
).filter(bool)
quantities = st.builds(
    lambda n, u, coded, c: present(
        value=Decimal(n),
        unit=u,
        system=UCUM if coded else None,
        code=u if coded else None,
        comparator=c,
    ),
    *(numbers, units, st.booleans(), maybe(st.sampled_from(["<", ">="]))),
)
periods = st.builds(
    lambda ends: present(start=ends.get("s"), end=ends.get("e")),
    st.fixed_dictionaries({}, optional={"s": st.just("2020-02"), "e": instants}),
).filter(bool)
people = st.builds(
    lambda i: {"reference": f"Patient/{i}"}, st.sampled_from([*IDS, "nobody"])
) | st.just({"identifier": {"system": "urn:s", "value": "x"}})


def component(code: Any, value: Any) -> dict[str, Any]:
    return present(code=code, **(value or {}))


values = st.one_of(
    quantities.map(lambda q: {"valueQuantity": q}),
    concepts.map(lambda c: {"valueCodeableConcept": c}),
    names.map(lambda n: {"valueString": n}),
    instants.map(lambda d: {"valueDateTime": d}),
)
when = st.one_of(
    instants.map(lambda d: {"effectiveDateTime": d}),
    periods.map(lambda p: {"effectivePeriod": p}),
)
patients = st.builds(
    lambda i, n, g, b, k, t: {
        "resourceType": "Patient",
        "id": i,
        **present(name=n, gender=g, birthDate=b, identifier=k, meta=t),
    },
    some_id,
    st.lists(
        st.builds(
            lambda f, g: present(family=f, given=g), maybe(names), st.lists(names, max_size=2)
        ),
        max_size=2,
    ),
    maybe(st.sampled_from(["male", "female"])),
    maybe(st.sampled_from(["2020", "2020-02", "2020-02-29"])),
    st.lists(
        st.builds(lambda s, c: present(system=s or None, value=c), systems, codes), max_size=2
    ),
    maybe(codings.map(lambda c: {"tag": [c]})),
)
observations = st.builds(
    lambda i, c, s, v, e, parts: {
        "resourceType": "Observation",
        "id": i,
        **present(code=c, subject=s, component=parts),
        **(v or {}),
        **(e or {}),
    },
    some_id,
    maybe(concepts),
    maybe(people),
    maybe(values),
    maybe(when),
    st.lists(st.builds(component, maybe(concepts), maybe(values)), max_size=3),
)


def escaped(text: str) -> str:
    for letter in "\\,|$":
        text = text.replace(letter, f"\\{letter}")
    return text


tokens = st.one_of(
    codes,
    st.builds(lambda s, c: f"{s}|{c}", systems, codes),
    st.just("urn:s|"),
)
texts = names.map(escaped)
dates = st.builds(lambda p, d: p + d, prefixes, instants)
amounts = st.one_of(
    st.builds(lambda p, n: p + n, prefixes, numbers),
    st.builds(lambda p, n, u: f"{p}{n}|{UCUM}|{u}", prefixes, numbers, units),
    st.builds(lambda p, n, u: f"{p}{n}||{u}", prefixes, numbers, units),
)
truths = st.sampled_from(["true", "false"])
references = st.one_of(some_id, some_id.map(lambda i: f"Patient/{i}"))


def several(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(strategy, min_size=1, max_size=2).map(",".join)


def joined(*strategies: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*strategies).map("$".join)


ASKED: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "Patient": {
        "name": several(texts),
        "given:exact": several(texts),
        "family:contains": several(texts),
        "name:missing": truths,
        "gender": st.sampled_from(["male", "female", "male,female", "|male"]),
        "gender:not": st.sampled_from(["male", "male,female"]),
        "birthdate": several(dates),
        "birthdate:missing": truths,
        "identifier": several(tokens),
        "identifier:not": several(tokens),
        "_tag": tokens,
        "_id": several(some_id),
        "_lastUpdated": dates,
    },
    "Observation": {
        "code": several(tokens),
        "code:not": several(tokens),
        "code:text": texts,
        "combo-code": tokens,
        "value-quantity": several(amounts),
        "value-quantity:missing": truths,
        "combo-value-quantity": amounts,
        "value-concept": tokens,
        "value-string": texts,
        "value-string:contains": texts,
        "date": several(dates),
        "value-date": dates,
        "subject": several(references),
        "subject:missing": truths,
        "subject:identifier": tokens,
        "patient": references,
        "code-value-quantity": several(joined(tokens, amounts)),
        "code-value-string": joined(tokens, texts),
        "code-value-date": joined(tokens, dates),
        "component-code-value-quantity": several(joined(tokens, amounts)),
        "component-code-value-concept": joined(tokens, tokens),
        "combo-code-value-quantity": joined(tokens, amounts),
        "_id": several(some_id),
    },
}
SORTS = {
    "Patient": ["name", "birthdate", "identifier", "_id", "_lastUpdated", "gender"],
    "Observation": ["date", "code", "value-quantity", "subject", "value-string", "_id"],
}


def a_criterion(draw: st.DrawFn, type_: str, depth: int = 2) -> tuple[str, str]:
    """Draw a criterion's name and value, through chains and reverse chains."""
    choice = draw(st.integers(0, 5)) if depth else 0
    if choice == 4 and type_ == "Observation":
        name, value = a_criterion(draw, "Patient", depth - 1)
        return f"{draw(st.sampled_from(['patient', 'subject:Patient']))}.{name}", value
    if choice == 5 and type_ == "Patient":
        name, value = a_criterion(draw, "Observation", depth - 1)
        return f"_has:Observation:{draw(st.sampled_from(['patient', 'subject']))}:{name}", value
    name = draw(st.sampled_from(sorted(ASKED[type_])))
    return name, draw(ASKED[type_][name])


@st.composite
def a_query(draw: st.DrawFn) -> tuple[str, str]:
    type_ = draw(st.sampled_from(sorted(ASKED)))
    pairs = [a_criterion(draw, type_) for _ in range(draw(st.integers(0, 3)))]
    keys = draw(st.lists(st.sampled_from(SORTS[type_]), max_size=2, unique=True))
    if keys:
        ways = [draw(st.sampled_from(["", "-"])) for _ in keys]
        pairs.append(("_sort", ",".join(map("".join, zip(ways, keys, strict=True)))))
    return type_, "&".join(f"{name}={quote(value)}" for name, value in pairs)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, mongo_url: str) -> Iterator[ThreeWays]:
    with ThreeWays(tmp_path_factory.mktemp("three"), mongo_url) as made:
        yield made


@settings(
    max_examples=500 if PROVE else 20,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    resources=st.lists(patients | observations, min_size=2, max_size=6),
    queries=st.lists(a_query(), min_size=4, max_size=6),
)
def test_generated_queries_find_the_same_in_all_stores(
    stores: ThreeWays, resources: list[dict[str, Any]], queries: list[tuple[str, str]]
) -> None:
    tenant = f"t{next(TENANTS)}"
    stores.holding(resources, tenant)
    for type_, query in queries:
        meant, *others = stores.pages(plan(type_, query, tenant))
        assert others == [meant] * len(others), (type_, query)
