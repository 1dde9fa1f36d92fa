"""What one evaluation is given, what it may use and has used (FHIRPath N1 9, FHIR R4 fhirpath.html)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from resources.fhirpath.faults import RunawayFault
from resources.fhirpath.item import Item
from resources.fhirpath.temporal import Temporal
from resources.fhirpath.tree import Tree

Resolve = Callable[[str], dict[str, Any] | None]
MemberOf = Callable[[Mapping[str, Any] | str, str], bool | None]
ConformsTo = Callable[[dict[str, Any], str], bool | None]
HtmlChecks = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Limits:
    """How far one evaluation may go: items and calls counted together, characters of one text."""

    steps: int = 1_000_000
    text: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Environment:
    """What an evaluation is given from outside; what is absent makes its function give nothing.

    `resolve` takes a reference that no contained resource answers. `member_of` takes a code, Coding or
    CodeableConcept and a value set's canonical. `conforms_to` takes a resource and a profile's canonical and
    gives None for a profile that it does not know. `html_checks` tells whether a narrative's XHTML may stand.
    `variables` are constants such as %patient. Strictly, an element that a type has not is a fault.
    """

    now: datetime | None = None
    resolve: Resolve | None = None
    member_of: MemberOf | None = None
    conforms_to: ConformsTo | None = None
    html_checks: HtmlChecks | None = None
    variables: Mapping[str, Sequence[Item]] = field(default_factory=dict)
    limits: Limits = Limits()
    strict: bool = False


class State:
    """One evaluation as it goes: its environment, what is left of its limits, and what it traced."""

    __slots__ = ("_now", "context", "environment", "left", "traced", "tree")

    def __init__(self, tree: Tree, environment: Environment, context: Sequence[Item]) -> None:
        self.tree = tree
        self.environment = environment
        self.context = list(context)
        self.left = environment.limits.steps
        self.traced: list[tuple[str, list[Item]]] = []
        self._now = environment.now

    def spend(self, steps: int) -> None:
        """Count steps; raises RunawayFault where no more are left."""
        self.left -= steps
        if self.left < 0:
            raise RunawayFault("the expression takes too many steps")

    def room(self, size: int) -> None:
        """Refuse a text of more characters than one may have; raises RunawayFault."""
        if size > self.environment.limits.text:
            raise RunawayFault("the expression makes too long a text")

    def short(self, text: str) -> str:
        """Give a text that was made, paying for its length; raises RunawayFault where it is too long."""
        self.room(len(text))
        self.spend(1 + len(text) // 1000)
        return text

    def now(self) -> Temporal:
        """Give the time of the evaluation, the same however often it is asked for."""
        if self._now is None:
            self._now = datetime.now(UTC)
        at = self._now
        zone = at.utcoffset()
        second = Decimal(f"{at.second}.{at.microsecond // 1000:03d}")
        parts = (at.year, at.month, at.day, at.hour, at.minute, second)
        return Temporal(
            "DateTime", parts, None if zone is None else int(zone.total_seconds() // 60)
        )


class Focus:
    """Where an expression is evaluated: $this, $index and $total, in the state of the whole."""

    __slots__ = ("index", "state", "this", "total")

    def __init__(
        self,
        this: list[Item],
        state: State,
        index: int | None = None,
        total: list[Item] | None = None,
    ) -> None:
        self.this = this
        self.state = state
        self.index = index
        self.total = total

    def at(self, item: Item, index: int) -> Focus:
        """Give the focus on one item of a collection, paying a step for it."""
        self.state.spend(1)
        return Focus([item], self.state, index, self.total)


Run = Callable[[Focus], list[Item]]
