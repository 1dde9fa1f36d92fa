"""What may stand where in FHIR XML, compiled from the definitions a path at a time (FHIR R4 xml.html)."""

import functools
from collections.abc import Iterator
from typing import Literal

from resources import definitions
from resources.definitions import Definitions, Element, TypeRef

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
RESOURCE = "Resource"
ELEMENT = "Element"

Form = Literal["primitive", "complex", "resource", "xhtml"]


class Slot:
    """One child of a path: its name in JSON and XML, its place in the order, the form of its content.

    `step` is its step in FHIRPath (a choice's without the type); `content` is the path of what it
    holds; the types of one choice share a `rank`.
    """

    __slots__ = ("companion", "content", "form", "many", "name", "rank", "step")

    def __init__(self, element: Element, name: str, rank: int, form: Form, content: str) -> None:
        self.name = name
        self.companion = f"_{name}"
        self.step = element.name
        self.rank = rank
        self.many = element.max != 1
        self.form = form
        self.content = content


class Shape:
    """The children of one path by JSON name, and which of its elements XML writes as attributes."""

    __slots__ = ("attributes", "is_resource", "path", "slots")

    def __init__(
        self, path: str, slots: tuple[Slot, ...], attributes: tuple[str, ...], *, is_resource: bool
    ) -> None:
        self.path = path
        self.slots = slots
        self.attributes = attributes
        self.is_resource = is_resource


def shape(path: str) -> Shape:
    """Give the shape of a type or nested path, Resource standing for what holds a resource."""
    known = definitions.load()
    if path == RESOURCE:
        names = sorted(known.resource_types)
        holder = Element(name="")
        slots = tuple(Slot(holder, name, 1, "complex", name) for name in names)
        return Shape(path, slots, (), is_resource=False)
    is_resource = known.kind(path) == "resource"
    attributes = () if is_resource else ("id", "url") if path == "Extension" else ("id",)
    slots = tuple(_slots(known, path, attributes))
    return Shape(path, slots, attributes, is_resource=is_resource)


def _slots(known: Definitions, path: str, attributes: tuple[str, ...]) -> Iterator[Slot]:
    for rank, element in enumerate(known.children(path).values(), 1):
        if element.name in attributes:
            continue
        for name, type_ref in known.json_names(element).items():
            content = known.content(path, element, type_ref)
            yield Slot(element, name, rank, _form(known, content, type_ref), content)


def _form(known: Definitions, content: str, type_ref: TypeRef) -> Form:
    if content == RESOURCE:
        return "resource"
    if type_ref.code == "xhtml":
        return "xhtml"
    return "primitive" if known.kind(content) == "primitive" else "complex"


@functools.cache
def resource_types() -> frozenset[str]:
    """Give the names of the resources that R4 has."""
    return definitions.load().resource_types
