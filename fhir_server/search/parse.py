"""Query text to criteria: names, modifiers, chains, _has, values and escapes (FHIR R4 search.html)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from fhir_server.search import filter_text, limits
from fhir_server.search.expression import Prefix
from resources.outcome import Invalid, NotSupported

Pairs = Sequence[tuple[str, str]]
Total = Literal["none", "estimate", "accurate"]

MAX_DEPTH = 6
_PREFIXES = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})
_PREFIXED = re.compile(r"^([a-z]{2})(?=[-+0-9.])")
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]*$")
_RULE = re.compile(
    r"^(-?)([A-Za-z_][A-Za-z0-9_-]*)(?:(?::([A-Z][A-Za-z]*))?\.([A-Za-z_][A-Za-z0-9_-]*))?$"
)
SUMMARIES = frozenset({"true", "false", "text", "data", "count"})
_REFUSED = {
    "_query": "Named queries are not offered",
    "_contained": "Search for contained resources is not offered",
    "_containedType": "Search for contained resources is not offered",
}
_ALONE = ("_contained", "false")
"""What is always so: contained resources are not found by themselves."""
RENDERING = frozenset({"_format", "_pretty"})
CURSOR = "_cursor"
_ONCE = frozenset({"_count", "_total", "_summary", "_explain"})


@dataclass(frozen=True, slots=True)
class Simple:
    """One parameter with its modifier and its values, any of which may match."""

    code: str
    modifier: str | None
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """A reference parameter followed to a type (None: any that it allows) whose criterion must hold."""

    code: str
    type: str | None
    rest: Criterion


@dataclass(frozen=True, slots=True)
class Has:
    """A reverse chain: some resource of `type` refers here by `code` and its criterion holds."""

    type: str
    code: str
    rest: Criterion


@dataclass(frozen=True, slots=True)
class Filtered:
    """What _filter asks, as a tree."""

    tree: filter_text.Filter


Criterion = Simple | Chain | Has | Filtered


@dataclass(frozen=True, slots=True)
class Asked:
    """A criterion with the name and value that asked for it, for the self link."""

    name: str
    value: str
    criterion: Criterion


@dataclass(frozen=True, slots=True)
class SortRule:
    """One rule of _sort; with `far` it goes by that parameter of what `code` refers to (of `type`)."""

    code: str
    descending: bool
    type: str | None = None
    far: str = ""

    @property
    def text(self) -> str:
        """The rule as it is written."""
        name = self.code if self.type is None else f"{self.code}:{self.type}"
        return f"{'-' if self.descending else ''}{name}{'.' if self.far else ''}{self.far}"


@dataclass(frozen=True, slots=True)
class Inclusion:
    """One _include or _revinclude: source type, parameter code ("*" for all), target type or None."""

    source: str
    code: str
    target: str | None
    reverse: bool
    iterate: bool
    text: tuple[str, str] = ("", "")


@dataclass(slots=True)
class Query:
    """A parsed query string: what to find, in which order, how much of it, and with what beside it.

    `values` is how many values its criteria have.
    """

    criteria: list[Asked] = field(default_factory=list)
    sort: list[SortRule] = field(default_factory=list)
    inclusions: list[Inclusion] = field(default_factory=list)
    count: int | None = None
    total: Total | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    cursor: str | None = None
    explain: bool = False
    controls: list[tuple[str, str]] = field(default_factory=list)
    values: int = 0


def parse(pairs: Pairs) -> Query:
    """Parse decoded query pairs; raises Invalid or NotSupported for what cannot be read, TooCostly."""
    query = Query()
    for name, value in pairs:
        if (name, value) == _ALONE:
            query.controls.append((name, value))
            continue
        if name in _REFUSED:
            raise NotSupported(_REFUSED[name])
        if not _control(query, name, value) and name not in RENDERING:
            query.criteria.append(Asked(name, value, criterion(name, value)))
    _bound(query)
    return query


def _bound(query: Query) -> None:
    """Count the values of a query, and refuse one that asks for too much; raises TooCostly."""
    query.values = sum(_count(one.criterion) for one in query.criteria)
    limits.bounded(query.values, limits.MOST_VALUES, "values")
    if len(query.criteria) > limits.MOST_CRITERIA:
        different = {(one.name, one.value) for one in query.criteria}
        limits.bounded(len(different), limits.MOST_CRITERIA, "different criteria")


def _count(criterion: Criterion) -> int:
    """Give how many values a criterion has."""
    while isinstance(criterion, Chain | Has):
        criterion = criterion.rest
    return len(criterion.values) if isinstance(criterion, Simple) else 1


def _control(query: Query, name: str, value: str) -> bool:
    """Take a parameter that shapes the result; tells whether it was one."""
    if name in _ONCE and any(name == known for known, _ in query.controls):
        raise Invalid(f"{name} is asked for twice", issue="value")
    match name.split(":", maxsplit=1)[0]:
        case "_sort":
            query.sort = list(dict.fromkeys([*query.sort, *_sort(value)]))
            limits.bounded(len(query.sort), limits.MOST_RULES, "rules of _sort")
        case "_count":
            query.count = _whole(name, value)
        case "_total":
            query.total = cast("Total", _one_of(name, value, {"none", "estimate", "accurate"}))
        case "_summary":
            query.summary = _one_of(name, value, SUMMARIES)
        case "_elements":
            query.elements = tuple(part.strip() for part in value.split(",") if part.strip())
        case "_include" | "_revinclude":
            _include(query, _inclusion(name, value))
        case "_cursor":
            query.cursor = value
            return True
        case "_explain":
            query.explain = _one_of(name, value, {"true", "false"}) == "true"
        case _:
            return False
    query.controls.append((name, value))
    return True


def _whole(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise Invalid(f"{name} takes a whole number", issue="value")
    return int(value)


def _one_of(name: str, value: str, allowed: set[str] | frozenset[str]) -> str:
    if value not in allowed:
        raise Invalid(f"{name} takes one of {', '.join(sorted(allowed))}", issue="value")
    return value


def _sort(value: str) -> list[SortRule]:
    found = [_RULE.match(part) for part in value.split(",")]
    rules = [SortRule(m[2], bool(m[1]), m[3], m[4] or "") for m in found if m is not None]
    if len(rules) < len(found):
        raise Invalid(
            "_sort takes parameter codes, each with an optional leading '-': birthdate, -date,"
            " patient.name, subject:Patient.name",
            issue="value",
        )
    return rules


def _include(query: Query, inclusion: Inclusion) -> None:
    if inclusion not in query.inclusions:
        query.inclusions.append(inclusion)
    limits.bounded(len(query.inclusions), limits.MOST_INCLUSIONS, "inclusions")


def _inclusion(name: str, value: str) -> Inclusion:
    base, _, modifier = name.partition(":")
    if modifier not in {"", "iterate", "recurse"}:
        raise NotSupported(f"{base} has the modifier :iterate and no other")
    parts = value.split(":")
    if value == "*":
        parts = ["*", "*"]
    if not 2 <= len(parts) <= 3 or not all(parts[:2]):
        raise Invalid(f"{base} takes Type:parameter or Type:parameter:TargetType", issue="value")
    target = parts[2] if len(parts) == 3 and parts[2] else None
    return Inclusion(
        parts[0], parts[1], target, base == "_revinclude", bool(modifier), (name, value)
    )


def criterion(name: str, value: str, depth: int = 0) -> Criterion:
    """Parse one name and value into a criterion; raises Invalid."""
    if depth > MAX_DEPTH:
        raise Invalid("The chain is longer than is allowed", issue="too-costly")
    if name == "_filter":
        return Filtered(filter_text.parse(value))
    if name.startswith("_has:"):
        return _has(name, value, depth)
    head, dot, rest = name.partition(".")
    code, _, modifier = head.partition(":")
    if not _NAME.match(code):
        raise Invalid("A search parameter's name has characters that none has", issue="invalid")
    if dot:
        return Chain(code, modifier or None, criterion(rest, value, depth + 1))
    return Simple(code, modifier or None, _values(name, value))


_ASKING = frozenset({"in", "not-in", "above", "below"})


def asks(criterion: Criterion) -> bool:
    """Tell whether a criterion may ask what only terminology or a hierarchy of resources can say."""
    while isinstance(criterion, Chain | Has):
        criterion = criterion.rest
    return isinstance(criterion, Filtered) or criterion.modifier in _ASKING


def _has(name: str, value: str, depth: int) -> Has:
    parts = name.split(":", 3)
    if len(parts) != 4 or not all(parts):
        raise Invalid("_has is written _has:Type:reference:parameter", issue="invalid")
    return Has(parts[1], parts[2], criterion(parts[3], value, depth + 1))


def _values(name: str, value: str) -> tuple[str, ...]:
    values = tuple(split(value, ","))
    if not all(values):
        code = name.split(":", maxsplit=1)[0]
        raise Invalid(f"The search parameter {code} has an empty value", issue="value")
    return values


def split(value: str, separator: str) -> list[str]:
    r"""Split at a separator that no backslash escapes; the parts keep their escapes."""
    if "\\" not in value:
        return value.split(separator)
    parts: list[str] = []
    joined: list[str] = []
    for piece in value.split(separator):
        joined.append(piece)
        if (len(piece) - len(piece.rstrip("\\"))) % 2 == 0:
            parts.append(separator.join(joined))
            joined.clear()
    return [*parts, separator.join(joined)] if joined else parts


def unescape(value: str) -> str:
    r"""Resolve \, \| \$ and \\ (search.html#escaping); another backslash stays as it is."""
    return re.sub(r"\\([,|$\\])", r"\1", value) if "\\" in value else value


def prefixed(value: str) -> tuple[Prefix, str]:
    """Split a prefix off an ordered value, eq where there is none; raises Invalid for an unknown one."""
    found = _PREFIXED.match(value)
    if found is None:
        return "eq", value
    if found[1] not in _PREFIXES:
        raise Invalid("The value begins with a prefix that does not exist", issue="value")
    return cast("Prefix", found[1]), value[2:]
