"""The page of search modifiers and _filter, against what is declared."""

import re
from pathlib import Path

from fhir_server import registry
from fhir_server.search import filter_comparisons, modifiers
from fhir_server.search.filter_text import DEEPEST, LONGEST, LONGEST_PATH, MOST, OPERATORS
from fhir_server.search.knowledge import MOST_CODES, MOST_IN_ALL, PARTS
from fhir_server.search.modifier import Modifier

PAGE = Path(__file__).parents[2] / "docs" / "search-modifiers.md"
TEXT = PAGE.read_text()


def rows(heading):
    section = TEXT.partition(heading)[2].partition("\n## ")[0]
    cells = [
        line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")
    ]
    return {name.strip(): on for name, on, *_ in cells}


def test_every_modifier_has_a_row_that_names_where_it_applies():
    declared = {m.code: m for m in registry.discover(modifiers, Modifier, "fhir_server.modifiers")}
    told = rows("## Modifiers")
    assert {f"`:{code}`" for code in declared} | {"`:[type]`"} == set(told)
    for code, modifier in declared.items():
        if code != "missing":
            words = set(re.findall(r"\b(?:token|string|uri|reference)\b", told[f"`:{code}`"]))
            assert words == set(modifier.on), code


def test_every_operator_of_filter_has_a_row_that_names_where_it_applies():
    told = {}
    for names, on in rows("## `_filter`").items():
        for name in re.findall(r"`(\w+)`", names):
            told[name] = on
    assert set(told) == OPERATORS
    for operator, on in told.items():
        types = {t for t, takes in filter_comparisons.TAKES.items() if operator in takes}
        assert types == set(re.findall(r"[a-z]{3,}", on)), operator


def test_the_limits_are_those_of_the_code():
    for limit in (LONGEST, MOST_CODES, MOST_IN_ALL):
        assert f"{limit:,}" in TEXT
    assert f"{MOST} comparisons, {DEEPEST} levels and paths of {LONGEST_PATH} names" in TEXT
    assert all(type_ in TEXT for type_ in PARTS)
