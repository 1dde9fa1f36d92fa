"""Is a code in a value set? Told part by part (FHIR R4 valueset-operation-validate-code.html)."""

from collections.abc import Iterable
from typing import NamedTuple

from conformance.terminology.code_system import CodeSystem, Entry
from conformance.terminology.compose import further, value_set
from conformance.terminology.filters import condition
from conformance.terminology.grammars import GRAMMARS
from conformance.terminology.port import Source, UnknownValueSet
from conformance.terminology.value_set import Listed, Part, ValueSet


class Told(NamedTuple):
    """In, not in, or None: it cannot be told, and why; with the displays that a code in it may have."""

    result: bool | None
    reason: str = ""
    displays: tuple[str, ...] = ()


OUT = Told(result=False, reason="The code is not in the value set")


class Membership:
    """Tells of one code whether it is in value sets of a source; `system` None is any."""

    def __init__(self, source: Source, system: str | None, code: str) -> None:
        self._source = source
        self._system = system
        self._code = code

    def of(self, canonical: str, trail: tuple[str, ...] = ()) -> Told:
        """Tell whether the code is in a value set; raises UnknownValueSet for the one asked for."""
        held = value_set(self._source, canonical)
        told = self._composed(held, further(trail, canonical)) if held.include else Told(None)
        if told.result is None and held.stored is not None:
            return self._listed(held.stored)
        return told

    def _composed(self, held: ValueSet, trail: tuple[str, ...]) -> Told:
        told = _any(self._part(part, trail) for part in held.include)
        if told.result is False:
            return told
        excluded = _any(self._part(part, trail) for part in held.exclude)
        if excluded.result is True:
            return OUT
        if excluded.result is None:
            return excluded
        return OUT if held.without_inactive and self._inactive(held) else told

    def _part(self, part: Part, trail: tuple[str, ...]) -> Told:
        told = [self._imported(canonical, trail) for canonical in part.value_sets]
        if part.system:
            told.append(self._of_system(part))
        return _all(told)

    def _imported(self, canonical: str, trail: tuple[str, ...]) -> Told:
        try:
            return self.of(canonical, trail)
        except UnknownValueSet as unknown:
            return Told(None, str(unknown))

    def _of_system(self, part: Part) -> Told:
        if self._system not in {None, part.system}:
            return OUT
        if part.codes is not None:
            return self._listed(part.codes)
        grammar = GRAMMARS.get(part.system)
        if grammar is not None:
            told = grammar(self._code)
            return OUT if told is False else Told(told, f"{part.system} has units not known here")
        held = self._source.code_system(part.system, part.version)
        if held is None or not held.held:
            return Told(None, f"The content of the code system {part.system} is not known here")
        return self._selected(held, part)

    def _selected(self, held: CodeSystem, part: Part) -> Told:
        entry = held.get(self._code)
        if entry is None:
            if held.partial:
                return Told(None, f"Only a part of the code system {held.url} is known here")
            return Told(result=False, reason=f"The code system {held.url} has no such code")
        if entry.abstract:
            return Told(result=False, reason="The code is abstract: it only groups others")
        if all(condition(held, one)(entry) for one in part.filters):
            return Told(result=True, displays=_displays(entry))
        return OUT

    def _listed(self, codes: Iterable[Listed]) -> Told:
        for one in codes:
            if one.code == self._code and self._system in {None, one.system}:
                held = self._source.code_system(one.system, None)
                entry = None if held is None else held.get(one.code)
                known = () if entry is None else _displays(entry)
                return Told(result=True, displays=tuple(filter(None, (one.display, *known))))
        return OUT

    def _inactive(self, held: ValueSet) -> bool:
        systems = {part.system for part in held.include} if self._system is None else {self._system}
        found = [self._source.code_system(system, None) for system in systems if system]
        entries = [system.get(self._code) for system in found if system is not None]
        return any(entry is not None and entry.inactive for entry in entries)


def _displays(entry: Entry) -> tuple[str, ...]:
    return tuple(text for text in (entry.display, *entry.designations) if text)


def _any(told: Iterable[Told]) -> Told:
    """Give the first that is in, else the first that cannot be told, else why it is not in."""
    found = list(told)
    for wanted in (True, None):
        for one in found:
            if one.result is wanted:
                return one
    return found[0] if len(found) == 1 else OUT


def _all(told: Iterable[Told]) -> Told:
    """Give the first that is not in, else the first that cannot be told, else the last."""
    found = list(told)
    for wanted in (False, None):
        for one in found:
            if one.result is wanted:
                return one
    return found[-1] if found else OUT
