"""What lowering asks beyond the query: codes, and resources within resources (R4 search.html#recursive).

Lowering is synchronous and the answers may need the store. So it is first done with a `Recorder`, which notes
what is asked; what was noted is then fetched, and lowering is done again with a `Known` that has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from conformance.terminology import held
from conformance.terminology.port import Terminology
from resources.outcome import NotSupported, TooCostly

Way = Literal["above", "below"]
Line = tuple[str, str, Way]
"""Type and id of a resource, and whether what it is within or what is within it is asked for."""
Codes = tuple[tuple[str, str], ...]
"""Codes as (system, code)."""

MOST_CODES: Final = 5_000
"""The most codes that a search by a value set or a hierarchy looks for."""

MOST_IN_ALL: Final = 12_000
"""The most codes that all value sets and hierarchies of one search come to, once for each type."""

PARTS: Final[Mapping[str, str]] = {
    "Location": "partof",
    "Organization": "partof",
    "Encounter": "part-of",
}
"""By type, the parameter that leads to what a resource is a part of: the strict hierarchies of R4."""


class Knowledge(Protocol):
    """What a modifier or an operator may ask."""

    def members(self, value_set: str) -> Codes:
        """Give the codes of a value set; raises what Terminology.expand does."""

    def concepts(self, system: str, code: str, way: Way) -> Codes:
        """Give a code and all above or below it; raises what Terminology.below does."""

    def line(self, line: Line) -> tuple[str, ...]:
        """Give the ids of a resource itself and of all above or below it."""


class Known:
    """Knowledge that was fetched; without any, R4's own terminology alone."""

    def __init__(
        self,
        terminology: Terminology | None = None,
        lines: Mapping[Line, tuple[str, ...]] | None = None,
    ) -> None:
        self._terminology = terminology
        self._lines = lines or {}
        self._given = 0

    def members(self, value_set: str) -> Codes:
        """Give the codes of a value set; raises what Terminology.expand does."""
        found = self._held().expand(value_set, limit=MOST_CODES)
        self._count(len(found.concepts))
        return tuple((one.system, one.code) for one in found.concepts)

    def concepts(self, system: str, code: str, way: Way) -> Codes:
        """Give a code and all above or below it; raises what Terminology.below does."""
        terms = self._held()
        found = (terms.below if way == "below" else terms.above)(system, code)
        self._count(len(found))
        return tuple((system.partition("|")[0], one) for one in found)

    def line(self, line: Line) -> tuple[str, ...]:
        """Give the ids of a resource itself and of all above or below it."""
        found = self._lines.get(line)
        if found is None:
            raise NotSupported(f":{line[2]} on a hierarchy of resources is not offered here")
        return found

    def _count(self, codes: int) -> None:
        """Refuse a search for too many codes in all; R4's own alone, shared by all, are not counted."""
        if self._terminology is not None:
            self._given += codes
            if self._given > MOST_IN_ALL:
                raise TooCostly(
                    "The search asks for too many codes, over all its types and criteria"
                )

    def _held(self) -> Terminology:
        return self._terminology or held.terminology()


@dataclass
class Recorder:
    """Notes what is asked, and answers with next to nothing."""

    value_sets: set[str] = field(default_factory=set)
    systems: set[str] = field(default_factory=set)
    lines: set[Line] = field(default_factory=set)

    @property
    def anything(self) -> bool:
        """Tell whether anything was asked."""
        return bool(self.value_sets or self.systems or self.lines)

    def members(self, value_set: str) -> Codes:
        """Note a value set."""
        self.value_sets.add(value_set)
        return ()

    def concepts(self, system: str, code: str, way: Way) -> Codes:
        """Note a code system."""
        del way
        self.systems.add(system)
        return ((system, code),)

    def line(self, line: Line) -> tuple[str, ...]:
        """Note a line."""
        self.lines.add(line)
        return (line[1],)
