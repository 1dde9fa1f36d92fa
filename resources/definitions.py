"""What R4 defines: types, elements, search parameters, operations (FHIR R4 structuredefinition.html).

The data are package data that scripts/build_definitions.py makes; each file is read on first use.
"""

import functools
from collections.abc import Mapping
from importlib import resources as package_data
from types import MappingProxyType
from typing import Literal

import msgspec

Kind = Literal["resource", "complex", "primitive"]


class TypeRef(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One type that an element allows, and what a Reference or canonical of it may point to."""

    code: str
    targets: tuple[str, ...] = ()
    profile: str | None = None


class Binding(msgspec.Struct, frozen=True, gc=False):
    """The value set an element's codes come from; the canonical carries no version."""

    strength: str
    value_set: str


class Element(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One element of a type: name is the last step of its path, a choice's without [x]."""

    name: str
    min: int = 0
    max: int | None = 1
    types: tuple[TypeRef, ...] = ()
    choice: bool = False
    binding: Binding | None = None
    content_reference: str | None = None
    summary: bool = False
    modifier: bool = False


class Primitive(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The lexical rules of a primitive type: its regular expression and bounds (datatypes.html)."""

    regex: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    max_length: int | None = None


class Structure(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One type: its own elements by the path of their parent, without the inherited ones."""

    kind: Kind
    base: str | None = None
    abstract: bool = False
    primitive: Primitive | None = None
    elements: dict[str, tuple[Element, ...]] = {}
    nested: dict[str, str] = {}


class Invariant(msgspec.Struct, frozen=True, gc=False):
    """One constraint that a path's own definition states, its expression in FHIRPath."""

    key: str
    severity: str
    human: str
    expression: str


class SearchParameter(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One SearchParameter; components are (definition url, expression) pairs of a composite."""

    url: str
    code: str
    type: str
    base: tuple[str, ...]
    expression: str = ""
    target: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()


class OperationParameter(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One parameter of an operation; parts are those of a parameter that has no type."""

    name: str
    use: str
    min: int
    max: int | None
    type: str | None = None
    search_type: str | None = None
    documentation: str = ""
    parts: tuple["OperationParameter", ...] = ()


class Operation(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One OperationDefinition; levels are instance, type and system."""

    code: str
    url: str
    levels: tuple[str, ...]
    types: tuple[str, ...] = ()
    affects_state: bool = False
    parameters: tuple[OperationParameter, ...] = ()


Compartments = dict[str, dict[str, tuple[str, ...]]]
CodeLists = dict[str, dict[str, tuple[str, ...]]]


class Definitions:
    """The R4 definitions, answered by type name or by element path such as Patient.contact."""

    def __init__(self, structures: Mapping[str, Structure]) -> None:
        self._structures = structures
        self._nested = {
            path: parent for held in structures.values() for path, parent in held.nested.items()
        }
        self._children: dict[str, Mapping[str, Element]] = {}
        self._json_names: dict[Element, Mapping[str, TypeRef]] = {}
        self._codes: dict[str, frozenset[tuple[str, str]] | None] = {}
        self.resource_types = frozenset(
            name
            for name, held in structures.items()
            if held.kind == "resource" and not held.abstract
        )

    def kind(self, type_name: str) -> Kind | None:
        """Give the kind of a type, or None where R4 has no such type."""
        held = self._structures.get(type_name)
        return held.kind if held else None

    def base(self, type_name: str) -> str | None:
        """Give the type that a type or nested path specialises, None for a root or an unknown type."""
        held = self._structures.get(type_name)
        return held.base if held else self._nested.get(type_name)

    def type_names(self) -> tuple[str, ...]:
        """Give every type name, abstract ones included, sorted."""
        return tuple(self._structures)

    def primitive(self, type_name: str) -> Primitive | None:
        """Give the lexical rules of a primitive type, None for any other type."""
        held = self._structures.get(type_name)
        return held.primitive if held else None

    def children(self, path: str) -> Mapping[str, Element]:
        """Give a type's or nested path's elements by name, inherited first; KeyError if unknown."""
        known = self._children.get(path)
        if known is None:
            known = self._children[path] = MappingProxyType(self._resolve(path))
        return known

    def _resolve(self, path: str) -> dict[str, Element]:
        held = self._structures[path.partition(".")[0]]
        own = held.elements.get(path)
        parent = self._nested[path] if "." in path else held.base
        found = dict(self.children(parent)) if parent else {}
        found.update((element.name, element) for element in own or ())
        return found

    def json_names(self, element: Element) -> Mapping[str, TypeRef]:
        """Give the JSON property names of an element with their type; a choice has one a type."""
        known = self._json_names.get(element)
        if known is None:
            known = self._json_names[element] = MappingProxyType(_names(element))
        return known

    def choice_names(self, type_name: str) -> frozenset[str]:
        """Give the names, without [x], of the choices of types in a type and in all datatypes."""
        held = (s for n, s in self._structures.items() if n == type_name or s.kind == "complex")
        found = (e for s in held for own in s.elements.values() for e in own)
        return frozenset(element.name for element in found if element.choice)

    def content(self, path: str, element: Element, type_ref: TypeRef) -> str:
        """Give the path whose children a value of the element, found under `path`, has."""
        if element.content_reference:
            return element.content_reference
        nested = f"{path}.{element.name}"
        return nested if nested in self._nested else type_ref.code

    @functools.cached_property
    def search_parameters(self) -> tuple[SearchParameter, ...]:
        """Give every search parameter, by url."""
        return msgspec.json.decode(_read("search_parameters"), type=tuple[SearchParameter, ...])

    @functools.cached_property
    def compartments(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Give, by compartment and resource type, the search parameters that place one in it."""
        return msgspec.json.decode(_read("compartments"), type=Compartments)

    @functools.cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Give every operation that R4 defines, by url."""
        return msgspec.json.decode(_read("operations"), type=tuple[Operation, ...])

    @functools.cached_property
    def invariants(self) -> Mapping[str, tuple[Invariant, ...]]:
        """Give the invariants by the path that states them; those of base types are at the base."""
        return msgspec.json.decode(_read("invariants"), type=dict[str, tuple[Invariant, ...]])

    @functools.cached_property
    def _code_lists(self) -> CodeLists:
        return msgspec.json.decode(_read("codes"), type=CodeLists)

    def codes(self, value_set: str) -> frozenset[tuple[str, str]] | None:
        """Give the (system, code) pairs of a required-bound value set, None if not enumerable."""
        if value_set not in self._codes:
            listed = self._code_lists.get(value_set)
            self._codes[value_set] = None if listed is None else _pairs(listed)
        return self._codes[value_set]


def _pairs(listed: Mapping[str, tuple[str, ...]]) -> frozenset[tuple[str, str]]:
    return frozenset((system, code) for system, codes in listed.items() for code in codes)


def _names(element: Element) -> dict[str, TypeRef]:
    if element.choice:
        return {element.name + held.code[0].upper() + held.code[1:]: held for held in element.types}
    return {element.name: element.types[0] if element.types else TypeRef("BackboneElement")}


def _read(name: str) -> bytes:
    return package_data.files("resources").joinpath("data", f"{name}.json").read_bytes()


@functools.cache
def load() -> Definitions:
    """Give the R4 definitions; the first call reads the structures from package data."""
    return Definitions(msgspec.json.decode(_read("structures"), type=dict[str, Structure]))
