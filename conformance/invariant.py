"""One invariant, compiled once: a constraint as a test of values (FHIR R4 conformance-rules.html).

`compile` takes any FHIRPath of a constraint on any type, so that profiles use it for theirs.
"""

from dataclasses import dataclass, field
from typing import Any

from resources.definitions import Definitions, Invariant
from resources.fhirpath.faults import FhirPathFault
from resources.fhirpath.predicate import Predicate, Predicates
from resources.fhirpath.within import Within
from resources.outcome import Issue

__all__ = ["Compiler", "Rule", "Within"]


@dataclass(frozen=True, slots=True)
class Rule:
    """An invariant on values of one type: `severity` is error or warning, as its definition says."""

    key: str
    severity: str
    human: str
    predicate: Predicate = field(compare=False)

    def broken(self, value: Any, within: Within, extra: dict[str, Any] | None = None) -> bool:
        """Tell whether a value breaks it; `extra` holds id and extensions of a primitive.

        An expression that gives nothing is not broken; one that cannot be evaluated on the value is.
        """
        try:
            return self.predicate.holds(value, within, extra) is not True
        except FhirPathFault:
            return True

    def issue(self, expression: str) -> Issue:
        """Give what to tell where the rule is broken."""
        return Issue(self.severity, "invariant", f"{self.human} ({self.key})", expression)


class Compiler:
    """Compiles invariants against one set of definitions; nothing is kept but what is returned."""

    def __init__(self, definitions: Definitions) -> None:
        self._predicates = Predicates(definitions)

    def compile(self, expression: str, context_type: str) -> Predicate:
        """Compile FHIRPath for values of a type (Quantity, code) or nested path (Patient.contact).

        Raises SyntaxFault for what is no FHIRPath, SemanticFault for what it names that is not there.
        """
        return self._predicates.compile(expression, context_type)

    def rule(self, invariant: Invariant, context_type: str) -> Rule:
        """Compile a constraint; raises as `compile` does."""
        predicate = self.compile(invariant.expression, context_type)
        return Rule(invariant.key, invariant.severity, invariant.human.strip(), predicate)
