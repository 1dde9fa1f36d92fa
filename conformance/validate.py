"""Is a resource right? Structure, invariants, narrative, nested resources (FHIR R4 validation.html).

Profiles and terminology beyond required bindings are checked elsewhere (conformance/profile).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from conformance import (
    bundles,
    code_systems,
    contained,
    narrative,
    search_parameters,
    structure_definitions,
)
from conformance.checks import Policy
from conformance.invariants import Invariants
from conformance.place import Place
from conformance.schema import References
from conformance.structure import Structure
from resources.definitions import Definitions
from resources.fhirpath.environment import Environment
from resources.model import Resource, plain
from resources.outcome import Issue

_DEEPEST = 8
_MOST = 100
_PLAIN = References()
_DEFAULT = Policy()
_ALONE = Environment()
_TypeRules = Callable[[Resource, str, Definitions], Iterator[Issue]]
_OF_TYPE: Mapping[str, _TypeRules] = MappingProxyType(
    {
        "Bundle": bundles.issues,
        "CodeSystem": code_systems.issues,
        "SearchParameter": search_parameters.issues,
        "StructureDefinition": structure_definitions.issues,
    }
)


class _Inside(Struct, frozen=True):
    """Where a resource stands: its FHIRPath, how deep, and what references may stand in it."""

    expression: str
    depth: int = 0
    root: Resource | None = None
    local: bool = False
    conditional: bool = False
    environment: Environment = _ALONE

    def step(self, suffix: str, *, local: bool = False, conditional: bool = False) -> "_Inside":
        """Give where a resource inside this one stands."""
        expression = f"{self.expression}.{suffix}"
        return _Inside(expression, self.depth + 1, None, local, conditional, self.environment)

    def contained(self, index: int, root: Resource) -> "_Inside":
        """Give where a contained resource stands."""
        expression = f"{self.expression}.contained[{index}]"
        return replace(self, expression=expression, depth=self.depth + 1, root=root, local=True)


class Validator:
    """Checks resources against the R4 definitions; a type's rules are compiled on first use."""

    def __init__(self, definitions: Definitions, policy: Policy = _DEFAULT) -> None:
        self._definitions = definitions
        self._structure = Structure(definitions)
        self._invariants = Invariants(definitions, policy)

    def check(self, resource: Resource) -> tuple[Issue, ...]:
        """Give the issues of a resource: at most 100 errors, which refuse it, and as many warnings."""
        try:
            return self._checked(resource)
        except (ValueError, RecursionError):
            return self._otherwise(resource)

    def _otherwise(self, resource: Resource) -> tuple[Issue, ...]:
        """Check what the schema library refuses: decimals with unusual digits, or nesting without end."""
        try:
            return self._checked(plain(resource))
        except (ValueError, RecursionError):
            text = "Its elements are nested in one another deeper than is read here"
            return (Issue("error", "too-long", text, _named(resource)),)

    def _checked(self, resource: Resource) -> tuple[Issue, ...]:
        found: dict[Issue, None] = {}
        wrong = 0
        for issue in self._issues(resource, _Inside(_named(resource))):
            if issue.severity == "error":
                wrong += issue not in found
            elif len(found) - wrong == _MOST:
                continue
            found[issue] = None
            if wrong == _MOST:
                break
        return tuple(found)

    def prepare(self, type_names: Sequence[str]) -> None:
        """Compile the rules of these types now, so that no request waits for it."""
        for name in type_names:
            self._structure.validator(name, _PLAIN)
            self._invariants.prepare(name)

    def _issues(self, resource: Resource, inside: _Inside) -> Iterator[Issue]:
        type_name = resource.get("resourceType")
        if not isinstance(type_name, str) or type_name not in self._definitions.resource_types:
            text = "R4 has no resource type of this name"
            yield Issue("error", "structure", text, f"{inside.expression}.resourceType")
            return
        if inside.depth > _DEEPEST:
            text = f"Resources are nested in one another more than {_DEEPEST} deep"
            yield Issue("error", "too-long", text, inside.expression)
            return
        references = self._references(resource, inside)
        try:
            if not self._structure.validator(type_name, references).is_valid(resource):
                start = Place(inside.expression, type_name)
                yield from self._structure.issues(resource, start, references)
                return
        except UnicodeEncodeError:
            text = "The text holds half of a surrogate pair, which is no character"
            yield Issue("error", "value", text, inside.expression)
            return
        yield from self._beyond_structure(resource, type_name, inside)

    @staticmethod
    def _references(resource: Resource, inside: _Inside) -> References:
        if "contained" in resource or inside.local or inside.conditional:
            return References(inside.local or "contained" in resource, inside.conditional)
        return _PLAIN

    def _beyond_structure(
        self, resource: Resource, type_name: str, inside: _Inside
    ) -> Iterator[Issue]:
        """Give what is wrong in a resource whose own structure is right."""
        yield from self._invariants.issues(
            resource, inside.expression, inside.root, inside.environment
        )
        of_type = _OF_TYPE.get(type_name)
        if of_type is not None:
            yield from of_type(resource, inside.expression, self._definitions)
        if "text" in resource:
            yield from _narrative(resource["text"], f"{inside.expression}.text")
        if "contained" in resource:
            yield from contained.issues(resource, inside.expression)
            for index, inner in enumerate(resource["contained"]):
                yield from self._issues(inner, inside.contained(index, resource))
        if type_name == "Bundle":
            yield from self._entries(resource, inside)
        elif type_name == "Parameters":
            for inner, suffix in _parameters(resource):
                yield from self._issues(inner, inside.step(suffix))
        elif type_name == "Composition":
            for text, suffix in _sections(resource):
                yield from _narrative(text, f"{inside.expression}.{suffix}")

    def _entries(self, bundle: Resource, inside: _Inside) -> Iterator[Issue]:
        is_transaction = bundle["type"] == "transaction" if "type" in bundle else False
        inside = replace(inside, environment=Environment(resolve=bundles.resolver(bundle)))
        for index, entry in enumerate(bundle.get("entry", ())):
            if "resource" in entry:
                place = inside.step(f"entry[{index}].resource", conditional=is_transaction)
                yield from self._issues(entry["resource"], place)
            outcome = entry.get("response", {}).get("outcome")
            if outcome is not None:
                yield from self._issues(outcome, inside.step(f"entry[{index}].response.outcome"))


def _named(resource: Resource) -> str:
    """Give the expression of a whole resource; an unknown type's name is not repeated."""
    name = resource.get("resourceType")
    return name if isinstance(name, str) and name.isalpha() and name.isascii() else "Resource"


def _narrative(text: Any, expression: str) -> Iterator[Issue]:
    div = text.get("div")
    if isinstance(div, str):
        for code, sentence in narrative.faults(div):
            yield Issue("error", code, sentence, f"{expression}.div")


def _parameters(resource: Resource) -> Iterator[tuple[Resource, str]]:
    """Give the resources in Parameters, those of parts too, with their places."""
    stack = [(resource.get("parameter", ()), "parameter")]
    while stack:
        held, suffix = stack.pop()
        for index, parameter in enumerate(held):
            if "resource" in parameter:
                yield parameter["resource"], f"{suffix}[{index}].resource"
            stack.append((parameter.get("part", ()), f"{suffix}[{index}].part"))


def _sections(resource: Resource) -> Iterator[tuple[Any, str]]:
    """Give the narratives of a Composition's sections with their places."""
    stack = [(resource.get("section", ()), "section")]
    while stack:
        held, suffix = stack.pop()
        for index, section in enumerate(held):
            if "text" in section:
                yield section["text"], f"{suffix}[{index}].text"
            stack.append((section.get("section", ()), f"{suffix}[{index}].section"))


def validate(resource: Resource, definitions: Definitions) -> Sequence[Issue]:
    """Give what is wrong with one resource; for many, keep a Validator."""
    return Validator(definitions).check(resource)
