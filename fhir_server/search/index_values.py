"""Resource → typed index values, one visit for all atoms of its type (FHIR R4 search.html#ptypes)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct, defstruct, json

from fhir_server.search import datatype_values, full_text_values
from fhir_server.search.expression import Kind
from fhir_server.search.full_text_values import Gathered, Texts
from fhir_server.search.values import ElementValue, IndexValues, no_values
from resources.definitions import Definitions
from resources.fhirpath.steps import Branch, Child, Tree, Visit
from resources.model import Resource

Extractor = Callable[[Resource], IndexValues]
PartialExtractor = Callable[[bytes], IndexValues]

_V = TypeVar("_V")
_FEWEST: Final = 2

VERSION: Final = 3
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
    visit = whole(sources, definitions, elements).visitor()

    def extract(resource: Resource) -> IndexValues:
        out = no_values()
        visit(resource, out)
        return _distinct(out, clinical)

    return extract


def from_json(sources: Sequence[Source], definitions: Definitions) -> PartialExtractor:
    """Give the function that extracts the values of sources from JSON, reading no more of it than it must.

    Numbers may lose digits, so it is not for quantities. Raises msgspec.DecodeError for what is no JSON.
    """
    extract, read = extractor(sources, definitions), _reading(sources)
    return lambda body: extract(read(body))


def _reading(sources: Iterable[Source]) -> Callable[[bytes], Resource]:
    """Give what reads only the elements that the branches of sources begin with."""
    steps = [branch.steps[0] for source in sources for branch in source.branches]
    names = dict.fromkeys(step.name for step in steps if isinstance(step, Child))
    if not all(isinstance(step, Child) for step in steps):
        return json.Decoder(dict[str, Any]).decode
    fields = {f"e{number}": name for number, name in enumerate(names)}
    elements = defstruct("Elements", [(f, Any, None) for f in fields], rename=fields)
    decode = json.Decoder(elements).decode

    def read(body: bytes) -> Resource:
        found = decode(body)
        values = ((name, getattr(found, field)) for field, name in fields.items())
        return {name: value for name, value in values if value is not None}

    return read


class Extraction(Struct, frozen=True):
    """How the values of a type's resources are extracted: by `whole` at once, or element by element.

    Where it is `by_element`, what `visit` gathers from the elements of a resource, each repetition alone,
    comes to what it gathers from the whole; `finish` gives the values of what was gathered.
    """

    whole: Extractor
    visit: Visit
    finish: Callable[[Gathered], IndexValues]
    by_element: bool


def with_text(extracting: Tree, texts: Texts, type: str, clinical: str) -> Extraction:
    """Give the extraction that also gathers what is written in resources of a type, in the same visit."""
    if type not in full_text_values.UNREAD:
        texts.into(extracting, type)
    visit = extracting.visitor()

    def extract(resource: Resource) -> IndexValues:
        out = full_text_values.gathered()
        visit(resource, out)
        return finish(out)

    def finish(out: Gathered) -> IndexValues:
        found = _distinct(out, clinical)
        full_text_values.add(out, type, found)
        return found

    return Extraction(extract, visit, finish, not (extracting.sinks or extracting.selects))


def whole(
    sources: Iterable[Source], definitions: Definitions, elements: Iterable[Element] = ()
) -> Tree:
    """Give the tree whose visit extracts the values of all sources, and those of elements apart."""
    tree = _tree(sources, definitions)
    for element in elements:
        inside = _tree(element.sources, definitions).visitor()
        for branch in element.branches:
            tree.add(branch.steps, _apart(element.name, inside))
    return tree


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
    dates = _once(out.dates)
    lows = [date.low for date in dates if date.atom == clinical]
    return IndexValues(
        _once(out.tokens),
        _once(out.texts),
        dates,
        _once(out.numbers),
        _once(out.quantities),
        _once(out.references),
        _once(out.uris),
        min(lows) if lows else 0,
        positions=out.positions,
        elements=out.elements,
    )


def _once(values: list[_V]) -> list[_V]:
    """Give values, each once, in the order in which they were found."""
    return values if len(values) < _FEWEST else list(dict.fromkeys(values))
