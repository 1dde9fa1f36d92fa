"""Resource → typed index values, one visit for all atoms of its type (FHIR R4 search.html#ptypes)."""

from collections.abc import Callable, Iterable

from msgspec import Struct

from fhir_server.search import datatype_values
from fhir_server.search.expression import Kind
from fhir_server.search.values import IndexValues, no_values
from resources.definitions import Definitions
from resources.fhirpath.steps import Branch, Tree
from resources.model import Resource

Extractor = Callable[[Resource], IndexValues]


class Source(Struct, frozen=True):
    """Where an atom's values are: its name, its kind and the branches of its path."""

    name: str
    kind: Kind
    branches: tuple[Branch, ...]


def extractor(sources: Iterable[Source], definitions: Definitions, clinical: str = "") -> Extractor:
    """Give the function that extracts the values of all sources; `clinical` names the date atom."""
    tree = Tree()
    for source in sources:
        for branch in source.branches:
            sink = datatype_values.sink(source.name, source.kind, branch, definitions)
            if sink is not None:
                tree.add(branch.steps, sink)
    visit = tree.visitor()

    def extract(resource: Resource) -> IndexValues:
        out = no_values()
        visit(resource, out)
        return _distinct(out, clinical)

    return extract


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
    )
