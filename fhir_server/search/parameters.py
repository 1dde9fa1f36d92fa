"""Search parameters by type and code, as the atoms they look at (FHIR R4 searchparameter.html).

An atom is one branch of an expression on one type. Parameters share atoms: `patient` and `subject` of an
Observation are one, told apart by the types they may lead to.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from msgspec import Struct

from fhir_server.search import datatype_values, index_values
from fhir_server.search.expression import Kind
from fhir_server.search.index_values import Extractor, Source
from fhir_server.search.values import IndexValues
from resources import definitions as r4
from resources.fhirpath import compile as fhirpath
from resources.fhirpath.expression import Binary, Call, Index, Node, Path, TypeTest
from resources.fhirpath.parse import parse
from resources.model import Resource

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "token": "token",
        "string": "text",
        "date": "date",
        "number": "number",
        "quantity": "quantity",
        "reference": "reference",
        "uri": "uri",
    }
)
# These are columns of every stored version, so they have no atoms.
VERSION_PARAMETERS = frozenset({"_id", "_lastUpdated"})

# The parameter of a type's main date where it is not `date`. Each has one atom with one value.
_CLINICAL = {
    "Account": "period",
    "AllergyIntolerance": "date",
    "Basic": "created",
    "Bundle": "timestamp",
    "ChargeItem": "occurrence",
    "Claim": "created",
    "ClaimResponse": "created",
    "Communication": "sent",
    "CommunicationRequest": "authored",
    "Condition": "recorded-date",
    "Contract": "issued",
    "CoverageEligibilityRequest": "created",
    "CoverageEligibilityResponse": "created",
    "DetectedIssue": "identified",
    "DeviceRequest": "authored-on",
    "DocumentManifest": "created",
    "ExplanationOfBenefit": "created",
    "Goal": "start-date",
    "ImagingStudy": "started",
    "Media": "created",
    "MedicationAdministration": "effective-time",
    "MedicationDispense": "whenhandedover",
    "MedicationRequest": "authoredon",
    "MedicationStatement": "effective",
    "NutritionOrder": "datetime",
    "PaymentNotice": "created",
    "PaymentReconciliation": "created",
    "Provenance": "recorded",
    "QuestionnaireResponse": "authored",
    "RequestGroup": "authored",
    "ServiceRequest": "authored",
    "Slot": "start",
    "Specimen": "collected",
    "Task": "authored-on",
    "TestReport": "issued",
    "VisionPrescription": "datewritten",
}


class Atom(Struct, frozen=True, gc=False):
    """One path of one type as one kind; `name` is the path as canonical FHIRPath."""

    name: str
    kind: Kind


class Component(Struct, frozen=True, gc=False):
    """One part of a composite: the code of its parameter, and its path from the composite's element."""

    code: str
    url: str
    expression: str


class Parameter(Struct, frozen=True, gc=False):
    """One search parameter of one type.

    `type` is R4's search parameter type. `targets` are the types that its references may lead to,
    empty for any. There are no atoms for `_id`, `_lastUpdated`, special and composite ones.
    """

    code: str
    type: str
    url: str
    base: str
    atoms: tuple[Atom, ...] = ()
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()

    @property
    def kind(self) -> Kind | None:
        """The kind of its atoms; None for a special or composite one."""
        return KINDS.get(self.type)


class Uploaded(Struct, frozen=True):
    """A search parameter that is not R4's own; `task` is the id of the job that indexes it, then empty."""

    definition: r4.SearchParameter
    task: str = ""


class SearchParameters:
    """The search parameters of every type, compiled type by type when first asked for.

    `uploaded` ones come beside R4's. Their values are extracted from the first moment; they can be asked
    for once they are indexed. `shared` has R4's own, for the types that no uploaded one is for.
    """

    def __init__(
        self,
        definitions: r4.Definitions,
        uploaded: Sequence[Uploaded] = (),
        shared: "SearchParameters | None" = None,
    ) -> None:
        self._definitions = definitions
        self._uploaded = tuple(uploaded)
        self._shared = shared
        self._compiler = fhirpath.Compiler(definitions)
        self._types: dict[str, Mapping[str, Parameter]] = {}
        self._extractors: dict[str, Extractor] = {}

    def get(self, type: str, code: str) -> Parameter | None:
        """Give a type's parameter by its code, those of all resources included; None if unknown."""
        return self.of(type).get(code)

    def of(self, type: str) -> Mapping[str, Parameter]:
        """Give a type's parameters by code; KeyError if R4 has no such resource type."""
        known = self._types.get(type)
        if known is None:
            known = self._types[type] = MappingProxyType(self._compile(type))
        return known

    def waiting(self, type: str, code: str) -> str | None:
        """Give the id of the job that indexes a type's uploaded parameter, None where none does."""
        bases = frozenset(self._lineage(type))
        for held in self._uploaded:
            if (
                held.task
                and held.definition.code == code
                and bases.intersection(held.definition.base)
            ):
                return held.task
        return None

    def values(self, resource: Resource) -> IndexValues:
        """Give all that a resource can be found by, de-duplicated (search.html#ptypes)."""
        name = resource["resourceType"]
        extract = self._extractors.get(name)
        if extract is None:
            extract = self._extractor(name)
        return extract(resource)

    def _extractor(self, type: str) -> Extractor:
        self.of(type)
        return self._extractors[type]

    def compartment(self, compartment: str, type: str) -> tuple[Parameter, ...]:
        """Give the parameters that place a resource of the type in a compartment; none if it is never."""
        codes = self._definitions.compartments[compartment].get(type, ())
        found = (self.get(type, code) for code in codes)
        return tuple(parameter for parameter in found if parameter is not None)

    def clinical(self, type: str) -> Atom | None:
        """Give the atom of the type's main date, which IndexValues.clinical holds."""
        parameter = self.get(type, _CLINICAL.get(type, "date"))
        return _clinical_atom(parameter)

    def _compile(self, type: str) -> dict[str, Parameter]:
        if type not in self._definitions.resource_types:
            raise KeyError(type)
        uploaded = self._uploaded_for(type)
        if self._shared is not None and not uploaded:
            self._extractors[type] = self._shared._extractor(type)  # noqa: SLF001 - of this class
            return dict(self._shared.of(type))
        sources: dict[Atom, Source] = {}
        found: dict[str, Parameter] = {}
        for held in self._defined(type):
            parameter = self._parameter(type, held, sources)
            if parameter.atoms or parameter.kind is None or held.code in VERSION_PARAMETERS:
                found.setdefault(held.code, parameter)
        for one in uploaded:
            parameter = self._parameter(type, one.definition, sources)
            if not one.task:
                found.setdefault(parameter.code, parameter)
        clinical = _clinical_atom(found.get(_CLINICAL.get(type, "date")))
        self._extractors[type] = index_values.extractor(
            sources.values(), self._definitions, clinical.name if clinical else ""
        )
        return found

    def _defined(self, type: str) -> Iterable[r4.SearchParameter]:
        return (held for name in self._lineage(type) for held in self._by_base.get(name, ()))

    def _uploaded_for(self, type: str) -> list[Uploaded]:
        bases = frozenset(self._lineage(type))
        return [held for held in self._uploaded if bases.intersection(held.definition.base)]

    def _lineage(self, type: str) -> Iterable[str]:
        """Give a type and those that it specialises."""
        name: str | None = type
        while name is not None:
            yield name
            name = self._definitions.base(name)

    @functools.cached_property
    def _by_base(self) -> Mapping[str, list[r4.SearchParameter]]:
        found = defaultdict(list)
        for held in self._definitions.search_parameters:
            for name in held.base if held.expression else ():
                found[name].append(held)
        return found

    @functools.cached_property
    def _by_url(self) -> Mapping[str, r4.SearchParameter]:
        return {held.url: held for held in self._definitions.search_parameters}

    def _parameter(
        self, type: str, held: r4.SearchParameter, sources: dict[Atom, Source]
    ) -> Parameter:
        kind = KINDS.get(held.type)
        if kind is None or held.code in VERSION_PARAMETERS:
            return Parameter(held.code, held.type, held.url, type, components=self._parts(held))
        atoms: dict[Atom, None] = {}
        targets: dict[str, None] = {}
        for part in _union(parse(held.expression)):
            path, wanted = _without_resolve(part)
            if not (source := self._source(type, kind, path)):
                continue
            atom = Atom(source.name, kind)
            sources.setdefault(atom, source)
            atoms[atom] = None
            if kind == "reference":
                targets.update(dict.fromkeys(wanted or _targets(source, held.target)))
        return Parameter(held.code, held.type, held.url, type, tuple(atoms), tuple(sorted(targets)))

    def _source(self, type: str, kind: Kind, node: Node) -> Source | None:
        """Give where the path leads on the type; an extension is read as its value."""
        if not self._compiler.branches(node, type):
            return None
        path = self._canonical(node, type)
        branches = self._compiler.branches(path, type)
        if all(branch.type == "Extension" for branch in branches):
            path = Path(path, "value")
            branches = self._compiler.branches(path, type)
        kept = tuple(b for b in branches if datatype_values.indexed(kind, b.type))
        return Source(str(path), kind, kept) if kept else None

    def _canonical(self, node: Node, type: str) -> Node:
        """Write a path in one way: from the type's own name, with ofType for as."""
        match node:
            case Path(None, name) if self._definitions.kind(name) == "resource":
                found: Node = Path(None, type)
            case TypeTest("as", operand, name):
                found = Call(self._canonical(operand, type), "ofType", (Path(None, name),))
            case Call(target, "as", arguments):
                found = self._canonical(Call(target, "ofType", arguments), type)
            case Binary(operator, left, right):
                found = Binary(operator, self._canonical(left, type), self._canonical(right, type))
            case Path(target) | Call(target) | Index(target) if target is not None:
                found = replace(node, target=self._canonical(target, type))
            case Path() | Call():
                found = replace(node, target=Path(None, type))
            case _:
                found = node
        return found

    def _parts(self, held: r4.SearchParameter) -> tuple[Component, ...]:
        return tuple(
            Component(self._by_url[url].code, url, expression)
            for url, expression in held.components
        )


def _clinical_atom(parameter: Parameter | None) -> Atom | None:
    """Give the only atom of a date parameter; with several there is no one main date."""
    if parameter is None or parameter.kind != "date" or len(parameter.atoms) != 1:
        return None
    return parameter.atoms[0]


def _union(node: Node) -> Iterator[Node]:
    match node:
        case Binary("|", left, right):
            yield from _union(left)
            yield from _union(right)
        case _:
            yield node


def _without_resolve(node: Node) -> tuple[Node, tuple[str, ...]]:
    """Split a trailing where(resolve() is X) from a path: the path and X."""
    match node:
        case Call(Path() as path, "where", (TypeTest("is", Call(None, "resolve", ()), name),)):
            return path, (name,)
        case _:
            return node, ()


def _targets(source: Source, stated: tuple[str, ...]) -> tuple[str, ...]:
    """Give the types that the path's references and the parameter both allow; empty is any."""
    allowed = {target for branch in source.branches for target in branch.targets}
    if not allowed or "Resource" in allowed:
        return stated
    return tuple(allowed.intersection(stated) if stated else allowed)
