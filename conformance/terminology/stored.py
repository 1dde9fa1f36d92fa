"""Code systems and value sets that a tenant stores, before R4's own; compiled once a version."""

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from conformance.terminology import held
from conformance.terminology.code_system import CodeSystem
from conformance.terminology.known import KnownTerminology
from conformance.terminology.port import Source, Terminology
from conformance.terminology.value_set import ValueSet, compiled
from resources.model import parse

T = TypeVar("T")
V = TypeVar("V", CodeSystem, ValueSet)

_MOST_COMPILED: Final = 1_000
_MOST_MADE: Final = 64


class Definition(Struct, frozen=True):
    """A stored CodeSystem or ValueSet: what names its version, its `Type/id`, and what it says.

    `url` is where it can be read, which may also name it.
    """

    key: Hashable
    reference: str
    meaning: CodeSystem | ValueSet
    url: str = ""


class Stored:
    """The source of stored definitions over another one; the newest version where none is asked for."""

    def __init__(self, definitions: Iterable[Definition], base: Source) -> None:
        self._base = base
        self._systems: dict[str, list[CodeSystem]] = {}
        self._sets: dict[str, list[ValueSet]] = {}
        self._read_at: dict[str, ValueSet] = {}
        for one in definitions:
            if isinstance(one.meaning, CodeSystem):
                self._systems.setdefault(one.meaning.url, []).append(one.meaning)
            else:
                self._sets.setdefault(one.meaning.url, []).append(one.meaning)
                self._sets[one.reference] = [one.meaning]
                self._read_at[one.url] = one.meaning

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Give a code system of a url, of the version or else the newest."""
        found = _of(self._systems.get(url, ()), version)
        return found or self._base.code_system(url, version)

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Give a value set of a url or `ValueSet/id`, of the version or else the newest.

        What a url names comes before what can be read there.
        """
        named = _of(self._sets.get(url, ()), version) or self._base.value_set(url, version)
        return named or _of(self._at(url), version)

    def _at(self, url: str) -> Sequence[ValueSet]:
        return (self._read_at[url],) if url in self._read_at else ()


class Compiled:
    """Remembers what was compiled, and terminologies by what they were made of."""

    def __init__(self) -> None:
        self._definitions: dict[Hashable, Definition] = {}
        self._made: dict[Hashable, Terminology] = {}

    def get(self, key: Hashable) -> Definition | None:
        """Give a definition that was compiled under the key."""
        return self._definitions.get(key)

    def definition(self, key: Hashable, reference: str, body: bytes, url: str = "") -> Definition:
        """Compile a CodeSystem or ValueSet and remember it under a key that is new with each version."""
        resource = parse(body)
        is_system = resource["resourceType"] == "CodeSystem"
        meaning = CodeSystem(resource) if is_system else compiled(resource)
        return _kept(
            self._definitions, key, Definition(key, reference, meaning, url), _MOST_COMPILED
        )

    def terminology(self, definitions: Sequence[Definition]) -> Terminology:
        """Give the terminology of these definitions over R4's own, the same for the same."""
        if not definitions:
            return held.terminology()
        key = frozenset(one.key for one in definitions)
        known = self._made.get(key)
        if known is None:
            made = KnownTerminology(Stored(definitions, held.held()))
            known = _kept(self._made, key, made, _MOST_MADE)
        return known


def _kept(known: dict[Hashable, T], key: Hashable, made: T, most: int) -> T:
    if len(known) >= most:
        del known[next(iter(known))]
    known[key] = made
    return made


def _of(found: Sequence[V], version: str | None) -> V | None:
    """Give the one of a version, or the newest, none if there is none."""
    fitting = [one for one in found if version in {None, one.version}]
    return max(fitting, key=lambda one: _natural(one.version), default=None)


def _natural(version: str) -> tuple[tuple[int, str], ...]:
    """Give what versions are ordered by: numbers as numbers, the rest as text."""
    parts = re.findall(r"\d+|[^\d.]+", version)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)
