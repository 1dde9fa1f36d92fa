"""FHIR XML as a resource, read in one pass and refused at the first fault (FHIR R4 xml.html).

Expat reads it, because it tells at which bytes a narrative stands, which is kept to the letter. A
document type declaration is refused before anything in it is read, so there are no entities; comments
and processing instructions are dropped, and white space between elements.
"""

import re
from typing import Any
from xml.parsers import expat

from resources import xml_narrative
from resources.model import Resource
from resources.xml_fault import Misfit
from resources.xml_frame import Child, Frame, children
from resources.xml_shape import FHIR, RESOURCE

_DEEPEST = 200
_MALFORMED = "The body is not well-formed XML in UTF-8"
_BOM = b"\xef\xbb\xbf"
_SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA_HINTS = frozenset((f"{_SCHEMA} schemaLocation", f"{_SCHEMA} noNamespaceSchemaLocation"))
_CHARSETS = frozenset(("utf-8", "utf8", "us-ascii"))
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}\Z")
_END_OF_DIV = re.compile(rb"</(?:[^\s:>]+:)?div\s*>")


class _Reader:
    """One document: expat's events onto a stack of frames."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.document = self.frame = Frame(None, None, RESOURCE)
        self.declared: list[tuple[str | None, str]] = []
        self.depth = 0
        self.inside = 0
        self.begun = 0
        self.parser = parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.XmlDeclHandler = _declaration
        parser.StartDoctypeDeclHandler = _document_type
        parser.StartNamespaceDeclHandler = self._declare
        parser.EndNamespaceDeclHandler = self._undeclare
        self._outside_narrative()

    def read(self) -> Resource:
        """Give the resource; raises Misfit, its place told by `place`."""
        try:
            if b"\0" in self.data:  # as in UTF-16, which expat would take for what it is
                raise Misfit(_MALFORMED)
            self.parser.Parse(self.data, True)  # noqa: FBT003 - the C function takes it so
        except expat.ExpatError:
            raise Misfit(_MALFORMED) from None
        finally:
            del self.parser  # it holds this reader, and that the whole document
        resource: Resource = next(iter(self.document.value.values()))
        return resource

    def place(self) -> list[str]:
        """Give the steps to the element that is open, from the inside to the outside."""
        steps: list[str] = []
        frame = self.frame
        while frame.child is not None and frame.outer is not None:
            child, outer = frame.child, frame.outer
            if child.form != "type":
                index = f"[{_length(outer, child)}]" if child.many else ""
                steps.append(child.step + index)
            elif outer.child is None:
                steps.append(child.name)
            frame = outer
        return steps

    def _outside_narrative(self) -> None:
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = _between

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self.declared.append((prefix, uri or ""))

    def _undeclare(self, _prefix: str | None) -> None:
        self.declared.pop()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        outer = self.frame
        child = outer.children.get(tag)
        if child is None:
            raise _unknown(outer, tag)
        if child.rank <= outer.rank and (child.rank < outer.rank or not child.many):
            raise _misplaced(outer, child)
        outer.rank = child.rank
        self.depth += 1
        if self.depth > _DEEPEST:
            raise Misfit(f"Elements are nested more than {_DEEPEST} deep", "too-long")
        self.frame = frame = Frame(outer, child, child.path)
        if child.form == "primitive":
            _begin_primitive(frame, child, attributes)
            return
        if child.form == "xhtml":
            self._enter_narrative()
            return
        if child.form == "type":
            frame.value["resourceType"] = child.name
        if attributes:
            _take(frame, child, attributes)

    def _end(self, _tag: str) -> None:
        frame = self.frame
        outer, child = frame.outer, frame.child
        if outer is None or child is None:
            return
        if child.form == "primitive":
            _put_primitive(outer, child, frame.text, frame.value)
        else:
            _put(outer, child, _whole(frame, child))
        self.depth -= 1
        self.frame = outer

    def _enter_narrative(self) -> None:
        self.begun = self.parser.CurrentByteIndex
        self.inside = 1
        self.parser.StartElementHandler = self._deeper
        self.parser.EndElementHandler = self._shallower
        self.parser.CharacterDataHandler = None
        self.frame.text = tuple(self.declared)

    def _deeper(self, _tag: str, _attributes: dict[str, str]) -> None:
        self.inside += 1

    def _shallower(self, _tag: str) -> None:
        self.inside -= 1
        if self.inside:
            return
        stop = self.parser.CurrentByteIndex
        closing = _END_OF_DIV.match(self.data, stop)
        div = self.data[self.begun : closing.end() if closing else stop]
        self.frame.text = xml_narrative.read(div, self.frame.text)
        self._outside_narrative()
        self._end(_tag)


def _declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _CHARSETS:
        raise Misfit("XML is sent in UTF-8")


def _document_type(*_declared: Any) -> None:
    raise Misfit("A document type declaration is not read; remove it")


def _between(text: str) -> None:
    if text.strip(" \t\r\n"):
        raise Misfit("Values stand in the attribute value, not between elements")


def _length(outer: Frame, child: Child) -> int:
    return len(outer.value.get(child.name, ()))


def _unknown(outer: Frame, tag: str) -> Misfit:
    """Give the fault of an element that may not stand here; its name is told where it is a plain one."""
    space, _, name = tag.rpartition(" ")
    if space != FHIR:
        return Misfit(f"Expected an element of the namespace {FHIR}")
    if outer.children is children(RESOURCE):
        return Misfit("R4 has no resource type of this name")
    type_ = outer.child.type if outer.child else RESOURCE
    fault = Misfit(f"{type_} has no element with this name")
    if _NAME.match(name):
        fault.steps.append(name)
    return fault


def _misplaced(outer: Frame, child: Child) -> Misfit:
    if child.form == "type":
        return Misfit("One resource stands here, not several")
    if child.rank == outer.rank:
        fault = Misfit("This element is there once at most")
    else:
        fault = Misfit("The elements stand in the order of their definition")
    fault.steps.append(child.step)
    return fault


def _take(frame: Frame, child: Child, attributes: dict[str, str]) -> None:
    """Take the attributes that an element may have; a resource may name its schema."""
    for name, text in attributes.items():
        if name in child.attributes:
            frame.value[name] = text
        elif child.form != "type" or name not in _SCHEMA_HINTS:
            raise Misfit(f"{child.type} has no attribute with this name")


def _begin_primitive(frame: Frame, child: Child, attributes: dict[str, str]) -> None:
    text = attributes.pop("value", None)
    if text is not None:
        frame.text = text if child.read is None else child.read(text)
    if attributes:
        _take(frame, child, attributes)


def _whole(frame: Frame, child: Child) -> Any:
    """Give what a closed element holds."""
    value = frame.value
    if child.form == "xhtml":
        return frame.text
    if frame.bare:
        for name in [name for name, held in value.items() if _is_bare(held)]:
            del value[name]
    if child.form == "resource":
        if not value:
            raise Misfit("A resource stands here")
        return next(iter(value.values()))
    return value


def _is_bare(held: Any) -> bool:
    """Tell whether a list holds nothing but nulls, which then only its companion tells."""
    return isinstance(held, list) and all(item is None for item in held)


def _put(outer: Frame, child: Child, value: Any) -> None:
    if child.many:
        outer.value.setdefault(child.name, []).append(value)
    else:
        outer.value[child.name] = value


def _put_primitive(outer: Frame, child: Child, value: Any, more: dict[str, Any]) -> None:
    """Put a primitive and its extensions side by side (FHIR R4 json.html#primitive)."""
    if value is None and not more:
        raise Misfit("A primitive has a value or extensions")
    held, companion = outer.value, f"_{child.name}"
    if not child.many:
        if value is not None:
            held[child.name] = value
        if more:
            held[companion] = more
        return
    values = held.setdefault(child.name, [])
    values.append(value)
    outer.bare = outer.bare or value is None
    if more and companion not in held:
        held[companion] = [None] * (len(values) - 1)
    if companion in held:
        held[companion].append(more or None)


def from_xml(data: bytes) -> Resource:
    """Give the resource that a document in UTF-8 holds; raises Invalid with the place of the fault."""
    reader = _Reader(data.removeprefix(_BOM))
    try:
        return reader.read()
    except Misfit as fault:
        fault.steps.extend(reader.place())
        raise fault.told() from None
