"""FHIRPath over plain JSON resources: the whole of N1 with FHIR's own functions (FHIR R4 fhirpath.html).

An expression is lowered once to closures. Items keep their R4 or System type and their place in the resource.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from resources.definitions import Definitions
from resources.fhirpath.environment import Environment, Focus, Run, State
from resources.fhirpath.expression import Node
from resources.fhirpath.faults import RunawayFault
from resources.fhirpath.function import truth
from resources.fhirpath.item import Item
from resources.fhirpath.lower import lower
from resources.fhirpath.parse import parse, parse_once
from resources.fhirpath.tree import Tree

_LONGEST = 64_000
_NOTHING = Environment()


class Evaluation(NamedTuple):
    """What an expression gives, what it traced on the way, by name, and the steps that it took."""

    items: list[Item]
    traced: list[tuple[str, list[Item]]]
    steps: int


@lru_cache(maxsize=4096)
def _lowered(text: str) -> Run:
    return _lower(text, parse)


def _lower(text: str, read: Callable[[str], Node]) -> Run:
    if len(text) > _LONGEST:
        raise RunawayFault("the expression is too long")
    try:
        return lower(read(text))
    except RecursionError:
        raise RunawayFault("the expression is nested too deeply") from None


class Evaluator:
    """Evaluates expressions against one set of definitions.

    Raises SyntaxFault for what is no FHIRPath, and FhirPathFault for what cannot be evaluated.
    """

    def __init__(self, definitions: Definitions) -> None:
        self.tree = Tree(definitions)

    def check(self, text: str) -> None:
        """Refuse an expression that is no FHIRPath or calls what is not known."""
        _lowered(text)

    def evaluate(
        self, text: str, focus: dict[str, Any] | Item, environment: Environment = _NOTHING
    ) -> Evaluation:
        """Evaluate an expression of ours on a resource, or on an item of one; it is kept, compiled."""
        return self._run(_lowered(text), focus, environment)

    def once(
        self, text: str, focus: dict[str, Any] | Item, environment: Environment = _NOTHING
    ) -> Evaluation:
        """Evaluate an expression that a client sent, keeping nothing of it."""
        return self._run(_lower(text, parse_once), focus, environment)

    def _run(self, run: Run, focus: dict[str, Any] | Item, environment: Environment) -> Evaluation:
        item = focus if isinstance(focus, Item) else self.tree.root(focus)
        state = State(self.tree, environment, (item,))
        try:
            items = run(Focus([item], state))
        except RecursionError:
            raise RunawayFault("the expression is nested too deeply") from None
        return Evaluation(items, state.traced, environment.limits.steps - state.left)

    def items(
        self, text: str, focus: dict[str, Any] | Item, environment: Environment = _NOTHING
    ) -> list[Item]:
        """Give the items of an expression on a resource, or on an item of one."""
        return self.evaluate(text, focus, environment).items

    def holds(
        self, text: str, focus: dict[str, Any] | Item, environment: Environment = _NOTHING
    ) -> bool | None:
        """Tell whether an expression is true, None where it gives nothing."""
        return truth(self.evaluate(text, focus, environment).items)
