"""One test of _filter to nodes, by the parameter's type: https://hl7.org/fhir/R4/search_filter.html#ops"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from fhir_server.search import lower
from fhir_server.search.expression import (
    And,
    DatePrefix,
    DateRange,
    Differs,
    Expression,
    Ids,
    Not,
    Number,
    Or,
    Prefix,
    Text,
    TextMatch,
    Token,
    Updated,
    Uri,
)
from fhir_server.search.filter_text import Comparison
from fhir_server.search.parameters import Parameter
from fhir_server.search.parse import Simple
from resources.datatypes import normal
from resources.outcome import Invalid, NotSupported

SYSTEMS: Final[Mapping[str, str]] = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ucum": "http://unitsofmeasure.org",
}
"""The namespaces that may be written by these names."""

_ORDERED: Final = ("gt", "lt", "ge", "le")
_PREFIXES: Final = ("eq", "ne", *_ORDERED, "ap", "sa", "eb")
TAKES: Final[Mapping[str, tuple[str, ...]]] = {
    "string": ("eq", "ne", "co", "sw", "ew", *_ORDERED, "pr"),
    "number": (*_PREFIXES, "co", "pr"),
    "date": (*_PREFIXES, "co", "po", "pr"),
    "quantity": (*_PREFIXES, "pr"),
    "token": ("eq", "ne", "ss", "sb", "in", "ni", "pr"),
    "reference": ("re", "pr"),
    "uri": ("eq", "ne", "pr"),
    "composite": ("eq",),
}
"""The operators that apply to a type of parameter; search_filter.html says nothing of uri and composite."""
_SPECIAL: Final[Mapping[str, tuple[str, ...]]] = {
    "_id": ("eq", "ne", "pr"),
    "_lastUpdated": TAKES["date"],
}

_MODIFIERS: Final[Mapping[str, str]] = {"ss": "below", "sb": "above", "in": "in", "ni": "not-in"}
_WRITTEN: Final[Mapping[str, TextMatch]] = {
    "eq": "same",
    "co": "contains",
    "sw": "starts",
    "ew": "ends",
    "gt": "gt",
    "lt": "lt",
    "ge": "ge",
    "le": "le",
}

Meaning = Callable[[Simple], Expression]
"""Gives the meaning of a criterion with a modifier or without."""


def refuse(test: Comparison, code: str, type_: str) -> None:
    """Refuse an operator that does not apply to a parameter of the type; raises NotSupported."""
    takes = _SPECIAL.get(code, TAKES.get(type_, ()))
    if test.operator not in takes:
        raise NotSupported(
            f"_filter, character {test.position}: {test.operator} does not apply to {code},"
            f" a {type_} parameter; it takes {', '.join(takes) or 'nothing'}"
        )


def special(test: Comparison, meaning: Meaning) -> Expression:
    """Give the meaning of a test of _id or _lastUpdated."""
    code = test.path[-1].name
    refuse(test, code, "date" if code == "_lastUpdated" else "token")
    if test.operator == "pr":
        return _present(test, code, meaning)
    if code == "_id":
        found: Expression = Ids((test.value,))
        return Not(found) if test.operator == "ne" else found
    return _ordered(test, lambda value: meaning(Simple(code, None, (value,))))


def lowered(test: Comparison, parameter: Parameter, meaning: Meaning) -> Expression:
    """Give the meaning of a test of a parameter; raises NotSupported for an operator it does not take."""
    refuse(test, parameter.code, parameter.type)
    if test.operator == "pr":
        return _present(test, parameter.code, meaning)
    if test.operator in _MODIFIERS:
        return meaning(Simple(parameter.code, _MODIFIERS[test.operator], (_named(test.value),)))
    return _valued(test, parameter, meaning)


def _valued(test: Comparison, parameter: Parameter, meaning: Meaning) -> Expression:
    match parameter.type:
        case "string":
            return _string(test, parameter)
        case "token":
            return _differing(test, lower.plain(parameter, _named(test.value)))
        case "uri":
            uris = tuple(Uri(atom.name, test.value) for atom in parameter.atoms)
            return _differing(test, Or(uris))
        case "number" | "date" | "quantity":
            return _ordered(test, lambda value: lower.plain(parameter, value))
        case _:
            return meaning(Simple(parameter.code, None, (test.value,)))


def _present(test: Comparison, code: str, meaning: Meaning) -> Expression:
    """Give whether the set has anything (true) or is empty (false)."""
    if test.value not in {"true", "false"}:
        raise Invalid(f"_filter, character {test.position}: pr takes true or false", issue="value")
    return meaning(Simple(code, "missing", ("false" if test.value == "true" else "true",)))


def _named(value: str) -> str:
    """Put the namespace in the place of its short name."""
    name, bar, code = value.partition("|")
    return f"{SYSTEMS.get(name, name)}{bar}{code}" if bar else value


def _string(test: Comparison, parameter: Parameter) -> Expression:
    wanted = normal(test.value)
    if not wanted:
        raise Invalid(f"_filter, character {test.position}: the string is empty", issue="value")
    how = _WRITTEN.get(test.operator, "same")
    nodes = tuple(Text(atom.name, wanted, how) for atom in parameter.atoms)
    return _differing(test, Or(nodes))


def _differing(test: Comparison, same: Expression) -> Expression:
    """Give the nodes, or for ne that some value is another one."""
    if test.operator != "ne":
        return same
    return _each(same, lambda node: Differs(node) if isinstance(node, Token | Text | Uri) else None)


def _ordered(test: Comparison, plain: Callable[[str], Expression]) -> Expression:
    """Give the meaning of a number, date or quantity with the operator as its prefix."""
    if test.value[:1].isalpha():
        raise Invalid(
            f"_filter, character {test.position}: the value begins with a letter", issue="value"
        )
    value = _unit(test.value)
    if test.operator in _PREFIXES:
        return plain(test.operator + value)
    prefix: DatePrefix = "co" if test.operator == "co" else "ap"
    return _each(plain(value), lambda node: _within(node, prefix))


def _within(node: Expression, prefix: DatePrefix) -> Expression | None:
    """Give a date that includes or overlaps the asked one, a number that includes the stated value."""
    if isinstance(node, DateRange | Updated):
        return replace(node, prefix=prefix)
    if isinstance(node, Number):
        overlaps: Prefix = "ap"
        return replace(node, prefix=overlaps, low=node.value, high=node.value)
    return None


def _unit(value: str) -> str:
    number, bar, unit = value.partition("|")
    return f"{number}{bar}{_named(unit)}" if bar else value


def _each(node: Expression, change: Callable[[Expression], Expression | None]) -> Expression:
    """Change the values of a lowered parameter, which stand in Or and And."""
    if isinstance(node, Or | And):
        return type(node)(tuple(_each(part, change) for part in node.parts))
    return change(node) or node


def same_element(code: str, values: tuple[str, ...]) -> Simple:
    """Give the criterion of a composite parameter that asks for values of one element."""
    return Simple(code, None, ("$".join(value.replace("$", "\\$") for value in values),))
