"""A code system, compiled: its concepts, and what subsumes what (FHIR R4 codesystem.html).

Concepts nested in one another, and the properties `parent`, `subsumedBy` and `child`, make the hierarchy. It
is one of subsumption unless `hierarchyMeaning` says that it is another.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from resources.model import Resource

COMPLETE: Final = "complete"
FRAGMENT: Final = "fragment"
_UP: Final = frozenset({"parent", "subsumedBy"})
_DOWN: Final = frozenset({"child"})
_IS_A: Final = frozenset({None, "is-a"})

Property = str | bool | int
"""A property's value; a decimal or dateTime as its text, a Coding as its code."""


class Entry(Struct, gc=False):
    """A concept: displays in all languages, the properties' values by code, its nearest relatives."""

    code: str
    display: str
    designations: tuple[str, ...]
    properties: dict[str, tuple[Property, ...]]
    parents: list[str]
    children: list[str]

    @property
    def abstract(self) -> bool:
        """Tell whether the concept only groups others and is not chosen itself."""
        return True in (*self.of("notSelectable"), *self.of("abstract"))

    @property
    def inactive(self) -> bool:
        """Tell whether the concept is no longer used."""
        return True in self.of("inactive") or "retired" in self.of("status")

    def of(self, code: str) -> tuple[Property, ...]:
        """Give the values of a property, none where the concept has not got it."""
        return self.properties.get(code, ())


class CodeSystem:
    """What a CodeSystem resource says; `partial` if it is a fragment of the whole."""

    def __init__(self, resource: Resource) -> None:
        self.url: str = resource.get("url", "")
        self.version: str = resource.get("version", "")
        self.content: str = resource.get("content", COMPLETE)
        self._folded = resource.get("caseSensitive") is False
        self._entries: dict[str, Entry] = {}
        for concept in resource.get("concept", ()):
            self._add(concept, "")
        self._relate()
        self.subsumes = resource.get("hierarchyMeaning") in _IS_A

    @property
    def held(self) -> bool:
        """Tell whether concepts are here at all, the whole or a fragment."""
        return self.content in {COMPLETE, FRAGMENT}

    @property
    def partial(self) -> bool:
        """Tell whether there may be codes that are not here."""
        return self.content != COMPLETE

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All concepts by code, in the order of their definition."""
        return self._entries

    def get(self, code: str) -> Entry | None:
        """Give a concept, without regard to case where the system has none."""
        found = self._entries.get(code)
        if found is None and self._folded:
            wanted = code.casefold()
            return next((e for c, e in self._entries.items() if c.casefold() == wanted), None)
        return found

    def below(self, code: str) -> tuple[str, ...]:
        """Give a code that the system has and all that it subsumes, itself first."""
        return self._walk(code, "children")

    def above(self, code: str) -> tuple[str, ...]:
        """Give a code that the system has and all that subsume it, itself first."""
        return self._walk(code, "parents")

    def _walk(self, code: str, way: str) -> tuple[str, ...]:
        found = {code: None}
        waiting = [code] if self.subsumes else []
        while waiting:
            for further in getattr(self._entries[waiting.pop()], way):
                if further not in found:
                    found[further] = None
                    waiting.append(further)
        return tuple(found)

    def _add(self, concept: Mapping[str, Any], parent: str) -> None:
        waiting = [(concept, parent)]
        while waiting:
            held, above = waiting.pop()
            code = held["code"]
            entry = self._entries.get(code)
            if entry is None:
                entry = self._entries[code] = _entry(held)
            if above:
                entry.parents.append(above)
            waiting.extend((inner, code) for inner in reversed(held.get("concept", ())))

    def _relate(self) -> None:
        """Make parents and children one relation, each once."""
        for entry in tuple(self._entries.values()):
            for name in _UP:
                entry.parents.extend(str(value) for value in entry.of(name))
            for name in _DOWN:
                for value in entry.of(name):
                    if (child := self._entries.get(str(value))) is not None:
                        child.parents.append(entry.code)
        for entry in self._entries.values():
            known = [p for p in dict.fromkeys(entry.parents) if p in self._entries]
            entry.parents[:] = [p for p in known if p != entry.code]
            for parent in entry.parents:
                self._entries[parent].children.append(entry.code)


def _entry(concept: Mapping[str, Any]) -> Entry:
    properties: dict[str, tuple[Property, ...]] = {}
    for code, value in _properties(concept):
        properties[code] = (*properties.get(code, ()), value)
    designations = tuple(
        held["value"] for held in concept.get("designation", ()) if "value" in held
    )
    return Entry(concept["code"], concept.get("display", ""), designations, properties, [], [])


def _properties(concept: Mapping[str, Any]) -> Iterator[tuple[str, Property]]:
    for held in concept.get("property", ()):
        for name, value in held.items():
            if name.startswith("value"):
                yield held.get("code", ""), _plain(value)


def _plain(value: Any) -> Property:
    if isinstance(value, dict):
        return str(value.get("code", ""))
    return value if isinstance(value, bool | int | str) else str(value)
