"""Criteria to a plan: parameters resolved, chains linked, modifiers lowered, the caller's access and-ed in.

FHIR R4 search.html. Everything that a search may touch passes here, chains and reverse chains
included, so that no interpreter ever needs to know of access.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from fhir_server.access import Access, Letter, everything
from fhir_server.search import grants, lower
from fhir_server.search.expression import (
    ALWAYS,
    And,
    Branch,
    Expression,
    Ids,
    Linked,
    LinkedFrom,
    Or,
    Plan,
    Sort,
    Updated,
)
from fhir_server.search.modifier import Modifier, Terms
from fhir_server.search.parameters import Parameter, SearchParameters
from fhir_server.search.parse import Chain, Criterion, Has, Simple, SortRule, criterion, unescape
from resources.outcome import Invalid, NotSupported

_OURS = everything("plan")


class UnknownParameter(NotSupported):
    """The type has no such search parameter; strict handling refuses it, lenient ignores it."""


class Planner:
    """Lowers criteria to expressions over the search parameters and modifiers that it was given."""

    def __init__(
        self,
        parameters: SearchParameters,
        modifiers: Mapping[str, Modifier],
        types: Iterable[str],
    ) -> None:
        self.parameters = parameters
        self.modifiers = modifiers
        self._types = frozenset(types)
        self._every_type = tuple(sorted(self._types))

    def plan(
        self,
        tenant: str,
        type_: str,
        criteria: Sequence[Criterion],
        access: Access,
        letter: Letter = "s",
    ) -> Plan:
        """Give the plan of a search in one type, without order or page."""
        return Plan(tenant, (Branch(type_, self.where(type_, criteria, access, letter)),))

    def where(
        self, type_: str, criteria: Sequence[Criterion], access: Access, letter: Letter = "s"
    ) -> Expression:
        """Give what resources of a type must satisfy: all the criteria, and the caller's access."""
        parts = tuple(self.expression(type_, one, access) for one in criteria)
        return _both((*parts, self.allowed(type_, access, letter)))

    def allowed(self, type_: str, access: Access, letter: Letter) -> Expression:
        """Give the caller's access to a type as an expression."""
        return grants.allowed(access, letter, type_, self.parameters, self._granted)

    def compartment(self, compartment: str, id_: str, type_: str) -> Expression:
        """Give membership of a compartment as an expression."""
        return grants.compartment(self.parameters, compartment, type_, id_)

    def _granted(self, type_: str, query: tuple[tuple[str, str], ...]) -> Expression:
        """Lower a granular scope's own criteria; they are the server's words, not limited by access."""
        return _both(
            tuple(self.expression(type_, criterion(name, value), _OURS) for name, value in query)
        )

    def expression(self, type_: str, asked: Criterion, access: Access) -> Expression:
        """Lower one criterion; raises UnknownParameter, NotSupported or Invalid."""
        match asked:
            case Simple():
                return self._simple(type_, asked)
            case Chain():
                return self._chain(type_, asked, access)
            case Has():
                return self._has(type_, asked, access)

    def known(self, type_: str) -> None:
        """Refuse a resource type that R4 does not have, wherever in a query it is named; raises Invalid."""
        if type_ not in self._types:
            raise Invalid("The query names a resource type that R4 does not have", issue="value")

    def parameter(self, type_: str, code: str) -> Parameter:
        """Give a type's search parameter; raises UnknownParameter, Invalid for a type that R4 has not."""
        self.known(type_)
        found = self.parameters.get(type_, code)
        if found is None:
            waiting = self.parameters.waiting(type_, code)
            if waiting is not None:
                raise UnknownParameter(
                    f"{code} of {type_} is being indexed by Task/{waiting}: wait"
                )
            raise UnknownParameter(f"{type_} has no search parameter named {code}")
        if found.type == "reference" and not found.targets:
            return replace(found, targets=self._every_type)
        return found

    def _simple(self, type_: str, asked: Simple) -> Expression:
        if asked.code == "_id":
            _refuse_modifier(asked)
            return Ids(tuple(unescape(value) for value in asked.values))
        if asked.code == "_lastUpdated":
            _refuse_modifier(asked)
            return Or(tuple(Updated(*lower.date_bounds(value)) for value in asked.values))
        parameter = self.parameter(type_, asked.code)
        if asked.modifier is None:
            return Or(tuple(lower.plain(parameter, value) for value in asked.values))
        return self._modified(parameter, asked)

    def _modified(self, parameter: Parameter, asked: Simple) -> Expression:
        name = asked.modifier or ""
        if parameter.type == "reference" and name in parameter.targets:
            return Or(tuple(lower.reference_of(parameter, v, name) for v in asked.values))
        modifier = self.modifiers.get(name)
        if modifier is None or parameter.type not in modifier.on:
            raise NotSupported(
                f"The modifier :{name} is not offered on {parameter.code}, a {parameter.type} parameter"
            )
        return modifier.lower(Terms(parameter, asked.values, lower.plain))

    def _chain(self, type_: str, asked: Chain, access: Access) -> Expression:
        parameter = self._reference(type_, asked.code)
        if asked.type is not None and asked.type not in parameter.targets:
            raise Invalid(f"{asked.code} of {type_} does not refer to that type", issue="value")
        targets = (asked.type,) if asked.type else parameter.targets
        return Or(
            tuple(
                Linked(atom.name, target, inner)
                for target, inner in self._targets(targets, asked.rest, access)
                for atom in parameter.atoms
            )
        )

    def _targets(
        self, targets: Sequence[str], rest: Criterion, access: Access
    ) -> list[tuple[str, Expression]]:
        """Lower the rest of a chain in every target type that has the parameter; none at all is an error."""
        found, fault = [], None
        for target in targets:
            try:
                found.append((target, self.where(target, (rest,), access)))
            except UnknownParameter as unknown:
                fault = unknown
        if not found and fault is not None:
            raise fault
        return found

    def _has(self, type_: str, asked: Has, access: Access) -> Expression:
        parameter = self._reference(asked.type, asked.code)
        if type_ not in parameter.targets:
            raise Invalid(f"{asked.code} of {asked.type} does not refer to {type_}", issue="value")
        inner = self.where(asked.type, (asked.rest,), access)
        return Or(tuple(LinkedFrom(asked.type, atom.name, inner) for atom in parameter.atoms))

    def _reference(self, type_: str, code: str) -> Parameter:
        parameter = self.parameter(type_, code)
        if parameter.type != "reference":
            raise Invalid(f"{code} of {type_} is not a reference, so no chain goes through it")
        return parameter

    def sort(self, type_: str, rules: Sequence[SortRule]) -> tuple[Sort, ...]:
        """Resolve _sort; raises UnknownParameter or NotSupported."""
        return tuple(self._sort(type_, rule) for rule in rules)

    def _sort(self, type_: str, rule: SortRule) -> Sort:
        if rule.code == "_id":
            return Sort("_id", descending=rule.descending)
        if rule.code == "_lastUpdated":
            return Sort("_lastUpdated", descending=rule.descending)
        parameter = self.parameter(type_, rule.code)
        if not parameter.atoms:
            raise NotSupported(f"_sort by {rule.code} is not offered")
        kind = parameter.atoms[0].kind
        return Sort("value", kind, tuple(a.name for a in parameter.atoms), rule.descending)


def _refuse_modifier(asked: Simple) -> None:
    if asked.modifier is not None:
        raise NotSupported(f"{asked.code} takes no modifier here")


def _both(parts: tuple[Expression, ...]) -> Expression:
    """And the parts, leaving out those that are always true."""
    kept = tuple(part for part in parts if part != ALWAYS)
    return kept[0] if len(kept) == 1 else And(kept)
