"""Parts of a resource: _summary and _elements (FHIR R4 search.html#summary, #elements)."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

from resources.definitions import Definitions, Element
from resources.model import Resource

Mode = Literal["true", "text", "data"]

_ALWAYS = frozenset({"resourceType", "id", "meta"})
_SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}


def summary(resource: Resource, mode: Mode, definitions: Definitions) -> Resource:
    """Give the part of a resource that a summary mode asks for, marked as SUBSETTED.

    `true` keeps the summary elements of every level, `text` the narrative and what is mandatory, `data` all
    but the narrative.
    """
    if mode == "data":
        return _marked({name: value for name, value in resource.items() if name != "text"})
    elements = definitions.children(resource["resourceType"])
    if mode == "text":
        kept = {"text", *(e.name for e in elements.values() if e.min)}
        return _marked(_named(resource, kept, elements, definitions))
    return _marked(_summarised(resource, resource["resourceType"], definitions))


def only(resource: Resource, names: Collection[str], definitions: Definitions) -> Resource:
    """Give the named top-level elements of a resource with those that are mandatory or modify it."""
    elements = definitions.children(resource["resourceType"])
    kept = {*names, *(e.name for e in elements.values() if e.min or e.modifier)}
    return _marked(_named(resource, kept, elements, definitions))


def _named(
    resource: Resource,
    kept: Collection[str],
    elements: Mapping[str, Element],
    definitions: Definitions,
) -> Resource:
    """Keep elements by their name in the definitions, whatever type a choice has."""
    names = {
        name for e in elements.values() if e.name in kept for name in definitions.json_names(e)
    } | _ALWAYS
    return {name: value for name, value in resource.items() if name.removeprefix("_") in names}


def _summarised(value: Mapping[str, Any], path: str, definitions: Definitions) -> dict[str, Any]:
    """Keep the summary elements of an object, and below its backbone elements theirs."""
    kept = {name: value[name] for name in ("resourceType", "id", "meta") if name in value}
    for element in definitions.children(path).values():
        if not element.summary and not (element.min and "." not in path):
            continue
        for name, type_ref in definitions.json_names(element).items():
            below = definitions.content(path, element, type_ref)
            if name in value:
                kept[name] = (
                    _below(value[name], below, definitions) if "." in below else value[name]
                )
            if f"_{name}" in value:
                kept[f"_{name}"] = value[f"_{name}"]
    return kept


def _below(value: Any, path: str, definitions: Definitions) -> Any:
    if isinstance(value, list):
        return [_below(part, path, definitions) for part in value]
    return _summarised(value, path, definitions) if isinstance(value, dict) else value


def _marked(part: Resource) -> Resource:
    """Mark a part so that nobody takes it for the whole."""
    meta = dict(part.get("meta", {}))
    meta["tag"] = [*meta.get("tag", ()), _SUBSETTED]
    return {**part, "meta": meta}
