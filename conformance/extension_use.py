"""Extensions used as their definitions say: where, with what inside, as modifiers or not.

https://hl7.org/fhir/R4/defining-extensions.html
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resources.definitions import Definitions
from resources.model import Resource
from resources.outcome import Issue

Find = Callable[[str], Resource | None]

_HL7 = "http://hl7.org/fhir/"
_RESOURCE = "Resource"
# R4's own definitions have it on the type, not on its code as its context says
_ALSO = {f"{_HL7}StructureDefinition/structuredefinition-fhir-type": "ElementDefinition.type"}
_ANYWHERE = frozenset(("Element", "Resource", "DomainResource", "BackboneElement"))


@dataclass(frozen=True, slots=True)
class _Definition:
    """What a definition says of its use; `parts` gives by url how often a nested extension is needed.

    `contexts` are paths of elements; it is None where the definition has contexts of another kind. `types`
    are those of the value, None where it says nothing of them.
    """

    modifier: bool
    contexts: frozenset[str] | None
    parts: Mapping[str, int]
    types: frozenset[str] | None


class ExtensionUse:
    """Tells extensions whose definitions `find` gives; `unknown` is the severity of HL7's other ones."""

    def __init__(self, definitions: Definitions, find: Find, unknown: str = "warning") -> None:
        self._definitions = definitions
        self._find = find
        self._unknown = unknown
        self._known: dict[str, _Definition | None] = {}

    def issues(self, resource: Resource) -> Iterator[Issue]:
        """Give what is wrong with the extensions of a resource whose structure is right."""
        name = resource["resourceType"]
        yield from self._of_object(resource, name, name, (name,))

    def _of_object(
        self, value: Mapping[str, Any], path: str, at: str, places: tuple[str, ...]
    ) -> Iterator[Issue]:
        """`places` are the names by which a context may mean the object: its path, its type."""
        for name in ("extension", "modifierExtension"):
            for index, extension in enumerate(value.get(name, ())):
                yield from self._used(extension, name, f"{at}.{name}[{index}]", places)
        if self._definitions.kind(path) == "primitive":
            return
        for element in self._definitions.children(path).values():
            if element.name in {"extension", "modifierExtension"}:
                continue
            for name, type_ref in self._definitions.json_names(element).items():
                content = self._definitions.content(path, element, type_ref)
                means = (*(f"{place}.{element.name}" for place in places), content)
                for held, where in _values(value, name, f"{at}.{element.name}"):
                    # elsewhere it may be an element: ExampleScenario.instance.resourceType
                    inner = held.get("resourceType") if content == _RESOURCE else None
                    if inner is None:
                        yield from self._of_object(held, content, where, means)
                    else:
                        yield from self._of_object(held, inner, where, (inner,))

    def _used(
        self, extension: Mapping[str, Any], name: str, at: str, places: tuple[str, ...]
    ) -> Iterator[Issue]:
        url = extension["url"]
        known = self._definition(url)
        if known is None:
            if url.startswith(_HL7):
                text = "The definition of this extension of HL7 is not known here"
                yield Issue(self._unknown, "extension", text, at)
        else:
            yield from _of_definition(known, extension, name, at)
            if known.contexts is not None and not self._allowed(known.contexts, places):
                text = "The definition of the extension does not allow it here"
                yield Issue("error", "extension", text, at)
        if known is None or not known.parts:
            for index, inner in enumerate(extension.get("extension", ())):
                if ":" in inner["url"]:
                    where = f"{at}.extension[{index}]"
                    yield from self._used(inner, "extension", where, (url, "Extension"))

    def _allowed(self, contexts: frozenset[str], places: tuple[str, ...]) -> bool:
        if not contexts.isdisjoint(_ANYWHERE) or not contexts.isdisjoint(places):
            return True
        types = {place.partition(".")[0] for place in places if "." not in place}
        return any(self._specialises(held, contexts) for held in types)

    def _specialises(self, type_name: str | None, contexts: frozenset[str]) -> bool:
        while type_name is not None:
            if type_name in contexts:
                return True
            type_name = self._definitions.base(type_name)
        return False

    def _definition(self, url: str) -> _Definition | None:
        url = url.partition("|")[0]
        if url not in self._known:
            found = self._find(url)
            is_one = found is not None and found.get("type") == "Extension"
            self._known[url] = _read(found) if found is not None and is_one else None
        return self._known[url]


def _values(value: Mapping[str, Any], name: str, at: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Give the objects of a property, a primitive's companions for a primitive, with their places."""
    for held in (value.get(name), value.get(f"_{name}")):
        if isinstance(held, dict):
            yield held, at
        elif isinstance(held, list):
            for index, item in enumerate(held):
                if isinstance(item, dict):
                    yield item, f"{at}[{index}]"


def _of_definition(
    known: _Definition, extension: Mapping[str, Any], name: str, at: str
) -> Iterator[Issue]:
    if known.modifier is not (name == "modifierExtension"):
        kind = "a modifier extension" if known.modifier else "no modifier extension"
        yield Issue("error", "extension", f"By its definition, it is {kind}", at)
    if known.types is not None:
        value = next((n.removeprefix("_") for n in extension if n.lstrip("_")[:5] == "value"), None)
        if value is not None and value not in known.types:
            text = "The value is of a type that the definition of the extension does not allow"
            yield Issue("error", "extension", text, f"{at}.value")
    if not known.parts:
        return
    held = [inner["url"] for inner in extension.get("extension", ())]
    for index, url in enumerate(held):
        if url not in known.parts:
            text = "The definition of the extension has no nested one of this url"
            yield Issue("error", "extension", text, f"{at}.extension[{index}]")
    for url, least in known.parts.items():
        if held.count(url) < least:
            text = f"The definition of the extension needs the nested one {url}"
            yield Issue("error", "extension", text, f"{at}.extension")


def _read(definition: Resource) -> _Definition:
    view = definition.get("snapshot") or definition.get("differential") or {}
    elements = [held for held in view.get("element", ()) if isinstance(held, dict)]
    root = elements[0] if elements else {}
    contexts = definition.get("context", ())
    are_paths = all(held.get("type") == "element" for held in contexts)
    named = {held.get("expression", "") for held in contexts}
    named.add(_ALSO.get(definition.get("url", ""), ""))
    return _Definition(
        root.get("isModifier", False) is True,
        frozenset(named) if contexts and are_paths else None,
        _parts(elements),
        _types(elements),
    )


def _parts(elements: list[dict[str, Any]]) -> dict[str, int]:
    """Give the urls of the nested extensions with how often each is needed."""
    least = {
        held["id"]: held.get("min", 0)
        for held in elements
        if held.get("path") == "Extension.extension" and held.get("sliceName") and "id" in held
    }
    urls = {
        str(held.get("id", "")).removesuffix(".url"): held["fixedUri"]
        for held in elements
        if held.get("path") == "Extension.extension.url" and isinstance(held.get("fixedUri"), str)
    }
    return {urls[slice_]: number for slice_, number in least.items() if slice_ in urls}


def _types(elements: list[dict[str, Any]]) -> frozenset[str] | None:
    """Give the properties that the value may have; None where all may be."""
    found = next(
        (h for h in elements if str(h.get("path", "")).startswith("Extension.value")), None
    )
    if found is None or found.get("max") == "0":
        return None
    codes = [held.get("code", "") for held in found.get("type", ())]
    return frozenset(f"value{code[:1].upper()}{code[1:]}" for code in codes) if codes else None
