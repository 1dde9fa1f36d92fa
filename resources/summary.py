"""Parts of a resource: _summary and _elements (FHIR R4 search.html#summary, #elements)."""

import functools
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

from resources.definitions import Definitions
from resources.model import Resource

Mode = Literal["true", "text", "data"]

_ALWAYS = frozenset({"resourceType", "id", "meta"})
_OF_ANY = frozenset({"id"})
"""What an element may have and be empty for all that."""
SUBSETTED: Final = "SUBSETTED"
_TAG = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": SUBSETTED,
    "display": "subsetted",
}


def summary(resource: Resource, mode: Mode, definitions: Definitions) -> Resource:
    """Give the part of a resource that a summary mode asks for, marked as SUBSETTED.

    `true` keeps the summary elements of every level, `text` the narrative and what is mandatory, `data` all
    but the narrative. What holds no summary element is left out, as no element is empty (ele-1).
    """
    if mode == "data":
        return _marked({name: value for name, value in resource.items() if name != "text"})
    if mode == "text":
        names = _names(definitions, resource["resourceType"], ("text",), modifiers=False)
        return _marked(_named(resource, names))
    return _marked(_summarised(resource, resource["resourceType"], definitions))


def only(resource: Resource, names: Collection[str], definitions: Definitions) -> Resource:
    """Give the named top-level elements of a resource with those that are mandatory or modify it."""
    asked = tuple(sorted(names))
    kept = _names(definitions, resource["resourceType"], asked, modifiers=True)
    return _marked(_named(resource, kept))


@functools.lru_cache(512)
def _names(
    definitions: Definitions, type: str, asked: tuple[str, ...], *, modifiers: bool
) -> frozenset[str]:
    """Give the JSON names of elements, whatever type a choice has, and of what is never left out."""
    found = {
        name
        for e in definitions.children(type).values()
        if e.name in asked or e.min or (modifiers and e.modifier)
        for name in definitions.json_names(e)
    }
    return frozenset(found) | _ALWAYS


def _named(resource: Resource, names: Collection[str]) -> Resource:
    return {name: value for name, value in resource.items() if name.removeprefix("_") in names}


def _summarised(value: Mapping[str, Any], path: str, definitions: Definitions) -> dict[str, Any]:
    """Keep the summary elements of an object, and below its backbone elements theirs."""
    kept = {name: value[name] for name in ("resourceType", "id", "meta") if name in value}
    for name, below in _summary(definitions, path):
        if name not in value:
            continue
        part = _below(value[name], below, definitions) if below else value[name]
        if part is not None:
            kept[name] = part
    return kept


@functools.lru_cache(2048)
def _summary(definitions: Definitions, path: str) -> tuple[tuple[str, str], ...]:
    """Give the JSON names that a summary keeps of a path, each with the backbone path below it if any."""
    found = []
    for element in definitions.children(path).values():
        if not element.summary and not (element.min and "." not in path):
            continue
        for name, type_ref in definitions.json_names(element).items():
            below = definitions.content(path, element, type_ref)
            found += [(name, below if "." in below else ""), (f"_{name}", "")]
    return tuple(found)


def _below(value: Any, path: str, definitions: Definitions) -> Any:
    """Give the summary of a backbone element or of a list of them, None where it has none.

    An id alone is none. No list of primitives comes here, so none falls out of step with its extensions.
    """
    if isinstance(value, list):
        parts = [_below(part, path, definitions) for part in value]
        return [part for part in parts if part is not None] or None
    if not isinstance(value, dict):
        return value
    kept = _summarised(value, path, definitions)
    return kept if kept.keys() - _OF_ANY else None


def _marked(part: Resource) -> Resource:
    """Mark a part so that nobody takes it for the whole; what is marked already stays as it is."""
    meta = part.get("meta", {})
    tags = meta.get("tag", ())
    if any(tag.get("code") == SUBSETTED and tag.get("system") == _TAG["system"] for tag in tags):
        return part
    return {**part, "meta": {**meta, "tag": [*tags, _TAG]}}
