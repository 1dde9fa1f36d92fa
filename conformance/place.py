"""Where in a resource a JSON path points: its FHIRPath and the element there (FHIR R4 fhirpath.html)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from resources.definitions import Definitions, Element, TypeRef

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}\Z")


@dataclass(frozen=True)
class Place:
    """One place: its FHIRPath, the path of its content's definition, the element and its type.

    `content` is None where the definitions know nothing; `outer` is the place of the object that
    the element belongs to.
    """

    expression: str
    content: str | None
    element: Element | None = None
    type_ref: TypeRef | None = None
    indexed: bool = False
    outer: "Place | None" = None

    def child(self, name: str) -> str:
        """Give the FHIRPath of a property, or this place's where the name is no element's name."""
        plain = name.removeprefix("_")
        return f"{self.expression}.{plain}" if _NAME.match(plain) else self.expression


def find(definitions: Definitions, start: Place, steps: Sequence[str | int]) -> Place:
    """Follow property names and list indexes from a place."""
    place = start
    for step in steps:
        place = _index(place, step) if isinstance(step, int) else _enter(definitions, place, step)
    return place


def _index(place: Place, index: int) -> Place:
    return replace(place, expression=f"{place.expression}[{index}]", indexed=True)


def _enter(definitions: Definitions, place: Place, name: str) -> Place:
    plain = name.removeprefix("_")
    children = definitions.children(place.content) if place.content else {}
    for element in children.values():
        type_ref = definitions.json_names(element).get(plain)
        if type_ref and place.content:
            content = definitions.content(place.content, element, type_ref)
            if plain != name:
                content = "Element"
            expression = f"{place.expression}.{element.name}"
            return Place(expression, content, element, type_ref, outer=place)
    return Place(place.child(name), None, outer=place)
