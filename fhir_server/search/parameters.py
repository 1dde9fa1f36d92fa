"""Search parameters by type and code, as the atoms they look at (FHIR R4 searchparameter.html).

An atom is one branch of an expression on one type. Parameters share atoms: `patient` and `subject` of an
Observation are one, told apart by the types they may lead to.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from fhir_server.search import clinical_dates, composites, index_values
from fhir_server.search.expression import Kind
from fhir_server.search.full_text_values import Texts
from fhir_server.search.index_values import (
    Element,
    Extraction,
    PartialExtractor,
    Source,
)
from fhir_server.search.paths import Paths, union, without_resolve
from fhir_server.search.values import IndexValues, ReferenceValue
from resources import definitions as r4
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
# What the parameters of type special look at; all other special ones are refused.
SPECIAL: Mapping[str, Kind] = MappingProxyType({"near": "position"})
# These are columns of every stored version, so they have no atoms.
VERSION_PARAMETERS = frozenset({"_id", "_lastUpdated"})


class Atom(Struct, frozen=True, gc=False):
    """One path of one type as one kind; `name` is the path as canonical FHIRPath."""

    name: str
    kind: Kind


class Component(Struct, frozen=True, gc=False):
    """One part of a composite: the code of its parameter, and its path from the composite's element."""

    code: str
    url: str
    expression: str


class Part(Struct, frozen=True, gc=False):
    """One member of a composite in one context; `outside` of its element where it is one of the resource."""

    parameter: "Parameter"
    outside: bool = False


class Context(Struct, frozen=True, gc=False):
    """Where a composite's members are: a repeating element by its path, or empty where it is there once."""

    element: str
    parts: tuple[Part, ...]


class Parameter(Struct, frozen=True, gc=False):
    """One search parameter of one type.

    `type` is R4's search parameter type. `targets` are the types that its references may lead to,
    empty for any; `datatypes` those of each atom's values, in the atoms' order. There are no atoms for
    `_id`, `_lastUpdated` and composite ones; the latter have contexts.
    """

    code: str
    type: str
    url: str
    base: str
    atoms: tuple[Atom, ...] = ()
    targets: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    datatypes: tuple[frozenset[str], ...] = ()
    contexts: tuple[Context, ...] = ()

    @property
    def kind(self) -> Kind | None:
        """The kind of its atoms; None for a composite one and the special ones that are refused."""
        return KINDS.get(self.type) or SPECIAL.get(self.code)

    def holding(self, datatypes: frozenset[str]) -> Iterator[str]:
        """Give the names of the atoms that may have a value of one of the datatypes."""
        for atom, held in zip(self.atoms, self.datatypes, strict=True):
            if not held.isdisjoint(datatypes):
                yield atom.name


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
        self._paths = Paths(definitions)
        self._texts = Texts(definitions)
        self._in_compartment: dict[tuple[str, str], tuple[str, ...]] = {}
        self._clinical: dict[str, Atom | None] = {}
        self._types: dict[str, Mapping[str, Parameter]] = {}
        self._extractions: dict[str, Extraction] = {}
        self._referring: dict[tuple[str, frozenset[str]], PartialExtractor] = {}

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
        extraction = self._extractions.get(name)
        if extraction is None:
            extraction = self.extraction(name)
        return extraction.whole(resource)

    def references(self, type: str, atoms: frozenset[str], body: bytes) -> Sequence[ReferenceValue]:
        """Give only the references of some atoms among the values of a resource, from its JSON."""
        extract = self._referring.get((type, atoms))
        if extract is None:
            extract = self._referring[type, atoms] = self.referring(type, atoms)
        return extract(body).references

    def referring(self, type: str, atoms: frozenset[str]) -> PartialExtractor:
        """Give what extracts only the values of some reference atoms from a resource's JSON."""
        return index_values.from_json(self._leading(type, atoms), self._definitions)

    def _leading(self, type: str, atoms: frozenset[str]) -> list[Source]:
        found = (self._paths.source(type, "reference", parse(atom)) for atom in sorted(atoms))
        return [source for source in found if source is not None]

    def extraction(self, type: str) -> Extraction:
        """Give how the values of a type's resources are extracted; KeyError if R4 has no such type."""
        self.of(type)
        return self._extractions[type]

    def compartment(self, compartment: str, type: str) -> tuple[Parameter, ...]:
        """Give the parameters that place a resource of the type in a compartment; none if it is never."""
        codes = self._definitions.compartments[compartment].get(type, ())
        found = (self.get(type, code) for code in codes)
        return tuple(parameter for parameter in found if parameter is not None)

    def members(self, compartment: str, type: str) -> tuple[str, ...]:
        """Give the names of the atoms that place a resource of the type in a compartment, each once."""
        known = self._in_compartment.get((compartment, type))
        if known is None:
            found = self.compartment(compartment, type)
            names = dict.fromkeys(atom.name for parameter in found for atom in parameter.atoms)
            known = self._in_compartment[compartment, type] = tuple(names)
        return known

    def clinical(self, type: str) -> Atom | None:
        """Give the atom of the type's main date, which IndexValues.clinical holds."""
        if type not in self._clinical:
            found = self.get(type, clinical_dates.parameter(type))
            self._clinical[type] = _clinical_atom(found)
        return self._clinical[type]

    def _compile(self, type: str) -> dict[str, Parameter]:
        if type not in self._definitions.resource_types:
            raise KeyError(type)
        uploaded = self._uploaded_for(type)
        if self._shared is not None and not uploaded:
            self._extractions[type] = self._shared.extraction(type)
            return dict(self._shared.of(type))
        sources: dict[Atom, Source] = {}
        elements: dict[str, Element] = {}
        found: dict[str, Parameter] = {}
        for held in self._defined(type):
            parameter = self._parameter(type, held, sources)
            if parameter.atoms or parameter.kind is None or held.code in VERSION_PARAMETERS:
                found.setdefault(held.code, parameter)
        for code, parameter in found.items():
            if parameter.components:
                found[code] = self._composed(parameter, sources, elements)
        for one in uploaded:
            parameter = self._parameter(type, one.definition, sources)
            if not one.task:
                found.setdefault(parameter.code, parameter)
        clinical = _clinical_atom(found.get(clinical_dates.parameter(type)))
        tree = index_values.whole(sources.values(), self._definitions, elements.values())
        self._extractions[type] = index_values.with_text(
            tree, self._texts, type, clinical.name if clinical else ""
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
        kind = KINDS.get(held.type) or SPECIAL.get(held.code)
        if kind is None or held.code in VERSION_PARAMETERS:
            return Parameter(held.code, held.type, held.url, type, components=self._parts(held))
        atoms: dict[Atom, None] = {}
        targets: dict[str, None] = {}
        for part in union(parse(held.expression)):
            path, wanted = without_resolve(part)
            if not (source := self._paths.source(type, kind, path)):
                continue
            atom = Atom(source.name, kind)
            sources.setdefault(atom, source)
            atoms[atom] = None
            if kind == "reference":
                targets.update(dict.fromkeys(wanted or _targets(source, held.target)))
        return Parameter(
            held.code,
            held.type,
            held.url,
            type,
            tuple(atoms),
            tuple(sorted(targets)),
            datatypes=tuple(frozenset(b.type for b in sources[a].branches) for a in atoms),
        )

    def _composed(
        self, parameter: Parameter, sources: dict[Atom, Source], elements: dict[str, Element]
    ) -> Parameter:
        """Give a composite with its contexts, and note the sources that they need."""
        held = self._by_url[parameter.url]
        contexts = []
        for node in union(parse(held.expression)):
            found = composites.context(self._paths, parameter.base, node, self._members(held))
            if found is None:
                continue
            contexts.append(_context(parameter.base, found))
            for source in (s for place in found.places for s in place.plain):
                sources.setdefault(Atom(source.name, source.kind), source)
            if found.element:
                elements[found.element] = found.extracted(elements.get(found.element))
        return replace(parameter, contexts=tuple(contexts))

    def _members(self, held: r4.SearchParameter) -> list[composites.Member]:
        return [
            composites.Member(self._by_url[url], KINDS[self._by_url[url].type], parse(expression))
            for url, expression in held.components
        ]

    def _parts(self, held: r4.SearchParameter) -> tuple[Component, ...]:
        return tuple(
            Component(self._by_url[url].code, url, expression)
            for url, expression in held.components
        )


def _context(type: str, found: composites.Found) -> Context:
    return Context(found.element, tuple(_part(type, place) for place in found.places))


def _part(type: str, place: composites.Place) -> Part:
    """Give a member as a parameter of its own, which looks only where the composite does."""
    held = place.member.definition
    atoms = tuple(Atom(source.name, source.kind) for source in place.plain)
    targets = {t for source in place.plain for t in _targets(source, held.target)}
    wanted = tuple(sorted(targets)) if held.type == "reference" else ()
    datatypes = tuple(frozenset(b.type for b in source.branches) for source in place.plain)
    made = Parameter(held.code, held.type, held.url, type, atoms, wanted, datatypes=datatypes)
    return Part(made, place.outside)


def _clinical_atom(parameter: Parameter | None) -> Atom | None:
    """Give the only atom of a date parameter; with several there is no one main date."""
    if parameter is None or parameter.kind != "date" or len(parameter.atoms) != 1:
        return None
    return parameter.atoms[0]


def _targets(source: Source, stated: tuple[str, ...]) -> tuple[str, ...]:
    """Give the types that the path's references and the parameter both allow; empty is any."""
    allowed = {target for branch in source.branches for target in branch.targets}
    if not allowed or "Resource" in allowed:
        return stated
    return tuple(allowed.intersection(stated) if stated else allowed)
