"""Resource → typed index values, one visit for all atoms of its type (FHIR R4 search.html#ptypes)."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from fhir_server.search import datatype_values
from fhir_server.search.expression import Kind
from fhir_server.search.values import ElementValue, IndexValues, no_values
from resources.definitions import Definitions
from resources.fhirpath.steps import Branch, Tree, Visit
from resources.model import Resource

Extractor = Callable[[Resource], IndexValues]

VERSION: Final = 2
"""Raised whenever a release finds resources by other values: a server then indexes anew what is stored."""


class Source(Struct, frozen=True):
    """Where an atom's values are: its name, its kind and the branches of its path."""

    name: str
    kind: Kind
    branches: tuple[Branch, ...]


class Element(Struct, frozen=True):
    """A repeating element whose values composites take together: its path, where it is, and what is in it."""

    name: str
    branches: tuple[Branch, ...]
    sources: tuple[Source, ...]


def extractor(
    sources: Iterable[Source],
    definitions: Definitions,
    clinical: str = "",
    elements: Iterable[Element] = (),
) -> Extractor:
    """Give the function that extracts the values of all sources; `clinical` names the date atom."""
    tree = _tree(sources, definitions)
    for element in elements:
        inside = _tree(element.sources, definitions).visitor()
        for branch in element.branches:
            tree.add(branch.steps, _apart(element.name, inside))
    visit = tree.visitor()

    def extract(resource: Resource) -> IndexValues:
        out = no_values()
        visit(resource, out)
        return _distinct(out, clinical)

    return extract


def _tree(sources: Iterable[Source], definitions: Definitions) -> Tree:
    tree = Tree()
    for source in sources:
        for branch in source.branches:
            sink = datatype_values.sink(source.name, source.kind, branch, definitions)
            if sink is not None:
                tree.add(branch.steps, sink)
    return tree


def _apart(name: str, inside: Visit) -> Visit:
    """Give the closure that extracts the values of one repetition by itself."""

    def sink(value: Any, out: IndexValues) -> None:
        if type(value) is dict:
            held = no_values()
            inside(value, held)
            out.elements.append(ElementValue(name, held))

    return sink


def _distinct(out: IndexValues, clinical: str) -> IndexValues:
    dates = list(dict.fromkeys(out.dates))
    return IndexValues(
        list(dict.fromkeys(out.tokens)),
        list(dict.fromkeys(out.texts)),
        dates,
        out.numbers and list(dict.fromkeys(out.numbers)),
        out.quantities and list(dict.fromkeys(out.quantities)),
        list(dict.fromkeys(out.references)),
        out.uris and list(dict.fromkeys(out.uris)),
        min((date.low for date in dates if date.atom == clinical), default=0),
        positions=out.positions,
        elements=out.elements,
    )
