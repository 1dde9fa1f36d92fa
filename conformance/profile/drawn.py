"""What a definition draws on: the canonicals of other definitions (FHIR R4 references.html#canonical)."""

from collections.abc import Iterator
from typing import Any

from resources.model import Resource

Canonical = tuple[str, str]
"""A resource type, and a canonical without version."""

_STRUCTURE, _SET, _SYSTEM = "StructureDefinition", "ValueSet", "CodeSystem"


def drawn(resource: Resource) -> frozenset[Canonical]:
    """Give the canonicals that a StructureDefinition, ValueSet or CodeSystem names."""
    match resource.get("resourceType"):
        case "StructureDefinition":
            found = _of_structure(resource)
        case "ValueSet":
            found = _of_value_set(resource)
        case "CodeSystem":
            found = iter([(_SYSTEM, resource.get("supplements", ""))])
        case _:
            found = iter(())
    return frozenset((type_, str(url).partition("|")[0]) for type_, url in found if url)


def _of_structure(resource: Resource) -> Iterator[Canonical]:
    yield _STRUCTURE, resource.get("baseDefinition", "")
    for part in ("snapshot", "differential"):
        for element in _listed(_held(resource, part), "element"):
            for held in _listed(element, "type"):
                for name in ("profile", "targetProfile"):
                    yield from ((_STRUCTURE, url) for url in _texts(held, name))
            bound = _held(element, "binding")
            yield _SET, bound.get("valueSet", "")
            for extension in _listed(bound, "extension"):
                yield _SET, extension.get("valueCanonical", "")


def _of_value_set(resource: Resource) -> Iterator[Canonical]:
    compose = _held(resource, "compose")
    for name in ("include", "exclude"):
        for part in _listed(compose, name):
            yield _SYSTEM, part.get("system", "")
            yield from ((_SET, url) for url in _texts(part, "valueSet"))


def _held(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _listed(value: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = value.get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _texts(value: dict[str, Any], name: str) -> list[str]:
    found = value.get(name)
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
