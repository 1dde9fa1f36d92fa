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

from fhir_server.search.fulltext import words
from fhir_server.search.values import ELSEWHERE, IndexValues, ReferenceValue
from resources import reference
from resources.definitions import Definitions
from resources.model import Resource

LONGEST: Final = 500_000
"""So many letters of a narrative, and of all else, are looked at: a terminology is not read like a report."""

_TAG: Final = re.compile(r"<[^>]*>")
_TEXT: Final = frozenset({"string", "markdown", "code"})
_WRITTEN: Final = ""
_NARRATIVE: Final = "xhtml"
_REFERENCE: Final = "->"
_ADDRESSES: Final = ("urn:", "http://", "https://")

Members = Mapping[str, str]
"""By JSON name: _WRITTEN, _NARRATIVE or _REFERENCE for a string of that sort, else the path below."""


class Written:
    """What is written in one resource: strings, narratives, and literal references."""

    __slots__ = ("narratives", "references", "strings")

    def __init__(self) -> None:
        self.strings: list[str] = []
        self.narratives: list[str] = []
        self.references: list[str] = []


class Texts:
    """Reads resources; what may be written where is looked up in the definitions, once."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._known: dict[str, Members] = {}

    def add(self, resource: Resource, values: IndexValues) -> None:
        """Add to a resource's values its text, and the references that are not among them yet."""
        out, type_ = Written(), resource["resourceType"]
        self._within(resource, type_, out)
        values.narrative = narrative(out)
        values.content = content(out)
        if out.references:
            _complete(out.references, type_, values)

    def _within(self, value: Mapping[str, Any], path: str, out: Written) -> None:
        members = self._known.get(path)
        if members is None:
            members = self._known[path] = self._members(path)
        for name, part in value.items():
            below = members.get(name)
            if below is None:
                continue
            for one in part if type(part) is list else (part,):
                if type(one) is str:
                    _take(one, below, out)
                elif type(one) is dict:
                    self._within(one, _inside(one, below), out)

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


_LITERAL: Final = ("Reference", "reference")


def _take(text: str, below: str, out: Written) -> None:
    if below == _WRITTEN:
        if not text.startswith(_ADDRESSES):
            out.strings.append(text)
    elif below == _NARRATIVE:
        out.narratives.append(text)
    elif below == _REFERENCE:
        out.references.append(text)


def _inside(value: Mapping[str, Any], below: str) -> str:
    return str(value.get("resourceType", below)) if below == "Resource" else below


def _complete(literals: list[str], type: str, values: IndexValues) -> None:
    known = {(value.type, value.id) for value in values.references}
    for literal in dict.fromkeys(literals):
        found = reference.parse(literal)
        if found.form == "local" and (found.type, found.id) not in known:
            values.references.append(
                ReferenceValue(f"{type}.{ELSEWHERE}", found.type, found.id, "")
            )


def narrative(written: Written) -> str:
    """Give the words of the narratives, their markup left out."""
    if not written.narratives:
        return ""
    text = "\n".join(html.unescape(_TAG.sub(" ", div)) for div in written.narratives)
    return " ".join(words(text[:LONGEST]))


def content(written: Written) -> str:
    """Give the words of all strings, each string once, in the order in which they are written."""
    return " ".join(words("\n".join(dict.fromkeys(written.strings))[:LONGEST]))
