"""Expressions that tell whether a value is right, compiled over plain JSON (FHIR R4 fhirpath.html).

What the types decide is lowered to closures that make nothing but their answer. The rest is evaluated by the
engine, with the same result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resources.definitions import Definitions
from resources.fhirpath import typed
from resources.fhirpath.evaluate import Evaluator
from resources.fhirpath.item import Item, Step
from resources.fhirpath.parse import parse
from resources.fhirpath.typed import Undecided
from resources.fhirpath.typed_compare import Truth
from resources.fhirpath.typed_lowering import Lowering
from resources.fhirpath.within import Bare, Within

Holds = Callable[[Any, Within, dict[str, Any] | None], bool | None]

_CONTAINED = Step("contained", "contained", "Resource", repeats=True, primitive=False)


@dataclass(frozen=True, slots=True)
class Predicate:
    """One expression on one context type; `compiled` tells whether it runs without the evaluator.

    `holds(value, within, extra)` gives True, False, or None where the expression gives nothing; `extra`
    holds id and extensions of a primitive, whose value may be None. It raises FhirPathFault. `truth` is the
    same for values that are there, where it is compiled.
    """

    text: str
    context: str
    compiled: bool
    holds: Holds
    truth: Truth | None = None


class Predicates:
    """Compiles predicates against one set of definitions."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._evaluator = Evaluator(definitions)

    def compile(self, text: str, context: str) -> Predicate:
        """Compile an expression for values of a type or of a nested path, e.g. Patient.contact.

        Raises SyntaxFault for what is no FHIRPath, SemanticFault for unknown functions or types.
        """
        self._evaluator.check(text)
        primitive = self._definitions.kind(context) == "primitive"
        try:
            lowering = Lowering(self._definitions, self._evaluator.tree, context)
            truth = lowering.truth(parse(text), typed.this(context, primitive=primitive))
        except Undecided:
            return Predicate(text, context, compiled=False, holds=self._evaluated(text, context))
        return Predicate(text, context, True, _direct(truth, primitive=primitive), truth)  # noqa: FBT003

    def _evaluated(self, text: str, context: str) -> Holds:
        evaluator = self._evaluator

        def holds(value: Any, within: Within, extra: dict[str, Any] | None = None) -> bool | None:
            item = self._item(value, context, within, extra)
            return evaluator.holds(text, item, within.environment)

        return holds

    def _item(self, value: Any, context: str, within: Within, extra: dict[str, Any] | None) -> Item:
        """Give a value as an item in its resource, and that in the one that contains it."""
        tree = self._evaluator.tree
        resource = tree.root(within.resource)
        if within.root is not within.resource:
            resource.parent, resource.step = tree.root(within.root), _CONTAINED
        return resource if value is within.resource else Item(value, context, extra, resource)


def _direct(truth: Truth, *, primitive: bool) -> Holds:
    def holds(value: Any, within: Within, _: dict[str, Any] | None = None) -> bool | None:
        return truth(value, within)

    def of_primitive(value: Any, within: Within, extra: dict[str, Any] | None) -> bool | None:
        return truth(Bare(extra or {}) if value is None else value, within)

    return of_primitive if primitive else holds
