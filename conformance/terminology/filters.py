"""The filters of a value set over the concepts of a code system (FHIR R4 valueset-filter-operator.html)."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from conformance.terminology.code_system import CodeSystem, Entry
from conformance.terminology.value_set import Filter
from resources.outcome import NotSupported, TooCostly

_OWN: Final = frozenset({"concept", "code"})
_LONGEST_PATTERN: Final = 200
_LONGEST_CODE: Final = 200
_MOST_REPEATS: Final = 3

Test = Callable[[Entry], bool]


def condition(system: CodeSystem, asked: Filter) -> Test:
    """Give what tells whether a concept satisfies the filter.

    Raises NotSupported for an operator that R4 does not have or that the property cannot have, TooCostly
    for a regular expression that could take too long.
    """
    hierarchical = _HIERARCHICAL.get(asked.op)
    if hierarchical is not None and asked.property in _OWN:
        wanted = frozenset(hierarchical(system, asked.value))
        if asked.op == "is-not-a":
            return lambda entry: entry.code not in wanted
        return lambda entry: entry.code in wanted
    plain = _PLAIN.get(asked.op)
    if plain is None:
        raise NotSupported(f"A filter {asked.op} on {asked.property} is not offered")
    return plain(asked)


def _below(system: CodeSystem, code: str) -> tuple[str, ...]:
    return system.below(code) if system.get(code) is not None else ()


def _descendants(system: CodeSystem, code: str) -> tuple[str, ...]:
    return _below(system, code)[1:]


def _above(system: CodeSystem, code: str) -> tuple[str, ...]:
    return system.above(code) if system.get(code) is not None else ()


_HIERARCHICAL: Final[Mapping[str, Callable[[CodeSystem, str], tuple[str, ...]]]] = {
    "is-a": _below,
    "is-not-a": _below,
    "descendent-of": _descendants,
    "generalizes": _above,
}


def _values(entry: Entry, name: str) -> Iterator[str]:
    """Give what a concept has of a property, as text."""
    if name in _OWN:
        yield entry.code
    elif name == "display":
        yield from (text for text in (entry.display, *entry.designations) if text)
    elif name == "parent":
        yield from entry.parents
    elif name == "child":
        yield from entry.children
    else:
        for value in entry.of(name):
            yield str(value).lower() if isinstance(value, bool) else str(value)


def _equals(asked: Filter) -> Test:
    return lambda entry: asked.value in _values(entry, asked.property)


def _among(asked: Filter) -> Test:
    wanted = frozenset(value.strip() for value in asked.value.split(","))
    return lambda entry: any(value in wanted for value in _values(entry, asked.property))


def _not_among(asked: Filter) -> Test:
    among = _among(asked)
    return lambda entry: not among(entry)


def _exists(asked: Filter) -> Test:
    wanted = asked.value.strip().lower() != "false"
    return lambda entry: any(True for _ in _values(entry, asked.property)) == wanted


def _regex(asked: Filter) -> Test:
    pattern = _pattern(asked.value)
    return lambda entry: any(
        len(value) <= _LONGEST_CODE and pattern.fullmatch(value) is not None
        for value in _values(entry, asked.property)
    )


@lru_cache(256)
def _pattern(text: str) -> re.Pattern[str]:
    """Compile a regular expression that cannot run away; raises TooCostly or NotSupported."""
    repeats = len(re.findall(r"[*+]|\{\d*,\d*\}", text))
    nested = re.search(r"\)[*+{]|\\\d|\(\?", text)
    if len(text) > _LONGEST_PATTERN or repeats > _MOST_REPEATS or nested is not None:
        raise TooCostly("The regular expression of a value set's filter could take too long")
    try:
        return re.compile(text)
    except re.error:
        raise NotSupported("A value set's filter holds no regular expression") from None


_PLAIN: Final[Mapping[str, Callable[[Filter], Test]]] = {
    "=": _equals,
    "in": _among,
    "not-in": _not_among,
    "exists": _exists,
    "regex": _regex,
}
