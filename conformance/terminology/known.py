"""The terminology of what a source holds (FHIR R4 terminology-service.html)."""

from typing import Final

from conformance.terminology.code_system import CodeSystem
from conformance.terminology.compose import Expander, concepts, value_set
from conformance.terminology.membership import Membership
from conformance.terminology.port import (
    Concept,
    Expansion,
    Source,
    Subsumption,
    UnknownCode,
    UnknownCodeSystem,
    Validation,
)
from resources.datatypes import normal
from resources.outcome import TooCostly

MOST: Final = 10_000
"""The most codes that a value set is expanded to."""


class KnownTerminology:
    """Satisfies port.Terminology over a source that does not change; what was expanded is remembered."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._expander = Expander(source, MOST)

    def expand(self, canonical: str, *, limit: int = MOST) -> Expansion:
        """Give all codes of a value set; raises what port.Terminology says."""
        held = value_set(self._source, canonical)
        found = self._expander.codes(canonical)
        if len(found) > limit:
            raise TooCostly(f"The value set {canonical} has more than {limit} codes")
        return Expansion(held.url, held.version, concepts(found))

    def validate_code(
        self, canonical: str, system: str | None, code: str, display: str = ""
    ) -> Validation:
        """Tell whether a code is in a value set; raises UnknownValueSet."""
        told = Membership(self._source, system, code).of(canonical)
        right = told.displays[0] if told.displays else ""
        if told.result and display and told.displays:
            known = {normal(text) for text in told.displays}
            if normal(display) not in known:
                return Validation(False, "The display is none of the concept's", right)  # noqa: FBT003 - its result
        return Validation(told.result, "" if told.result else told.reason, right)

    def lookup(self, system: str, code: str) -> Concept | None:
        """Give a concept, None where the system has no such code; raises UnknownCodeSystem."""
        entry = self._system(system).get(code)
        return None if entry is None else Concept(system, entry.code, entry.display)

    def subsumes(self, system: str, a: str, b: str) -> Subsumption:
        """Tell how code `a` relates to code `b`; raises UnknownCodeSystem or UnknownCode."""
        first, second = self.below(system, a), self.below(system, b)
        if first[0] == second[0]:
            return "equivalent"
        if second[0] in first:
            return "subsumes"
        return "subsumed-by" if first[0] in second else "not-subsumed"

    def below(self, system: str, code: str) -> tuple[str, ...]:
        """Give a code and all that it subsumes; raises UnknownCodeSystem or UnknownCode."""
        held = self._system(system)
        return held.below(_known(held, code))

    def above(self, system: str, code: str) -> tuple[str, ...]:
        """Give a code and all that subsume it; raises UnknownCodeSystem or UnknownCode."""
        held = self._system(system)
        return held.above(_known(held, code))

    def _system(self, canonical: str) -> CodeSystem:
        url, _, version = canonical.partition("|")
        held = self._source.code_system(url, version or None)
        if held is None or not held.held:
            raise UnknownCodeSystem(canonical)
        return held


def _known(held: CodeSystem, code: str) -> str:
    entry = held.get(code)
    if entry is None:
        raise UnknownCode(f"The code system {held.url} has no such code")
    return entry.code
