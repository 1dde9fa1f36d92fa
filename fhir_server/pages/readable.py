"""Any resource as nested lists of labels and words, in the order of its definition (FHIR R4 formats.html)."""

import html
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from fhir_server.pages import words
from fhir_server.pages.words import Json
from resources import reference
from resources.definitions import Definitions, Element, TypeRef
from resources.model import serialise

MOST_ITEMS = 200
MOST_OPEN = 8
DEEPEST = 12
_MOST_TEXT = 4000
_TAG = re.compile(r"<[^>]*>")
_MOMENTS = frozenset({"date", "dateTime", "instant"})


class Line(Struct, frozen=True):
    """One value in words, what kind of value it is beside it, and the page that it leads to."""

    text: str
    note: str = ""
    href: str = ""


class Node(Struct, frozen=True):
    """An element: its label, its values, and its own elements where it has some; `folded` if many."""

    label: str
    lines: tuple[Line, ...] = ()
    children: tuple["Node", ...] = ()
    folded: str = ""


class Readable:
    """Tells resources by their definitions; `bases` are the FHIR base URLs whose references are links."""

    def __init__(self, definitions: Definitions, *bases: str) -> None:
        self._definitions = definitions
        self._bases = bases
        self._wording: dict[str, Callable[[Any], Line]] = {
            "Address": lambda v: Line(words.address(v), str(v.get("use", ""))),
            "Annotation": _annotation,
            "Attachment": self._attachment,
            "Coding": lambda v: Line(words.coding(v), words.origin(v)),
            "CodeableConcept": lambda v: Line(words.concept(v), words.codes(v)),
            "ContactPoint": lambda v: Line(str(v.get("value", "")), _kind(v, "system", "use")),
            "HumanName": lambda v: Line(words.human_name(v), str(v.get("use", ""))),
            "Identifier": _identifier,
            "Money": lambda v: Line(f"{v.get('value', '')} {v.get('currency', '')}"),
            "Narrative": lambda v: Line(_plain(str(v.get("div", ""))), str(v.get("status", ""))),
            "Period": lambda v: Line(words.period(v)),
            "Range": lambda v: Line(_between(v, "low", "high", " to ")),
            "Ratio": lambda v: Line(_between(v, "numerator", "denominator", " : ")),
            "Reference": self._reference,
        }
        self._wording |= dict.fromkeys(
            ("Quantity", "SimpleQuantity", "Age", "Count", "Distance", "Duration", "MoneyQuantity"),
            lambda v: Line(words.quantity(v), words.code(v)),
        )

    def nodes(self, resource: Json) -> tuple[Node, ...]:
        """Give the elements of a resource."""
        return tuple(self._elements(resource, str(resource.get("resourceType", "")), 0))

    def _elements(self, value: Json, path: str, depth: int) -> Iterator[Node]:
        """Give what the definition names in its order, then whatever else there is."""
        told = {"resourceType"}
        for name, element, type_ref in self._defined(path):
            told |= {name, f"_{name}"}
            if name in value or f"_{name}" in value:
                kind = self._content(path, element, type_ref)
                yield from self._element(name, kind, value, depth)
        for name in (name for name in value if name not in told):
            yield Node(words.label(name.lstrip("_")), (Line(_json(value[name])),))

    def _defined(self, path: str) -> Iterator[tuple[str, Element, TypeRef]]:
        try:
            elements = self._definitions.children(path).values()
        except KeyError:
            return
        for element in elements:
            for name, type_ref in self._definitions.json_names(element).items():
                yield name, element, type_ref

    def _content(self, path: str, element: Element, type_ref: TypeRef) -> str:
        return self._definitions.content(path, element, type_ref)

    def _element(self, name: str, kind: str, holder: Json, depth: int) -> Iterator[Node]:
        value = holder.get(name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        lines = [line for each in values[:MOST_ITEMS] if (line := self._line(each, kind))]
        if lines:
            if len(values) > MOST_ITEMS:
                lines.append(Line("", f"{len(values) - MOST_ITEMS} more in the JSON"))
            yield Node(words.label(name), tuple(lines))
        elif values:
            yield from self._nested(name, kind, values, depth)
        if beside := holder.get(f"_{name}"):
            yield Node(f"{words.label(name)}, extended", (Line(_json(beside)),))

    def _line(self, value: Any, kind: str) -> Line | None:
        """Give a value that fits one line; None for one with elements of its own."""
        if value is None:
            return None
        if isinstance(value, Mapping):
            wording = self._wording.get(kind)
            return wording(value) if wording else None
        if isinstance(value, bool):
            return Line(words.yes_or_no(value))
        if kind in _MOMENTS:
            return Line(words.moment(value))
        if kind == "base64Binary":
            return Line(f"{len(str(value)) * 3 // 4} bytes", "base64")
        return Line(str(value)[:_MOST_TEXT])

    def _nested(self, name: str, kind: str, values: list[Any], depth: int) -> Iterator[Node]:
        """Give elements that have elements; numbered where there are several, folded where many."""
        label = words.label(name)
        found = [
            self._holder(label if len(values) == 1 else f"{label} {number}", kind, value, depth)
            for number, value in enumerate(values[:MOST_ITEMS], 1)
        ]
        if len(values) > MOST_ITEMS:
            found.append(Node(label, (Line("", f"{len(values) - MOST_ITEMS} more in the JSON"),)))
        if len(values) > MOST_OPEN:
            yield Node(label, children=tuple(found), folded=f"{len(values)} of these")
        else:
            yield from found

    def _holder(self, label: str, kind: str, value: Any, depth: int) -> Node:
        if not isinstance(value, Mapping) or depth >= DEEPEST:
            return Node(label, (Line(_json(value)),))
        inner = str(value.get("resourceType", kind))
        if kind == "Extension":
            label = f"Extension {words.system(value.get('url'))}"
        return Node(label, children=tuple(self._elements(value, inner, depth + 1)))

    def _reference(self, value: Json) -> Line:
        """Give a Reference by its display or place, as a link where it is a resource of this server."""
        place = str(value.get("reference", ""))
        named = value.get("identifier")
        text = value.get("display") or place
        if not text and isinstance(named, Mapping):
            text = f"{words.identifier_type(named)} {words.identifier(named)}"
        note = place if value.get("display") else str(value.get("type", ""))
        return Line(str(text), note, self.href(place))

    def href(self, place: str) -> str:
        """Give the page of a resource of this server, by the text of a literal reference; "" for others."""
        found = reference.parse(place, *self._bases)
        known = found.form == "local" and found.type in self._definitions.resource_types
        if not known:
            return ""
        version = f"/history/{found.version}" if found.version else ""
        return f"/resources/{found.type}/{found.id}{version}"

    def _attachment(self, value: Json) -> Line:
        note = words.listed(
            (
                str(value.get("contentType", "")),
                f"{value['size']} bytes" if "size" in value else "",
                "content inside" if "data" in value else "",
            )
        )
        place = str(value.get("url", ""))
        return Line(str(value.get("title") or place or "Attachment"), note, self.href(place))


def _annotation(value: Json) -> Line:
    when = words.moment(value["time"]) if "time" in value else ""
    return Line(
        str(value.get("text", "")), words.listed((str(value.get("authorString", "")), when))
    )


def _identifier(value: Json) -> Line:
    kind = words.identifier_type(value)
    return Line(words.identifier(value), words.listed((kind, words.assigner(value))))


def _kind(value: Json, *names: str) -> str:
    return words.listed(str(value.get(name, "")) for name in names)


def _between(value: Json, first: str, second: str, separator: str) -> str:
    ends = (value.get(first), value.get(second))
    return separator.join(words.quantity(end) if end else "?" for end in ends)


def _plain(div: str) -> str:
    """Give a narrative's text without its markup."""
    return " ".join(html.unescape(_TAG.sub(" ", div)).split())[:_MOST_TEXT]


def _json(value: Any) -> str:
    return serialise(value).decode()[:_MOST_TEXT]
