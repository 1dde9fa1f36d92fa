"""What is open while FHIR XML is read, and what may stand in it (FHIR R4 xml.html)."""

import functools
from typing import Any

from resources import xml_text
from resources.xml_shape import ELEMENT, FHIR, RESOURCE, XHTML, Slot, shape


class Child:
    """An element that may stand somewhere, as the reader meets it; form `type` is a resource's own."""

    __slots__ = ("attributes", "form", "many", "name", "path", "rank", "read", "step", "type")

    def __init__(self, slot: Slot, *, holder: bool) -> None:
        self.name = slot.name
        self.step = slot.step
        self.rank = slot.rank
        self.many = slot.many
        self.form: str = "type" if holder else slot.form
        self.type = slot.content
        self.path = ELEMENT if slot.form == "primitive" else slot.content
        self.read = xml_text.reader(slot.content) if slot.form == "primitive" else None
        self.attributes: tuple[str, ...] = ()
        if slot.form in {"primitive", "complex"} and not holder:
            self.attributes = ("id", "url") if self.path == "Extension" else ("id",)


@functools.cache
def children(path: str) -> dict[str, Child]:
    """Give what may stand at a path by its name as expat gives it: namespace, space, name."""
    found = {}
    for slot in shape(path).slots:
        space = XHTML if slot.form == "xhtml" else FHIR
        found[f"{space} {slot.name}"] = Child(slot, holder=path == RESOURCE)
    return found


class Frame:
    """An element that is open: what it fills, what may stand in it, what was read so far."""

    __slots__ = ("bare", "child", "children", "outer", "rank", "text", "value")

    def __init__(self, outer: "Frame | None", child: Child | None, path: str) -> None:
        self.outer = outer
        self.child = child
        self.children = children(path)
        self.rank = 0
        self.value: dict[str, Any] = {}
        self.text: Any = None
        self.bare = False
