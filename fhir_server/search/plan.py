"""Criteria to a plan: parameters resolved, chains linked, modifiers lowered, the caller's access and-ed in.

FHIR R4 search.html. Everything that a search may touch passes here, chains and reverse chains
included, so that no interpreter ever needs to know of access.
"""

import copy
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from fhir_server.access import Access, Letter, everything
from fhir_server.search import (
    canonical,
    filtering,
    fulltext,
    grants,
    limits,
    lists,
    local_references,
    lower,
    orphans,
)
from fhir_server.search.breadth import Breadth
from fhir_server.search.expression import (
    ALWAYS,
    NEVER,
    Branch,
    Expression,
    Ids,
    Linked,
    LinkedFrom,
    Not,
    Plan,
    Sort,
    Through,
    Updated,
    both,
    either,
)
from fhir_server.search.full_text_values import UNREAD
from fhir_server.search.knowledge import Knowledge, Known
from fhir_server.search.modifier import Modifier, Terms, offered
from fhir_server.search.parameters import Parameter, SearchParameters
from fhir_server.search.parse import (
    Chain,
    Criterion,
    Filtered,
    Has,
    Simple,
    SortRule,
    criterion,
    unescape,
)
from fhir_server.search.unknown import UnknownModifier, UnknownParameter
from resources.outcome import Invalid, NotSupported

_OURS = everything("plan")
_NOBODY = Access("nobody")
_NOWHERE = Through("", "", NEVER)
_SPECIAL: Final[Mapping[str, tuple[str, ...]]] = {
    "_id": ("missing", "not"),
    "_lastUpdated": ("missing",),
    "_text": (),
    "_content": (),
    lists.PARAMETER: (),
    orphans.PARAMETER: (),
}
"""What is no search parameter of the definitions, with the modifiers that it takes."""


class Planner:
    """Lowers criteria to expressions over the search parameters and modifiers that it was given.

    `bases` are our own, without a slash at the end: references that are written with one are to what is here.
    """

    def __init__(
        self,
        parameters: SearchParameters,
        modifiers: Mapping[str, Modifier],
        types: Iterable[str],
        knowledge: Knowledge | None = None,
        *,
        bases: Sequence[str] = (),
    ) -> None:
        self.parameters = parameters
        self.modifiers = modifiers
        self._bases = tuple(bases)
        self._knowledge = knowledge or Known()
        self._types = frozenset(types)
        self._every_type = tuple(sorted(self._types))
        self._referrers = orphans.referrers(parameters, self._types)

    def knowing(self, knowledge: Knowledge) -> "Planner":
        """Give a planner that is this one, but for what it knows of terminology and hierarchies."""
        made = copy.copy(self)
        made._knowledge = knowledge  # noqa: SLF001 - of this class
        return made

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
        return both((*parts, self.allowed(type_, access, letter)))

    def allowed(self, type_: str, access: Access, letter: Letter) -> Expression:
        """Give the caller's access to a type as an expression."""
        return grants.allowed(access, letter, type_, self.parameters, self._granted)

    def withheld(self, type_: str, access: Access) -> Expression:
        """Give what labels and Consents keep from a caller whose grants cover the type."""
        return grants.withheld(access, type_, self.parameters)

    def compartment(self, compartment: str, id_: str, type_: str) -> Expression:
        """Give membership of a compartment as an expression."""
        return grants.compartment(self.parameters, compartment, type_, id_)

    def _granted(self, type_: str, query: tuple[tuple[str, str], ...]) -> Expression:
        """Lower a granular scope's own criteria; they are the server's words, not limited by access."""
        return both(
            tuple(self.expression(type_, criterion(name, value), _OURS) for name, value in query)
        )

    def expression(self, type_: str, asked: Criterion, access: Access) -> Expression:
        """Lower one criterion; raises UnknownParameter, NotSupported or Invalid."""
        match asked:
            case Simple():
                return self._simple(type_, asked, access)
            case Chain():
                return self._chain(type_, asked, access)
            case Has():
                return self._has(type_, asked, access)
            case Filtered():
                return filtering.lower(self, type_, asked.tree, access)

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

    def _simple(self, type_: str, asked: Simple, access: Access) -> Expression:
        if asked.modifier is not None and asked.code in _SPECIAL:
            return self._specially(type_, asked, access)
        special = self._special(type_, asked, access)
        if special is not None:
            return special
        parameter = self.parameter(type_, asked.code)
        types = () if asked.modifier in parameter.targets else parameter.targets
        limits.fanned(asked.code, asked.values, len(parameter.atoms), len(types))
        parts = local_references.parted(parameter, asked, self._bases)
        if not parts:
            return self._meant(parameter, asked)
        return either(self._meant(*part) for part in parts)

    def _meant(self, parameter: Parameter, asked: Simple) -> Expression:
        """Give the meaning of values that are written as the parameter's are stored."""
        if asked.modifier is not None:
            return self._modified(parameter, asked)
        if parameter.type == "uri":
            return either(canonical.plain(self.parameters, parameter, v) for v in asked.values)
        if len(asked.values) == 1:
            return lower.plain(parameter, asked.values[0])
        return either(lower.plain(parameter, value) for value in asked.values)

    def _special(self, type_: str, asked: Simple, access: Access) -> Expression | None:
        """Lower what is no search parameter of the definitions; None for what is one."""
        match asked.code:
            case "_id":
                return Ids(tuple(dict.fromkeys(unescape(value) for value in asked.values)))
            case "_lastUpdated":
                return either(Updated(*lower.date_bounds(value)) for value in asked.values)
            case "_text" | "_content" as code:
                if type_ in UNREAD:
                    raise UnknownParameter(f"{type_} resources are not found by words: no {code}")
                part = fulltext.PARAMETERS[code]
                return either(fulltext.lower(part, value) for value in asked.values)
            case lists.PARAMETER:
                within = functools.partial(self.allowed, access=access, letter="s")
                named = tuple(
                    local_references.relative(value, self._bases) for value in asked.values
                )
                return lists.lower(named, self.parameters, within)
            case orphans.PARAMETER:
                within = functools.partial(self.allowed, access=access, letter="s")
                return orphans.lower(asked.values, self._referrers(type_), within)
            case _:
                return None

    def _specially(self, type_: str, asked: Simple, access: Access) -> Expression:
        """Lower a modifier of what is no search parameter of the definitions; raises UnknownModifier."""
        takes = _SPECIAL[asked.code]
        if asked.modifier not in takes:
            raise UnknownModifier(
                f"The modifier {_named(asked.modifier or '')} is not offered on {asked.code};"
                f" it takes {', '.join(f':{one}' for one in takes) or 'none'}"
            )
        if asked.modifier == "missing":
            return NEVER if lower.truth(asked.values) else ALWAYS
        return Not(self.expression(type_, Simple(asked.code, None, asked.values), access))

    def _modified(self, parameter: Parameter, asked: Simple) -> Expression:
        name = asked.modifier or ""
        if parameter.type == "reference" and name in parameter.targets:
            return either(lower.reference_of(parameter, v, name) for v in asked.values)
        modifier = self.modifiers.get(name)
        if modifier is None or not modifier.fits(parameter):
            takes = offered(self.modifiers.values(), parameter)
            raise UnknownModifier(
                f"The modifier {_named(name)} is not offered on {parameter.code},"
                f" a {parameter.type} parameter; it takes {', '.join(takes) or 'none'}"
            )
        return modifier.lower(Terms(parameter, asked.values, lower.plain, self._knowledge))

    def _chain(self, type_: str, asked: Chain, access: Access) -> Expression:
        parameter = self.reference(type_, asked.code)
        if asked.type is not None and asked.type not in parameter.targets:
            raise Invalid(f"{asked.code} of {type_} does not refer to that type", issue="value")
        targets = (asked.type,) if asked.type else parameter.targets
        return either(
            Linked(atom.name, target, inner)
            for target, inner in self._targets(targets, asked.rest, access)
            for atom in parameter.atoms
        )

    def _targets(
        self, targets: Sequence[str], rest: Criterion, access: Access
    ) -> list[tuple[str, Expression]]:
        """Lower the rest of a chain in every target type that has the parameter; none at all is an error."""
        found, fault, breadth = [], None, Breadth()
        for target in targets:
            try:
                inner = self.where(target, (rest,), access)
            except UnknownParameter as unknown:
                fault = unknown
                continue
            breadth.add(inner)
            found.append((target, inner))
        if not found and fault is not None:
            raise fault
        return found

    def _has(self, type_: str, asked: Has, access: Access) -> Expression:
        parameter = self.reference(asked.type, asked.code)
        if type_ not in parameter.targets:
            raise Invalid(f"{asked.code} of {asked.type} does not refer to {type_}", issue="value")
        inner = self.where(asked.type, (asked.rest,), access)
        return either(LinkedFrom(asked.type, atom.name, inner) for atom in parameter.atoms)

    def reference(self, type_: str, code: str) -> Parameter:
        """Give a type's search parameter that a chain can go through; raises what `parameter` does."""
        parameter = self.parameter(type_, code)
        if parameter.type != "reference":
            raise UnknownParameter(
                f"{code} of {type_} is not a reference, so no chain goes through it"
            )
        return parameter

    def sort(
        self, type_: str, rules: Sequence[SortRule], access: Access = _NOBODY
    ) -> tuple[Sort, ...]:
        """Resolve _sort, chained rules within the access; raises UnknownParameter or NotSupported."""
        return tuple(
            self._sort_through(type_, rule, access) if rule.far else self._sort(type_, rule)
            for rule in rules
        )

    def _sort_through(self, type_: str, rule: SortRule, access: Access) -> Sort:
        """Resolve a rule that goes by a parameter of what a reference leads to."""
        reference = self.reference(type_, rule.code)
        if rule.type is not None and rule.type not in reference.targets:
            raise Invalid(f"{rule.code} of {type_} does not refer to that type", issue="value")
        targets = (rule.type,) if rule.type else reference.targets
        far = {t: found for t in targets if (found := self.parameters.get(t, rule.far))}
        keys = [self._sort(t, SortRule(rule.far, rule.descending)) for t in far]
        if not keys:
            raise UnknownParameter(f"Nothing that {rule.code} refers to has that search parameter")
        if any((key.by, key.kind) != ("value", keys[0].kind) for key in keys):
            raise NotSupported(
                "A chained _sort goes by one kind of search parameter, and not by _id"
            )
        through = tuple(
            Through(atom.name, target, within)
            for target in far
            if (within := self.allowed(target, access, "s")) != NEVER
            for atom in reference.atoms
        )
        atoms = tuple(atom for key in keys for atom in key.atoms)
        return Sort("value", keys[0].kind, atoms, rule.descending, through or (_NOWHERE,))

    def _sort(self, type_: str, rule: SortRule) -> Sort:
        if rule.code == "_score":
            raise NotSupported("_sort by _score is not offered: matches are not ranked")
        if rule.code == "_id":
            return Sort("_id", descending=rule.descending)
        if rule.code == "_lastUpdated":
            return Sort("_lastUpdated", descending=rule.descending)
        parameter = self.parameter(type_, rule.code)
        if not parameter.atoms or parameter.type == "special":
            raise NotSupported(f"_sort by {rule.code} is not offered")
        kind = parameter.atoms[0].kind
        return Sort("value", kind, tuple(a.name for a in parameter.atoms), rule.descending)


def _named(modifier: str) -> str:
    """Give a modifier's name if it looks like one; what a client mistook for one may be a value."""
    return f":{modifier}" if modifier.replace("-", "").isalpha() and len(modifier) < 30 else "given"
