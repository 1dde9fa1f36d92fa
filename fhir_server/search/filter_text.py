"""The text of _filter to a tree: https://hl7.org/fhir/R4/search_filter.html

Logical expressions go from left to right, `and` and `or` alike; parentheses change that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

import msgspec

from resources.outcome import Invalid, TooCostly

OPERATORS: Final = frozenset(
    {"eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb"}
    | {"pr", "po", "ss", "sb", "in", "ni", "re"}
)

LONGEST: Final = 8_000
DEEPEST: Final = 16
MOST: Final = 200
LONGEST_PATH: Final = 6

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_WORD = re.compile(r"[a-z]+(?![A-Za-z0-9_-])")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOKEN = re.compile(r"[^\s\])]+")


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path; `where` is the filter in brackets behind it, on what it leads to."""

    name: str
    where: Filter | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A path, an operator and a value; `quoted`: the value was a string. `position` counts from 1."""

    path: tuple[Step, ...]
    operator: str
    value: str
    quoted: bool
    position: int


@dataclass(frozen=True, slots=True)
class Logical:
    """Parts that all hold ("and"), or of which some holds ("or")."""

    operator: Literal["and", "or"]
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """A part that does not hold."""

    part: Filter


Filter = Comparison | Logical | Negation


def parse(text: str) -> Filter:
    """Parse a filter; raises Invalid with the position of what cannot be read, TooCostly for too much."""
    if len(text) > LONGEST:
        raise TooCostly(f"_filter is longer than {LONGEST} characters")
    reader = _Reader(text)
    found = reader.filter(0)
    reader.end()
    return found


class _Reader:
    """Reads a text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._tests = 0

    def filter(self, depth: int) -> Filter:
        """Read tests that are joined by and, or."""
        if depth > DEEPEST:
            raise TooCostly(f"_filter is nested deeper than {DEEPEST}")
        found = self._term(depth)
        while (word := self._peek(_WORD)) in {"and", "or"}:
            self._take(word)
            found = _joined(word, found, self._term(depth))
        return found

    def end(self) -> None:
        """Refuse what follows the end."""
        self._space()
        if self._place < len(self._text):
            self._fail("and, or, or the end is wanted")

    def _term(self, depth: int) -> Filter:
        if self._peek(_WORD) == "not":
            start = self._place
            self._take("not")
            if self._next() == "(":
                return Negation(self._parenthesis(depth))
            self._place = start
        if self._next() == "(":
            return self._parenthesis(depth)
        return self._test(depth)

    def _parenthesis(self, depth: int) -> Filter:
        self._take("(")
        found = self.filter(depth + 1)
        self._take(")")
        return found

    def _test(self, depth: int) -> Comparison:
        self._tests += 1
        if self._tests > MOST:
            raise TooCostly(f"_filter has more than {MOST} tests")
        self._space()
        start = self._place
        path = [self._step(depth)]
        while self._text[self._place : self._place + 1] == ".":
            self._place += 1
            path.append(self._step(depth))
        if len(path) > LONGEST_PATH:
            raise TooCostly(f"_filter has a path of more than {LONGEST_PATH} names")
        if path[-1].where is not None:
            self._fail("a name is wanted behind the brackets, after a dot")
        operator = self._read(_NAME, "an operator is wanted")
        if operator not in OPERATORS:
            self._place -= len(operator)
            self._fail(f"one of {', '.join(sorted(OPERATORS))} is wanted")
        value, quoted = self._value()
        return Comparison(tuple(path), operator, value, quoted, start + 1)

    def _step(self, depth: int) -> Step:
        name = self._read(_NAME, "the name of a search parameter is wanted")
        if self._text[self._place : self._place + 1] != "[":
            return Step(name)
        self._take("[")
        where = self.filter(depth + 1)
        self._take("]")
        return Step(name, where)

    def _value(self) -> tuple[str, bool]:
        if self._next() != '"':
            return self._read(_TOKEN, "a value is wanted"), False
        start = self._place
        written = self._read(_STRING, "the string has no end")
        try:
            return msgspec.json.decode(written, type=str), True
        except msgspec.DecodeError:
            self._place = start
            self._fail("this is no JSON string")

    def _next(self) -> str:
        """Give the next character that is no space."""
        self._space()
        return self._text[self._place : self._place + 1]

    def _peek(self, pattern: re.Pattern[str]) -> str:
        self._space()
        found = pattern.match(self._text, self._place)
        return found[0] if found else ""

    def _read(self, pattern: re.Pattern[str], wanted: str) -> str:
        found = self._peek(pattern)
        if not found:
            self._fail(wanted)
        self._place += len(found)
        return found

    def _take(self, wanted: str) -> None:
        self._space()
        if not self._text.startswith(wanted, self._place):
            self._fail(f"{wanted} is wanted")
        self._place += len(wanted)

    def _space(self) -> None:
        while self._text[self._place : self._place + 1].isspace():
            self._place += 1

    def _fail(self, wanted: str) -> NoReturn:
        raise Invalid(f"_filter, character {self._place + 1}: {wanted}", issue="invalid")


def _joined(word: str, left: Filter, right: Filter) -> Filter:
    """Join from left to right, several by the same word side by side."""
    operator: Literal["and", "or"] = "and" if word == "and" else "or"
    if isinstance(left, Logical) and left.operator == operator:
        return Logical(operator, (*left.parts, right))
    return Logical(operator, (left, right))
