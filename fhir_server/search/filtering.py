"""A _filter's tree to nodes: paths, brackets and chains (https://hl7.org/fhir/R4/search_filter.html).

Each resource that a path leads through is one that the caller may search.
"""

from collections.abc import Mapping
from typing import Final, Protocol, assert_never

from fhir_server.access import Access, Letter
from fhir_server.search import filter_comparisons
from fhir_server.search.breadth import Breadth
from fhir_server.search.expression import Expression, Linked, Not, both, either
from fhir_server.search.filter_text import Comparison, Filter, Logical, Negation, Step
from fhir_server.search.parameters import Parameter
from fhir_server.search.parse import Simple
from fhir_server.search.unknown import UnknownParameter
from resources.outcome import NotSupported

_SPECIAL: Final = frozenset({"_id", "_lastUpdated"})

ELEMENTS: Final[Mapping[tuple[str, str], tuple[str, str, str]]] = {
    ("DocumentReference", "relatesTo"): ("relationship", "code", "target"),
    ("Group", "characteristic"): ("characteristic-value", "code", "value"),
}
"""Names that only _filter has, where R4 has their parameters: the composite, its first and second part."""


class Planner(Protocol):
    """What a filter asks of the planner."""

    def parameter(self, type_: str, code: str) -> Parameter:
        """Give a type's search parameter; raises UnknownParameter."""

    def reference(self, type_: str, code: str) -> Parameter:
        """Give a type's search parameter that a chain can go through; raises UnknownParameter."""

    def allowed(self, type_: str, access: Access, letter: Letter) -> Expression:
        """Give the caller's access to a type."""

    def expression(self, type_: str, asked: Simple, access: Access) -> Expression:
        """Give the meaning of a criterion."""


class Filtering:
    """Lowers filters for one caller with a planner; what is unknown is refused, never ignored."""

    def __init__(self, planner: Planner, access: Access) -> None:
        self._planner = planner
        self._access = access

    def lower(self, type_: str, tree: Filter) -> Expression:
        """Give what resources of a type must satisfy; raises NotSupported or Invalid."""
        match tree:
            case Comparison():
                return self._test(type_, tree, tree.path)
            case Logical("and", parts):
                return both(self.lower(type_, part) for part in parts)
            case Logical(_, parts):
                return either(self.lower(type_, part) for part in parts)
            case Negation(part):
                return Not(self.lower(type_, part))
            case _:
                assert_never(tree)

    def _test(self, type_: str, test: Comparison, path: tuple[Step, ...]) -> Expression:
        step, rest = path[0], path[1:]
        if rest:
            return self._chain(type_, test, step, rest)
        if step.name in _SPECIAL:
            return filter_comparisons.special(test, lambda asked: self._meaning(type_, asked))
        parameter = self._planner.parameter(type_, step.name)
        return filter_comparisons.lowered(
            test, parameter, lambda asked: self._meaning(type_, asked)
        )

    def _meaning(self, type_: str, asked: Simple) -> Expression:
        return self._planner.expression(type_, asked, self._access)

    def _chain(
        self, type_: str, test: Comparison, step: Step, rest: tuple[Step, ...]
    ) -> Expression:
        if step.where is not None and (type_, step.name) in ELEMENTS:
            return self._element(type_, test, step, rest)
        parameter = self._planner.reference(type_, step.name)
        found, fault, breadth = [], None, Breadth()
        for target in parameter.targets:
            try:
                where = self._there(target, test, step, rest)
            except UnknownParameter as unknown:
                fault = unknown
                continue
            breadth.add(where)
            found += [Linked(atom.name, target, where) for atom in parameter.atoms]
        if not found and fault is not None:
            raise fault
        return either(found)

    def _there(
        self, target: str, test: Comparison, step: Step, rest: tuple[Step, ...]
    ) -> Expression:
        """Give what must hold of the one resource that a step leads to: brackets, the rest, access."""
        parts = [self._test(target, test, rest)]
        if step.where is not None:
            parts.append(self.lower(target, step.where))
        return both((*parts, self._planner.allowed(target, self._access, "s")))

    def _element(
        self, type_: str, test: Comparison, step: Step, rest: tuple[Step, ...]
    ) -> Expression:
        """Give a test of one element by the composite parameter that R4 has for it."""
        code, *names = ELEMENTS[type_, step.name]
        told = {rest[0].name: test.value}
        inner = step.where
        simple = isinstance(inner, Comparison) and len(inner.path) == 1 and inner.operator == "eq"
        if isinstance(inner, Comparison) and simple:
            told[inner.path[0].name] = inner.value
        if len(rest) > 1 or test.operator not in {"eq", "re"} or set(told) != set(names):
            raise NotSupported(
                f"_filter, character {test.position}: {step.name} is written"
                f" {step.name}[{names[0]} eq …].{names[1]} with eq or re"
            )
        asked = filter_comparisons.same_element(code, tuple(told[name] for name in names))
        return self._meaning(type_, asked)


def lower(planner: Planner, type_: str, tree: Filter, access: Access) -> Expression:
    """Give what resources of a type must satisfy under a filter, in the caller's reach."""
    try:
        return Filtering(planner, access).lower(type_, tree)
    except UnknownParameter as unknown:
        raise NotSupported(f"_filter: {unknown}") from None
