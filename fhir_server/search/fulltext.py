"""Full text: words, phrases, AND, OR and prefixes of _text and _content (FHIR R4 search.html#content).

A word is a run of letters and digits, normalised as strings are (no case, no accents); an ideograph is a
word of its own. Words side by side must all be there, "words in quotes" must follow one another, `word*` is
any word that begins so, AND goes before OR, and parentheses before both.
"""

from __future__ import annotations

import re
from typing import Final

from fhir_server.search.expression import And, Expression, FullText, Or, TextPart
from fhir_server.search.parse import unescape
from fhir_server.search.values import IndexValues
from resources.datatypes import normal
from resources.outcome import Invalid, TooCostly

PARAMETERS: Final[dict[str, TextPart]] = {"_text": "narrative", "_content": "content"}

_LONGEST: Final = 64
_IDEOGRAPHS: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]{{1,{_LONGEST}}}")
_LONG: Final = re.compile(rf"[a-z0-9]{{{_LONGEST + 1}}}")
_APART: Final = "".join(c.lower() if c.isalnum() else " " for c in map(chr, range(128)))
"""ASCII without case, all that is in no word made a space: the commonest texts need no expression."""
_TERM: Final = re.compile(r'"([^"]*)"(\*)?|([()])|([^\s()"]+)')
_MOST_TERMS: Final = 64
_MOST_LETTERS: Final = 4_000


def words(text: str) -> list[str]:
    """Give the words of a text; one of more than 64 letters and digits is cut into several."""
    if text.isascii():
        apart = text.translate(_APART)
        if len(apart) <= _LONGEST or _LONG.search(apart) is None:
            return apart.split()
    return _WORD.findall(normal(text))


def found(node: FullText, values: IndexValues) -> bool:
    """Tell whether the words follow one another in the part that the node names."""
    asked = f" {' '.join(node.words)}{'' if node.prefix else ' '}"
    if asked in f" {values.narrative} ":
        return True
    return node.part == "content" and asked in f" {values.content} "


def lower(part: TextPart, value: str) -> Expression:
    """Give the meaning of one value; raises Invalid for one that cannot be read, TooCostly for a long one."""
    if len(value) > _MOST_LETTERS:
        raise TooCostly(f"A full-text search takes up to {_MOST_LETTERS} characters")
    terms = _terms(unescape(value))
    if len(terms) > _MOST_TERMS:
        raise TooCostly(f"A full-text search takes up to {_MOST_TERMS} terms")
    reading = _Reading(part, terms)
    lowered = reading.any_of()
    if reading.place < len(terms):
        raise _unreadable()
    return lowered


def _terms(value: str) -> list[str]:
    """Split a value at spaces, parentheses and quotes; a phrase keeps a quote before it as its mark."""
    terms = []
    for quoted, star, parenthesis, word in _TERM.findall(value):
        terms.append(parenthesis or word or f'"{quoted}{star}')
    return terms


def _unreadable() -> Invalid:
    return Invalid(
        'A full-text search is written: words "words in quotes" begin* (a OR b) AND c',
        issue="value",
    )


class _Reading:
    """Reads terms from left to right."""

    def __init__(self, part: TextPart, terms: list[str]) -> None:
        self.place = 0
        self._part = part
        self._terms = terms

    def any_of(self) -> Expression:
        """Read what OR joins."""
        parts = [self._all_of()]
        while self._next().upper() == "OR":
            self.place += 1
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all_of(self) -> Expression:
        """Read what AND joins, or what stands side by side."""
        parts = [self._one()]
        while (following := self._next()) not in {"", ")"} and following.upper() != "OR":
            if following.upper() == "AND":
                self.place += 1
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Expression:
        term = self._next()
        self.place += 1
        if term == "(":
            inner = self.any_of()
            if self._next() != ")":
                raise _unreadable()
            self.place += 1
            return inner
        asked = tuple(words(term))
        if not asked or term.upper() in {"AND", "OR"}:
            raise _unreadable()
        return FullText(self._part, asked, term.endswith("*"))

    def _next(self) -> str:
        return self._terms[self.place] if self.place < len(self._terms) else ""
