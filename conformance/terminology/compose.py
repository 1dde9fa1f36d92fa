"""What a value set holds: codes listed, filtered, imported, excluded (FHIR R4 valueset.html#compositions)."""

from typing import Final

from conformance.terminology.code_system import CodeSystem, Entry
from conformance.terminology.filters import condition
from conformance.terminology.grammars import GRAMMARS
from conformance.terminology.port import Concept, Source, UnknownCodeSystem, UnknownValueSet
from conformance.terminology.value_set import Part, ValueSet
from resources.outcome import Invalid, TooCostly

Pair = tuple[str, str]
Codes = dict[Pair, str]
"""Displays by system and code, in the order of the definition."""

DEEPEST: Final = 20


class Expander:
    """Expands value sets of a source; `most` codes at any step are looked at."""

    def __init__(self, source: Source, most: int) -> None:
        self._source = source
        self._most = most
        self._known: dict[str, Codes] = {}

    def codes(self, canonical: str, trail: tuple[str, ...] = ()) -> Codes:
        """Give all codes of a value set; raises what `Terminology.expand` says."""
        known = self._known.get(canonical)
        if known is None:
            known = self._known[canonical] = self._expanded(
                value_set(self._source, canonical), further(trail, canonical)
            )
        return known

    def _expanded(self, held: ValueSet, trail: tuple[str, ...]) -> Codes:
        try:
            return self._composed(held, trail) if held.include else dict(_stored(held))
        except (UnknownCodeSystem, UnknownValueSet):
            if held.stored is None:
                raise
            return dict(_stored(held))

    def _composed(self, held: ValueSet, trail: tuple[str, ...]) -> Codes:
        found: Codes = {}
        for part in held.include:
            self._take(found, self._part(part, trail))
        for part in held.exclude:
            self._exclude(found, part, trail)
        return self._active(found) if held.without_inactive else found

    def _take(self, found: Codes, more: Codes) -> None:
        for pair, display in more.items():
            if display or pair not in found:
                found[pair] = display
        if len(found) > self._most:
            raise TooCostly(f"The value set has more than {self._most} codes")

    def _exclude(self, found: Codes, part: Part, trail: tuple[str, ...]) -> None:
        whole = part.codes is None and not part.filters and not part.value_sets
        if whole:
            gone = [pair for pair in found if pair[0] == part.system]
        else:
            gone = [pair for pair in self._part(part, trail) if pair in found]
        for pair in gone:
            del found[pair]

    def _part(self, part: Part, trail: tuple[str, ...]) -> Codes:
        imported = [self.codes(canonical, trail) for canonical in part.value_sets]
        if part.system:
            return _within(self._of_system(part), imported)
        return _within(imported[0], imported[1:]) if imported else {}

    def _of_system(self, part: Part) -> Codes:
        held = self._source.code_system(part.system, part.version)
        if part.codes is not None:
            return {
                (one.system, one.code): one.display or _display(held, one.code)
                for one in part.codes
            }
        if part.system in GRAMMARS:
            raise TooCostly(f"The codes of {part.system} cannot be listed")
        if held is None or not held.held:
            raise UnknownCodeSystem(part.system)
        if len(held.entries) > self._most and not part.filters:
            raise TooCostly(f"The code system {part.system} has more than {self._most} codes")
        return {(part.system, entry.code): entry.display for entry in selected(held, part)}

    def _active(self, found: Codes) -> Codes:
        return {pair: display for pair, display in found.items() if not self._inactive(pair)}

    def _inactive(self, pair: Pair) -> bool:
        held = self._source.code_system(pair[0], None)
        entry = None if held is None else held.get(pair[1])
        return entry is not None and entry.inactive


def selected(held: CodeSystem, part: Part) -> list[Entry]:
    """Give the concepts of a code system that satisfy a part's filters, abstract ones left out."""
    tests = [condition(held, one) for one in part.filters]
    return [
        entry
        for entry in held.entries.values()
        if not entry.abstract and all(test(entry) for test in tests)
    ]


def value_set(source: Source, canonical: str) -> ValueSet:
    """Give the value set of a canonical; raises UnknownValueSet."""
    url, _, version = canonical.partition("|")
    found = source.value_set(url, version or None)
    if found is None or not (found.include or found.stored is not None):
        raise UnknownValueSet(canonical)
    return found


def further(trail: tuple[str, ...], canonical: str) -> tuple[str, ...]:
    """Give the way to a value set through those that import it; raises Invalid for a circle."""
    if canonical in trail or len(trail) > DEEPEST:
        raise Invalid(f"The value set {canonical} includes itself, or too deep a nest of others")
    return (*trail, canonical)


def concepts(codes: Codes) -> tuple[Concept, ...]:
    """Give codes as concepts."""
    return tuple(Concept(system, code, display) for (system, code), display in codes.items())


def _stored(held: ValueSet) -> Codes:
    return {(one.system, one.code): one.display for one in held.stored or ()}


def _within(codes: Codes, others: list[Codes]) -> Codes:
    return {
        pair: display for pair, display in codes.items() if all(pair in other for other in others)
    }


def _display(held: CodeSystem | None, code: str) -> str:
    entry = None if held is None else held.get(code)
    return "" if entry is None else entry.display
