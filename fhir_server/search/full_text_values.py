"""Resource → what is written in it: narrative, strings and references (FHIR R4 search.html#content).

Strings, markdown and codes are text, in the resource itself and in what it contains. Addresses (uri, url,
canonical, oid), references, dates, numbers and base64 are not. References that no search parameter covers
are kept as well, so that it can be told what nothing refers to.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import field

from fhir_server.search.fulltext import words
from fhir_server.search.values import ELSEWHERE, IndexValues, ReferenceValue
from resources import reference
from resources.definitions import Definitions
from resources.fhirpath.steps import Tree, Visit

LONGEST: Final = 500_000
"""So many letters of a narrative, and of all else, are looked at: a terminology is not read like a report."""

UNREAD: Final = frozenset({"AuditEvent"})
"""Types that are in no index of words or letters: there is one for each access (docs/adr/0031)."""

_TAG: Final = re.compile(r"<[^>]*>")
_TEXT: Final = frozenset({"string", "markdown", "code"})
_WRITTEN: Final = ""
_NARRATIVE: Final = "xhtml"
_REFERENCE: Final = "->"
_LITERAL: Final = ("Reference", "reference")
_ADDRESSES: Final = ("urn:", "http://", "https://")

Members = Mapping[str, str]
"""By JSON name: _WRITTEN, _NARRATIVE or _REFERENCE for a string of that sort, else the path below."""


class Gathered(IndexValues):
    """Index values while a resource is visited, with what is written in it: nothing of it joined yet."""

    strings: list[str] = field(default_factory=list)
    narratives: list[str] = field(default_factory=list)
    literals: list[str] = field(default_factory=list)


def gathered() -> Gathered:
    """Give what a visit begins with."""
    return Gathered([], [], [], [], [], [], [])


class Texts:
    """Says what may be written where, by the definitions; each path is looked up once."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._visits: dict[str, Visit] = {}

    def into(self, tree: Tree, path: str) -> None:
        """Have the visit of a tree gather what is written in values of a type or nested path."""
        for name, below in self._members(path).items():
            child = tree.children.setdefault(name, Tree())
            if child.children and below not in _LEAVES:
                self.into(child, below)
            else:
                child.sinks.append(self._gathering(below))

    def _gathering(self, below: str) -> Visit:
        """Give the closure that gathers from a member; types may hold themselves, so they share closures."""
        leaf = _LEAVES.get(below)
        if leaf is not None:
            return leaf
        known = self._visits.get(below)
        if known is None:
            known = self._held() if below == "Resource" else self._below(below)
            self._visits[below] = known
        return known

    def _held(self) -> Visit:
        """Give the closure that gathers from a resource in the resource, by the type that it says."""

        def visit(value: Any, out: Any) -> None:
            if type(value) is dict:
                self._gathering(_named(value))(value, out)

        return visit

    def _below(self, path: str) -> Visit:
        """Give the closure that gathers from an object, whose members are looked up when one comes."""
        members: dict[str, Visit] = {}

        def visit(value: Any, out: Any) -> None:
            """Gather from every member of an object that has something to be gathered."""
            if type(value) is not dict:
                return
            if not members:
                members.update((n, self._gathering(b)) for n, b in self._members(path).items())
            for name, part in value.items():
                gather = members.get(name)
                if gather is None:
                    continue
                if gather is _string and type(part) is str:  # as nearly all are: a call less
                    if not part.startswith(_ADDRESSES):
                        out.strings.append(part)
                elif type(part) is list:
                    for one in part:
                        gather(one, out)
                else:
                    gather(part, out)

        return visit

    def _members(self, path: str) -> Members:
        definitions = self._definitions
        if definitions.kind(path.partition(".")[0]) is None:
            return {}
        found = {}
        for element in definitions.children(path).values():
            for name, type_ref in definitions.json_names(element).items():
                below = definitions.content(path, element, type_ref)
                if type_ref.code in _TEXT:
                    found[name] = _REFERENCE if (path, name) == _LITERAL else _WRITTEN
                elif below == _NARRATIVE or definitions.kind(below) != "primitive":
                    found[name] = below
        return found


def _named(resource: dict[str, Any]) -> str:
    """Give the type that a resource in the resource says it is of; one that says none has no members."""
    named = resource.get("resourceType")
    return named if type(named) is str and named not in _NO_TYPES else _UNKNOWN


_UNKNOWN: Final = "?"
_NO_TYPES: Final = frozenset({_WRITTEN, _NARRATIVE, _REFERENCE, "Resource"})


def _string(value: Any, out: Gathered) -> None:
    if type(value) is str and not value.startswith(_ADDRESSES):
        out.strings.append(value)


def _div(value: Any, out: Gathered) -> None:
    if type(value) is str:
        out.narratives.append(value)


def _literal(value: Any, out: Gathered) -> None:
    if type(value) is str:
        out.literals.append(value)


_LEAVES: Final[Mapping[str, Visit]] = {
    _WRITTEN: _string,
    _NARRATIVE: _div,
    _REFERENCE: _literal,
}


def add(written: Gathered, type: str, values: IndexValues) -> None:
    """Add to a resource's values its text, and the references that are not among them yet."""
    if written.narratives:
        values.narrative = _narrative(written.narratives)
    if written.strings:
        values.content = _content(written.strings)
    if written.literals:
        _complete(written.literals, type, values)


def _complete(literals: list[str], type: str, values: IndexValues) -> None:
    known = {f"{value.type}/{value.id}" for value in values.references}
    for literal in dict.fromkeys(literals):
        if literal in known:
            continue
        found = reference.parse(literal)
        if found.form == "local" and f"{found.type}/{found.id}" not in known:
            values.references.append(
                ReferenceValue(f"{type}.{ELSEWHERE}", found.type, found.id, "")
            )


def _narrative(narratives: list[str]) -> str:
    """Give the words of the narratives, their markup left out."""
    text = "\n".join(html.unescape(_TAG.sub(" ", div)) for div in narratives)
    return " ".join(words(text[:LONGEST]))


def _content(strings: list[str]) -> str:
    """Give the words of all strings, each string once, in the order in which they are written."""
    return " ".join(words("\n".join(dict.fromkeys(strings))[:LONGEST]))
