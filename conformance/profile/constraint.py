"""Constraints of profiles, in FHIRPath (FHIR R4 elementdefinition.html#ElementDefinition.constraint)."""

from collections.abc import Mapping
from typing import Any

from conformance.invariant import Compiler, Within
from conformance.profile.item import Item
from conformance.profile.run import NOTHING, Check, Issues, Run
from resources.definitions import Definitions
from resources.fhirpath.faults import FhirPathFault
from resources.fhirpath.parse import SyntaxFault
from resources.fhirpath.predicate import Predicate
from resources.outcome import Issue

_BEST_PRACTICE = "http://hl7.org/fhir/StructureDefinition/elementdefinition-bestpractice"


class Constraints:
    """Gives the checks of constraints; those that R4 itself states are left to base validation."""

    def __init__(self, definitions: Definitions) -> None:
        self._compiler = Compiler(definitions)
        self._known = {rule.key for rules in definitions.invariants.values() for rule in rules}

    def checks(self, element: Mapping[str, Any]) -> list[Check]:
        """Give the checks of an element's own constraints."""
        return [
            self._check(rule)
            for rule in element.get("constraint", ())
            if rule.get("expression") and rule["key"] not in self._known
        ]

    def _check(self, rule: Mapping[str, Any]) -> Check:
        expression = rule["expression"]
        severity = "warning" if rule.get("severity") == "warning" else "error"
        if any(e.get("url") == _BEST_PRACTICE for e in rule.get("extension", ())):
            severity = "warning"
        broken = (Issue(severity, "invariant", f"{rule['key']}: {rule.get('human', '')}"),)
        text = f"The rule {rule['key']} cannot be evaluated here"
        untold = Issue("warning", "not-supported", text)
        compiled: dict[str, Predicate | None] = {}

        def check(item: Item, run: Run) -> Issues:
            """Give the issue of a rule that does not hold; one that cannot be told is told of once."""
            if item.type not in compiled:
                compiled[item.type] = self._compiled(expression, item.type)
            predicate = compiled[item.type]
            if predicate is None:
                return run.once(untold)
            within = Within(run.resource, run.holder, run.environment)
            extra = item.extra if isinstance(item.extra, dict) else None
            try:
                holds = predicate.holds(item.value, within, extra)
            except FhirPathFault:
                return run.once(untold)
            return NOTHING if holds else broken

        return check

    def _compiled(self, expression: str, type_: str) -> Predicate | None:
        """Compile for one type; None for what is no FHIRPath, or names what is not there."""
        try:
            return self._compiler.compile(expression, type_)
        except (SyntaxFault, FhirPathFault):
            return None
